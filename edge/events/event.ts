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
  "config-refused",
  "slow-reader",
  "damage-found",
  "disk-full",
];

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
