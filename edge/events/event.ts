/** The things that happen in a node and that somebody who looks after it wants to know: as data, and as a sentence. */
import { unreachable } from "../../core/assert.ts";
import type { DriverName } from "../link/link.ts";
import type { RoleReason } from "../../core/view.ts";

/** Nodes and groups by name. */
export type Happening =
  /** This node coordinates the group from now on; why there was nobody before. */
  | { readonly kind: "coordinates"; readonly group: string; readonly why: RoleReason }
  | { readonly kind: "follows"; readonly group: string; readonly coordinator: string }
  /** It knows no coordinator any more; `lost` is the one it had, which may be itself. */
  | { readonly kind: "leaderless"; readonly group: string; readonly lost: string; readonly why: RoleReason }
  /** Nothing was heard for so long; null: not since this node has started. */
  | { readonly kind: "suspected"; readonly peer: string; readonly silentMs: number | null }
  | { readonly kind: "returned"; readonly peer: string; readonly afterMs: number | null }
  | { readonly kind: "ready" }
  | { readonly kind: "unready"; readonly reasons: readonly string[] }
  | { readonly kind: "draining" }
  /** Deliveries wait for this group. */
  | { readonly kind: "stalled"; readonly group: string; readonly forMs: number }
  | { readonly kind: "resumed"; readonly group: string; readonly afterMs: number }
  /** Requests are refused because too many are under way. */
  | { readonly kind: "overloaded" }
  | { readonly kind: "relieved"; readonly refused: number; readonly afterMs: number }
  /** The peer is known by other keys; links of those that are gone have ended. */
  | { readonly kind: "keys-changed"; readonly peer: string; readonly added: readonly string[]; readonly gone: readonly string[] }
  /** This node answers to these keys from now on. */
  | { readonly kind: "own-keys-changed"; readonly keys: readonly string[] }
  /** Users are known by other tokens; streams of those that are gone have ended. */
  | { readonly kind: "tokens-changed"; readonly added: number; readonly gone: number }
  /** The peer knows this node by its own key from now on; a join token is what lists it. */
  | { readonly kind: "joined"; readonly peer: string }
  /** The peer, listed by a join token, has shown its key. */
  | { readonly kind: "key-learned"; readonly peer: string; readonly key: string }
  /** First contact failed; `by`: the node that refused, this one or the peer. */
  | { readonly kind: "join-refused"; readonly peer: string; readonly by: string; readonly reason: string }
  /** The token of `of`, this node or the peer, is too old for a first contact between the two. */
  | { readonly kind: "join-expired"; readonly peer: string; readonly of: string }
  /** Two keys were shown under one token: `key`, which counts, and then `other`. */
  | { readonly kind: "join-used-twice"; readonly peer: string; readonly key: string; readonly other: string }
  /** The configuration was changed in a way that cannot be used; the node goes on with what it had. */
  | { readonly kind: "config-refused"; readonly reason: string }
  /** The configuration was changed in ways that wait for the next start. */
  | { readonly kind: "config-waits"; readonly changed: readonly string[] }
  /** Another driver carries the peer's messages, or the first one does. */
  | { readonly kind: "link-driver"; readonly peer: string; readonly driver: DriverName; readonly reason: string }
  | { readonly kind: "slow-reader"; readonly path: string }
  | { readonly kind: "checkpoint-made"; readonly group: string; readonly bytes: number }
  /** Taken over from another node, because what is missing here is no longer in anybody's log. */
  | { readonly kind: "checkpoint-installed"; readonly group: string; readonly bytes: number }
  | { readonly kind: "trimmed"; readonly group: string; readonly upTo: number }
  | { readonly kind: "damage-found"; readonly found: number }
  | { readonly kind: "repaired"; readonly repaired: number }
  | { readonly kind: "disk-full" }
  | { readonly kind: "space-back"; readonly afterMs: number };

export type NodeEvent = Happening & {
  /** Names it in all lives of the node; to go on behind it. */
  readonly id: string;
  /** RFC 3339, of the node's wall clock. */
  readonly at: string;
  readonly node: string;
};

const reasons: Readonly<Record<RoleReason, string>> = {
  "lease-expired": "nothing was heard of it for a lease",
  suspected: "its heartbeats are overdue or its link broke",
  outdone: "a higher ballot turned up",
  "no-quorum": "its quorum does not hear it",
  "handed-over": "it made way",
  first: "nobody did before",
  released: "its predecessor made way",
  heard: "it was heard of",
};

/** A sentence whose subject is the node. */
export function describe(happening: Happening): string {
  switch (happening.kind) {
    case "coordinates":
      return `coordinates group ${happening.group}: ${before(happening.why)}`;
    case "follows":
      return `follows ${happening.coordinator} in group ${happening.group}`;
    case "leaderless":
      return `lost the coordinator of group ${happening.group}, ${happening.lost}: ${reasons[happening.why]}`;
    case "suspected":
      return happening.silentMs === null
        ? `has not heard of node ${happening.peer} yet`
        : `suspects node ${happening.peer}: silent for ${seconds(happening.silentMs)}`;
    case "returned":
      return happening.afterMs === null
        ? `hears node ${happening.peer}`
        : `hears node ${happening.peer} again, after ${seconds(happening.afterMs)}`;
    case "ready":
      return "is ready";
    case "unready":
      return `is not ready: ${happening.reasons.join("; ")}`;
    case "draining":
      return "is stopping and lets others take over";
    case "stalled":
      return `waits for group ${happening.group}, for ${seconds(happening.forMs)} now: nothing that comes behind it can be delivered`;
    case "resumed":
      return `waits for group ${happening.group} no longer, after ${seconds(happening.afterMs)}`;
    case "overloaded":
      return "refuses requests: too many are under way";
    case "relieved":
      return `refuses no more requests, after ${seconds(happening.afterMs)} and ${happening.refused} refused`;
    case "keys-changed":
      return `knows node ${happening.peer} by other keys: ${keyChange(happening)}`;
    case "own-keys-changed":
      return `answers to ${happening.keys.length === 1 ? "its key" : "its keys"} ${happening.keys.join(" and ")}`;
    case "tokens-changed":
      return `knows its users by other tokens: ${happening.added} new, ${happening.gone} gone`;
    case "joined":
      return `joined: node ${happening.peer} knows its key`;
    case "key-learned":
      return `learned the key of node ${happening.peer} under its join token; for the cluster's file: key = "${happening.key}"`;
    case "join-refused":
      return happening.by === happening.peer
        ? `is not let in by node ${happening.peer} under its join token: ${happening.reason}`
        : `refuses node ${happening.peer} under its join token: ${happening.reason}`;
    case "join-expired":
      return `does not get to know node ${happening.peer}: the join token of node ${happening.of} has expired; list its key, or another token`;
    case "join-used-twice":
      return `refuses ${happening.other} as node ${happening.peer}: its join token has been used before, for ${happening.key}; ` +
        `if that is not its key, somebody else has the token: list its key, or another token`;
    case "config-refused":
      return `goes on with the configuration it has: ${happening.reason}`;
    case "config-waits":
      return `takes over at its next start what was changed in its configuration: ${happening.changed.join(", ")}`;
    case "link-driver":
      return `reaches node ${happening.peer} over ${happening.driver === "udp" ? "UDP" : "HTTP/2"}: ${happening.reason}`;
    case "slow-reader":
      return `ended a stream of ${happening.path}: its reader stood still`;
    case "checkpoint-made":
      return `made a checkpoint of group ${happening.group}, ${happening.bytes} bytes`;
    case "checkpoint-installed":
      return `took over a checkpoint of group ${happening.group}, ${happening.bytes} bytes`;
    case "trimmed":
      return `forgot the log of group ${happening.group} up to entry ${happening.upTo}`;
    case "damage-found":
      return `found ${happening.found} damaged ${happening.found === 1 ? "record" : "records"} in its journal`;
    case "repaired":
      return `repaired ${happening.repaired} damaged ${happening.repaired === 1 ? "record" : "records"}`;
    case "disk-full":
      return "refuses writes: its disk is full";
    case "space-back":
      return `takes writes again, ${seconds(happening.afterMs)} after its disk was full`;
    default:
      unreachable(happening);
  }
}

function keyChange({ added, gone }: { readonly added: readonly string[]; readonly gone: readonly string[] }): string {
  const parts = [...added.map((key) => `${key} is new`), ...gone.map((key) => `${key} is gone`)];
  return parts.join(", ");
}

/** Of whoever coordinated before this node won. */
function before(why: RoleReason): string {
  return why === "first" || why === "released" ? reasons[why] : `of its predecessor, ${reasons[why]}`;
}

/** Things somebody may have to do something about. */
export function isTroubleKind(kind: string): boolean {
  return (troubles as readonly string[]).includes(kind);
}

const troubles: readonly Happening["kind"][] = [
  "leaderless",
  "suspected",
  "unready",
  "stalled",
  "overloaded",
  "join-refused",
  "join-expired",
  "join-used-twice",
  "config-refused",
  "slow-reader",
  "damage-found",
  "disk-full",
];

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
