/** carillon status: is everything well, where is what, and who waits for whom. */
import type { ClusterStatus, GroupStatus } from "../../services/api.ts";
import { type Call, exits } from "./command.ts";
import { timeoutOf, withNode } from "./connect.ts";
import { span } from "./units.ts";

/** How long the other nodes have to say how they are: one that is in trouble must not keep the rest from being seen. */
const othersMs = 1_000;

export function status(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const seen = await carillon.status(timeoutOf(call));
    const code = seen.notReady.length === 0 ? exits.fine : exits.unavailable;
    if (call.on("quiet")) return code;
    if (call.output.format !== "text") await call.output.json(seen);
    else await show(call, seen, await others(call, seen));
    return code;
  });
}

/** What every node says of itself, by name, as far as it can be asked from here. */
async function others(call: Call, seen: ClusterStatus): Promise<ReadonlyMap<string, ClusterStatus>> {
  const said = new Map([[seen.node, seen]]);
  await Promise.all(
    seen.nodes.filter(({ name, http, connected }) => name !== seen.node && http !== "" && connected).map(async ({ name, http }) => {
      const own = await withNode(call, (node) => node.status({ timeoutMs: othersMs }), [http]).catch(() => null);
      if (own?.node === name) said.set(name, own);
    }),
  );
  return said;
}

async function show({ output }: Call, seen: ClusterStatus, said: ReadonlyMap<string, ClusterStatus>): Promise<void> {
  const ready = seen.notReady.length === 0;
  const health = ready ? output.paint("green", "ready") : output.paint("red", "not ready");
  const regions = new Set(seen.nodes.map((node) => node.region)).size;
  await output.line(
    [
      `${output.paint("bold", seen.cluster)}  ${health}`,
      `${count(seen.nodes.length, "node")} in ${count(regions, "region")}`,
      `merge ${seen.merge}`,
      `durability ${seen.durability === "sync" ? seen.durability : output.paint("red", seen.durability)}`,
      `position ${seen.position}`,
      `asked ${seen.node}`,
    ].join(" · "),
  );
  for (const reason of seen.notReady) await output.line(`  ${output.paint("red", "✗")} ${reason}`);
  for (const { name, coordinator } of seen.groups) {
    const told = seen.notReady.some((reason) => reason.startsWith(`group ${name} `));
    if (coordinator === null && !told) {
      await output.line(`  ${output.paint("yellow", "!")} group ${name} has no coordinator; its keys and logs wait`);
    }
  }
  for (const [node, { waits, groups }] of said) {
    for (const { groups: merged, on, forMs } of waits) {
      const why = groups.find(({ name }) => name === on)?.coordinator === null ? ", which has no coordinator" : "";
      const what = `at ${node}, what is delivered of ${merged.join(" and ")} waits for group ${on} since ${span(forMs)}${why}`;
      await output.line(`  ${output.paint("yellow", "!")} ${what}`);
    }
  }
  await output.line();
  await output.table(
    ["NODE", "REGION", "ROLES", "HTTP", "GROUPS", "RTT", "LAG", "DISK", "UP"],
    seen.nodes.map((node) => {
      const own = said.get(node.name);
      return [
        node.name,
        node.region,
        rolesOf(node.name, seen.groups),
        node.http === "" ? null : node.http,
        seen.groups.filter(({ acceptors }) => acceptors.includes(node.name)).map(({ name }) => name).join(",") || null,
        node.name === seen.node ? "(this)" : !node.connected ? "cut off" : node.rttMs === null ? null : `${node.rttMs.toFixed(1)} ms`,
        own === undefined ? null : lagOf(own),
        own === undefined ? null : mebibytes(own.journalBytes),
        own === undefined ? null : span(own.upMs),
      ];
    }),
  );
  await output.line();
  await output.table(
    ["GROUP", "SHAPE", "MEMBERS", "COORD", "DECIDED", "LAG", "KEYS"],
    seen.groups.map((group) => [
      group.name,
      group.shape,
      group.acceptors.join(" "),
      group.coordinator ?? "nobody",
      group.decided,
      group.lag,
      keysOf(group),
    ]),
  );
}

/** What it coordinates; else whether it has a vote. */
function rolesOf(node: string, groups: readonly GroupStatus[]): string {
  const coordinated = groups.filter(({ coordinator }) => coordinator === node).map(({ name }) => name);
  if (coordinated.length > 0) return `coordinator(${coordinated.join(",")})`;
  return groups.some(({ acceptors }) => acceptors.includes(node)) ? "acceptor" : "learner";
}

/** Entries it has not delivered, and if there are any, how old its picture of the slowest group is. */
function lagOf({ groups }: ClusterStatus): string {
  const entries = Math.max(0, ...groups.map(({ lag }) => lag));
  if (entries === 0) return "0";
  const oldest = Math.max(0, ...groups.map(({ lagMs }) => lagMs ?? 0));
  return `${entries} (${span(oldest)})`;
}

function mebibytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** Which keys a group orders, or which groups it spans. */
export function keysOf(group: Pick<GroupStatus, "keys" | "spans">): string | null {
  if (group.spans.length > 0) return `spans ${group.spans.join(" ")}`;
  if (group.keys.length === 0) return null;
  return group.keys.map(({ from, to }) => from === "" && to === null ? "all" : `${from}…${to ?? ""}`).join(" ");
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
