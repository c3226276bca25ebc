/** What befalls the nodes: cuts, held-back paths, crashes, pauses, clock steps, forced hand-overs. Healed at the end. */
import type { GroupId, Millis, NodeId } from "../../core/ids.ts";
import type { Host } from "./host.ts";
import type { Network } from "./network.ts";
import { indispensable, type Plan, type Scar } from "./plan.ts";
import type { Prng } from "./prng.ts";
import type { EventQueue } from "./queue.ts";

export interface FaultCounts {
  partitions: number;
  oneWayCuts: number;
  holds: number;
  crashes: number;
  pauses: number;
  clockSteps: number;
  handovers: number;
  eclipses: number;
}

export class Faults {
  readonly counts: FaultCounts = {
    partitions: 0,
    oneWayCuts: 0,
    holds: 0,
    crashes: 0,
    pauses: 0,
    clockSteps: 0,
    handovers: 0,
    eclipses: 0,
  };
  /** After healing: the node that stays broken, and how. */
  scar: Scar = "none";
  scarred: NodeId = 0;
  #over = false;
  readonly #plan: Plan;
  readonly #queue: EventQueue;
  readonly #prng: Prng;
  readonly #network: Network;
  readonly #hosts: ReadonlyMap<NodeId, Host>;
  readonly #crash: (host: Host) => void;
  readonly #start: (host: Host) => void;
  readonly #mayLose: (node: NodeId) => boolean;

  constructor(
    options: {
      plan: Plan;
      queue: EventQueue;
      prng: Prng;
      network: Network;
      hosts: ReadonlyMap<NodeId, Host>;
      crash: (host: Host) => void;
      start: (host: Host) => void;
      /** Every replica has a checkpoint again, if it would need one. */
      mayLose: (node: NodeId) => boolean;
    },
  ) {
    this.#plan = options.plan;
    this.#queue = options.queue;
    this.#prng = options.prng;
    this.#network = options.network;
    this.#hosts = options.hosts;
    this.#crash = options.crash;
    this.#start = options.start;
    this.#mayLose = options.mayLose;
  }

  begin(): void {
    const { trouble, clock } = this.#plan;
    this.#every("partition", trouble.partitionEveryMs, (prng) => this.#partition(prng));
    this.#every("hold", trouble.holdEveryMs, (prng) => this.#hold(prng));
    this.#every("crash", trouble.crashEveryMs, (prng) => this.#crashOne(prng));
    this.#every("pause", trouble.pauseEveryMs, (prng) => this.#pause(prng));
    this.#every("handover", trouble.handoverEveryMs, (prng) => this.#handover(prng));
    this.#every("eclipse", trouble.eclipseEveryMs, (prng) => this.#eclipse(prng));
    this.#every("unreachable", trouble.unreachableEveryMs, (prng) => {
      const [node, other] = prng.sample(this.#nodes, 2);
      this.#hosts.get(node!)!.submit({ kind: "unreachable", node: other! });
    });
    if (clock.stepMs > 0) {
      this.#every("clock", clock.stepEveryMs, (prng) => {
        this.counts.clockSteps++;
        this.#hosts.get(prng.pick(this.#nodes))!.clock.step(prng.range(-clock.stepMs, clock.stepMs));
      });
    }
  }

  /** The world is kind from now on, but for one scar that leaves every group its quorums. */
  heal(): void {
    this.#over = true;
    this.#network.mendAll();
    this.#network.faults = { delayMinMs: 0.1, delayTypicalMs: 0.5, loss: 0, duplicate: 0, inOrder: this.#network.faults.inOrder };
    for (const host of this.#hosts.values()) {
      host.disk.faults = { ...host.disk.faults, syncMinMs: 0.1, syncTypicalMs: 0.2, stallChance: 0 };
      host.resume();
    }
    this.#scar();
    for (const host of this.#hosts.values()) {
      if (!host.up && !(this.scar === "dead" && host.id === this.scarred)) this.#start(host);
    }
  }

  #scar(): void {
    const candidates = this.#nodes.filter((node) => !indispensable(this.#plan.topology, node));
    if (this.#plan.scar === "none" || candidates.length === 0) return;
    // Who forgets may be the only one that still knows what the scarred one said.
    if (this.#plan.durability === "memory") return;
    this.scar = this.#plan.scar;
    this.scarred = this.#prng.pick(candidates);
    const host = this.#hosts.get(this.scarred)!;
    if (this.scar === "dead") {
      if (host.up) this.#crash(host);
      return;
    }
    for (const other of this.#nodes) {
      if (this.scar === "deaf") this.#network.cut(other, this.scarred);
      else this.#network.cut(this.scarred, other);
    }
  }

  get #nodes(): NodeId[] {
    return [...this.#hosts.keys()];
  }

  #partition(prng: Prng): void {
    this.counts.partitions++;
    const mode = prng.pick(["split", "isolate", "deaf", "mute", "path", "bridge"]);
    const nodes = this.#aimed(prng, prng.shuffle(this.#nodes));
    const cuts: [NodeId, NodeId][] = [];
    const [first, second] = nodes;
    for (const other of nodes) {
      if (other === first) continue;
      if (mode === "isolate" || mode === "deaf") cuts.push([other, first!]);
      if (mode === "isolate" || mode === "mute") cuts.push([first!, other]);
    }
    if (mode === "path") cuts.push([first!, second!]);
    if (mode === "split" || mode === "bridge") {
      const size = prng.between(1, nodes.length - 1);
      // A bridge is heard on both sides.
      const left = nodes.slice(0, size);
      const right = nodes.slice(mode === "bridge" ? size + 1 : size);
      for (const a of left) for (const b of right) cuts.push([a, b], [b, a]);
    }
    if (mode === "deaf" || mode === "mute" || mode === "path") this.counts.oneWayCuts++;
    for (const [from, to] of cuts) this.#network.cut(from, to);
    this.#queue.after(prng.longTail(this.#plan.trouble.partitionLastsMs), () => {
      if (this.#over) return;
      for (const [from, to] of cuts) this.#network.mend(from, to);
    });
  }

  /** Half of the time the first one to suffer is a coordinator: nobody is missed more. */
  #aimed(prng: Prng, nodes: readonly NodeId[]): readonly NodeId[] {
    const coordinators = nodes.filter((node) => this.#hosts.get(node)!.view?.groups.some((group) => group.coordinates !== 0));
    if (coordinators.length === 0 || prng.chance(0.5)) return nodes;
    const first = prng.pick(coordinators);
    return [first, ...nodes.filter((node) => node !== first)];
  }

  /** One node's messages, or what is sent to it, come late but whole: how a coordinator becomes stale. */
  #hold(prng: Prng): void {
    this.counts.holds++;
    const node = this.#aimed(prng, prng.shuffle(this.#nodes))[0]!;
    const until = this.#queue.now + prng.longTail(this.#plan.trouble.partitionLastsMs);
    const way = prng.pick(["out", "in", "both"]);
    for (const other of this.#nodes) {
      if (other === node || prng.chance(0.2)) continue;
      if (way !== "in") this.#network.hold(node, other, until);
      if (way !== "out") this.#network.hold(other, node, until);
    }
  }

  /**
   * A group's coordinator and the other acceptors do not hear each other, and nobody but they hears the one of them that may follow it:
   * whoever learns then hears the old coordinator, and acceptors that have promised the new one.
   */
  #eclipse(prng: Prng): void {
    const led = [...this.#hosts.values()].flatMap((host) =>
      (host.view?.groups ?? []).flatMap(({ group, coordinates }) => coordinates === 0 ? [] : [{ node: host.id, group }])
    );
    if (led.length === 0) return;
    this.counts.eclipses++;
    const { node, group } = prng.pick(led);
    const others = prng.shuffle(this.#plan.topology.groups.find(({ id }) => id === group)!.acceptors.filter((other) => other !== node));
    const until = this.#queue.now + prng.range(1, 3) * this.#plan.trouble.partitionLastsMs;
    for (const other of others) {
      this.#network.hold(node, other, until);
      this.#network.hold(other, node, until);
    }
    const [heir] = others;
    for (const other of this.#nodes) if (other !== heir && !others.includes(other)) this.#network.hold(heir!, other, until);
  }

  #crashOne(prng: Prng): void {
    const up = [...this.#hosts.values()].filter((host) => host.up && this.#mayForget(host.id));
    if (up.length === 0) return;
    this.counts.crashes++;
    const host = prng.pick(up);
    this.#crash(host);
    this.#queue.after(prng.longTail(this.#plan.trouble.downMs), () => {
      if (!this.#over && !host.up) this.#start(host);
    });
  }

  /**
   * Without a disk only one acceptor of a group may be gone or still asking at a time, and the others must be able to
   * begin a ballot without it. Where logs have been trimmed only one replica may be without a checkpoint, and never the only one.
   */
  #mayForget(node: NodeId): boolean {
    if (this.#plan.durability !== "memory") return true;
    if (!this.#mayLose(node)) return false;
    return this.#plan.topology.groups.every(({ id, acceptors, q1 }) =>
      !acceptors.includes(node) || (q1 < acceptors.length && acceptors.every((other) => this.#remembers(other, id)))
    );
  }

  #remembers(node: NodeId, group: GroupId): boolean {
    const host = this.#hosts.get(node)!;
    return host.up && (host.view?.groups.find((view) => view.group === group)?.voting ?? false);
  }

  #pause(prng: Prng): void {
    this.counts.pauses++;
    this.#hosts.get(prng.pick(this.#nodes))!.pause(this.#queue.now + prng.longTail(this.#plan.trouble.pauseMs));
  }

  #handover(prng: Prng): void {
    this.counts.handovers++;
    const group = prng.pick(this.#plan.topology.groups);
    const to = prng.pick([0, ...group.acceptors]);
    for (const node of group.acceptors) this.#hosts.get(node)!.submit({ kind: "handover", group: group.id, to });
  }

  #every(name: string, mean: Millis, act: (prng: Prng) => void): void {
    if (mean === Infinity) return;
    const prng = this.#prng.split(name);
    const next = (): void => {
      this.#queue.after(prng.range(0, 2 * mean), () => {
        if (this.#over) return;
        act(prng);
        next();
      });
    };
    next();
  }
}
