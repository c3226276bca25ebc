/**
 * The single-valued settings: one table from which the file's keys, the environment variables, the flags, `config show`
 * and the documentation follow. Nodes, groups and simulated delays are lists and live in the file alone (`tables.ts`).
 */

export interface Setting {
  /** `section.key`, as in the file; the flag is `--section.key`. */
  readonly key: string;
  readonly kind: "text" | "path" | "address" | "number" | "choice" | "secrets";
  readonly choices?: readonly string[];
  /** Shown when nothing is given; null if there is none or it depends on the rest. */
  readonly fallback: string | number | null;
  readonly help: string;
}

export const settings: readonly Setting[] = [
  { key: "node.name", kind: "text", fallback: null, help: "this node's name in the list of nodes (default: the host name)" },
  { key: "node.region", kind: "text", fallback: "local", help: "where it stands; labels and simulated distances go by it" },
  { key: "node.data", kind: "path", fallback: "./data", help: "directory of the journal" },
  { key: "node.key", kind: "path", fallback: null, help: "file with its private keys (default: node.key in node.data)" },
  {
    key: "node.join",
    kind: "path",
    fallback: null,
    help: "file with its join token, while that is what lists it (default: join.token in node.data)",
  },
  { key: "listen.http", kind: "address", fallback: "127.0.0.1:4100", help: "where users connect" },
  { key: "listen.link", kind: "address", fallback: null, help: "where peers connect (default: the port of this node's own link)" },
  { key: "listen.token", kind: "secrets", fallback: null, help: "what users must send as `Authorization: Bearer …`" },
  { key: "cluster.name", kind: "text", fallback: "carillon", help: "nodes of another cluster are refused" },
  {
    key: "cluster.merge",
    kind: "choice",
    choices: ["ts", "rr"],
    fallback: "ts",
    help: "how groups are merged: clocks, or the paper's turns",
  },
  { key: "cluster.turn", kind: "number", fallback: 1, help: "merge rr: commands of a group per turn (M)" },
  { key: "cluster.skipRate", kind: "number", fallback: 9_000, help: "merge rr: slots per second every group keeps up with (λ)" },
  { key: "cluster.skipIntervalMs", kind: "number", fallback: 5, help: "merge rr: how often skips are proposed (Δ)" },
  {
    key: "link.driver",
    kind: "choice",
    choices: ["auto", "udp", "h2"],
    fallback: "auto",
    help: "what carries messages between nodes: UDP, HTTP/2, or for each peer whichever works best",
  },
  { key: "link.mtu", kind: "number", fallback: null, help: "no datagram larger than so many bytes (default: what the path carries)" },
  { key: "link.trace", kind: "path", fallback: null, help: "directory for traces of links, to find out what they do (default: none)" },
  {
    key: "durability.ack",
    kind: "choice",
    choices: ["sync", "async", "memory"],
    fallback: "sync",
    help: "when a node vouches for a write: on disk, on its way there, in memory only",
  },
];

/** `cluster.skipRate` → `CARILLON_CLUSTER_SKIP_RATE`. */
export function variableOf(key: string): string {
  return `CARILLON_${key.replace(/([a-z])([A-Z])/g, "$1_$2").replaceAll(".", "_").toUpperCase()}`;
}

/** Variables of ours that are no settings of a node. */
export const clientVariables: readonly string[] = ["CARILLON_URL", "CARILLON_TOKEN", "CARILLON_CONFIG"];
