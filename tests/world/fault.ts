/** What can befall the world, as data: drawn as a list, printed, replayed, and left out one by one. */
import type { GroupId, Millis, NodeId } from "../../core/ids.ts";
import type { Durability } from "../../core/node.ts";
import type { Topology } from "../../core/topology.ts";
import type { Prng } from "../sim/prng.ts";

/** A node, or 0 for the one that coordinates the first group at that moment: nobody is missed more. */
export type Target = NodeId | 0;

export type Fault = { readonly at: Millis } & Trouble;

export type Trouble =
  /** The connections between two nodes break. */
  | { readonly kind: "break"; readonly nodes: readonly [NodeId, NodeId] }
  /** Nothing passes these ways; what was sent comes later, unless the connections break at the end. */
  | { readonly kind: "cut"; readonly shape: CutShape; readonly target: Target; readonly lastsMs: Millis; readonly breaks: boolean }
  | { readonly kind: "slow-path"; readonly from: NodeId; readonly to: NodeId; readonly byMs: Millis; readonly lastsMs: Millis }
  | { readonly kind: "crash"; readonly how: "power" | "kill" | "stop"; readonly target: Target; readonly downMs: Millis }
  /** Everybody loses power at once. */
  | { readonly kind: "black-out"; readonly downMs: readonly Millis[] }
  | { readonly kind: "pause"; readonly target: Target; readonly lastsMs: Millis }
  | { readonly kind: "clock-step"; readonly target: Target; readonly byMs: Millis }
  | { readonly kind: "slow-disk"; readonly target: Target; readonly byMs: Millis; readonly lastsMs: Millis }
  | { readonly kind: "full-disk"; readonly target: Target; readonly lastsMs: Millis }
  /** The next sync, or write, reports an error, which ends the process. */
  | { readonly kind: "failed-sync"; readonly target: Target }
  | { readonly kind: "failed-write"; readonly target: Target }
  /** The machine loses its power, and what it comes back with is an empty disk. */
  | { readonly kind: "wipe"; readonly target: Target; readonly downMs: Millis }
  /** Bits change in files that were safe: of a machine without power, or of one that runs and ends after `downMs`. */
  | { readonly kind: "flip"; readonly target: Target; readonly bits: number; readonly running: boolean; readonly downMs: Millis }
  | { readonly kind: "handover"; readonly group: GroupId; readonly to: NodeId | 0 };

/** Who does not hear whom: nobody the target, the target nobody, both, or two halves each other (the target in the first). */
export type CutShape = "deaf" | "mute" | "isolated" | { readonly half: readonly NodeId[] } | { readonly path: NodeId };

export type FaultKind = Trouble["kind"];

/** Faults begin once everybody has had the time to start, or right in the middle of that. */
const calmMs = [0, 30, 400] as const;

/** `often`: these only, and many of them. */
export function drawFaults(
  prng: Prng,
  topology: Topology,
  durability: Durability,
  untilMs: Millis,
  often: readonly FaultKind[] = [],
): Fault[] {
  const nodes = topology.nodes.map(({ id }) => id);
  const target = (own: Prng): Target => own.chance(0.4) ? 0 : own.pick(nodes);
  const down = (own: Prng): Millis => own.longTail(own.pick([5, 60, 400]));
  const draws: Readonly<Record<FaultKind, (own: Prng) => Trouble>> = {
    "break": (own) => ({ kind: "break", nodes: own.sample(nodes, 2) as [NodeId, NodeId] }),
    "cut": (own) => ({ kind: "cut", shape: drawCut(own, nodes), target: target(own), lastsMs: own.longTail(300), breaks: own.chance(0.5) }),
    "slow-path": (own) => {
      const [from, to] = own.sample(nodes, 2);
      return { kind: "slow-path", from: from!, to: to!, byMs: own.pick([10, 100, 400]), lastsMs: own.longTail(500) };
    },
    "crash": (own) => ({ kind: "crash", how: drawEnd(own, durability), target: target(own), downMs: down(own) }),
    "black-out": (own) => ({ kind: "black-out", downMs: nodes.map(() => down(own)) }),
    "pause": (own) => ({ kind: "pause", target: target(own), lastsMs: own.longTail(own.pick([50, 300, 1_500])) }),
    "clock-step": (own) => ({ kind: "clock-step", target: target(own), byMs: own.range(-1, 1) * own.pick([50, 3_000, 3_600_000]) }),
    "slow-disk": (own) => ({ kind: "slow-disk", target: target(own), byMs: own.pick([20, 150]), lastsMs: own.longTail(500) }),
    "full-disk": (own) => ({ kind: "full-disk", target: target(own), lastsMs: own.longTail(500) }),
    "failed-sync": (own) => ({ kind: "failed-sync", target: target(own) }),
    "failed-write": (own) => ({ kind: "failed-write", target: target(own) }),
    "wipe": (own) => ({ kind: "wipe", target: target(own), downMs: down(own) }),
    "flip": (own) => ({ kind: "flip", target: target(own), bits: own.pick([1, 1, 10]), running: own.chance(0.5), downMs: down(own) }),
    "handover": (own) => ({ kind: "handover", group: own.pick(topology.groups).id, to: own.pick([0, ...nodes]) }),
  };
  const faults: Fault[] = [];
  const from = prng.split("calm").pick(calmMs);
  for (const [kind, draw] of Object.entries(draws) as [FaultKind, (own: Prng) => Trouble][]) {
    const own = prng.split(kind);
    const mean = often.length > 0 ? own.range(100, 500) : own.range(500, 4_000);
    const wanted = often.length > 0 ? often.includes(kind) : own.chance(0.5);
    if (!wanted || !bearable(kind, durability)) continue;
    for (let at = from + own.range(0, 2 * mean); at < untilMs; at += own.range(0, 2 * mean)) faults.push({ at, ...draw(own) });
  }
  return faults.sort((a, b) => a.at - b.at);
}

/** What is promised for less than `sync` is less: `async` survives its processes, not its machines; `memory` one process at a time. */
function bearable(kind: FaultKind, durability: Durability): boolean {
  const losing: readonly FaultKind[] = ["black-out", "failed-sync", "failed-write", "full-disk", "wipe", "flip"];
  return durability === "sync" || !losing.includes(kind);
}

function drawEnd(prng: Prng, durability: Durability): "power" | "kill" | "stop" {
  const how = prng.pick(["power", "power", "kill", "stop"] as const);
  return durability === "sync" || how !== "power" ? how : "kill";
}

function drawCut(prng: Prng, nodes: readonly NodeId[]): CutShape {
  const shape = prng.pick(["deaf", "mute", "isolated", "half", "path"] as const);
  if (shape === "half") return { half: prng.sample(nodes, prng.between(1, nodes.length - 1)) };
  if (shape === "path") return { path: prng.pick(nodes) };
  return shape;
}

/** The ways a cut closes. */
export function waysOf(shape: CutShape, target: NodeId, nodes: readonly NodeId[]): (readonly [from: NodeId, to: NodeId])[] {
  const others = nodes.filter((node) => node !== target);
  const out = others.map((node) => [target, node] as const);
  const back = others.map((node) => [node, target] as const);
  if (shape === "mute") return out;
  if (shape === "deaf") return back;
  if (shape === "isolated") return [...out, ...back];
  if ("path" in shape) return shape.path === target ? [] : [[target, shape.path]];
  const left = nodes.filter((node) => shape.half.includes(node));
  const right = nodes.filter((node) => !shape.half.includes(node));
  return left.flatMap((a) => right.flatMap((b) => [[a, b] as const, [b, a] as const]));
}

/** One line, for people. */
export function describeFault({ at, kind, ...rest }: Fault): string {
  const parts = Object.entries(rest).map(([name, value]) =>
    `${name}=${typeof value === "number" ? Math.round(value * 100) / 100 : JSON.stringify(value)}`
  );
  return `${at.toFixed(1).padStart(8)} ${kind} ${parts.join(" ")}`;
}
