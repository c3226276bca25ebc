/** The simulated parts do what they say: chance that repeats, time in order, a lossy network, a disk that forgets. */
import { describe as suite, expect, test } from "bun:test";
import type { JournalRecord } from "../../core/effects.ts";
import { defaultLimits } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import { NodeClock } from "./clocks.ts";
import { Disk, type DiskFaults } from "./disk.ts";
import { Network, type NetworkFaults } from "./network.ts";
import { drawPlan } from "./plan.ts";
import { Prng } from "./prng.ts";
import { EventQueue } from "./queue.ts";

const calm: NetworkFaults = { delayMinMs: 1, delayTypicalMs: 2, loss: 0, duplicate: 0, inOrder: false };
const nack = (promised: number): Message => ({ kind: "nack", group: 1, promised });

function network(faults: NetworkFaults): { queue: EventQueue; net: Network; got: number[] } {
  const queue = new EventQueue();
  const got: number[] = [];
  const deliver = (_from: number, _to: number, message: Message): void => {
    if (message.kind === "nack") got.push(message.promised);
  };
  return { queue, net: new Network({ queue, prng: new Prng(7), faults, deliver }), got };
}

function runAll(queue: EventQueue): void {
  while (queue.step(Infinity));
}

/** Of seed 42; recorded once, the same in Bun, Deno and Node. */
const firstDraws = [1_959_603_763, 2_423_114_712, 2_466_933_512, 1_559_003_235];

const numbers = Array.from({ length: 200 }, (_, index) => index);

suite("chance", () => {
  test("one seed gives one sequence, in every engine", () => {
    const prng = new Prng(42);
    expect([prng.next(), prng.next(), prng.next(), prng.split("x").next()]).toEqual(firstDraws);
  });

  test("a split stream does not depend on what was drawn before", () => {
    const fresh = new Prng(9).split("disk").next();
    const used = new Prng(9);
    for (let i = 0; i < 10; i++) used.next();
    expect(used.split("disk").next()).toBe(fresh);
  });

  test("draws stay in their range and reach its ends", () => {
    const prng = new Prng(1);
    const seen = new Set(numbers.map(() => prng.between(3, 5)));
    expect([...seen].sort()).toEqual([3, 4, 5]);
    expect(numbers.every(() => prng.longTail(10) >= 0 && prng.longTail(10) <= 500)).toBe(true);
  });
});

suite("time", () => {
  test("events run by time, then in the order they were scheduled", () => {
    const queue = new EventQueue();
    const ran: string[] = [];
    queue.at(5, () => ran.push("late"));
    queue.at(1, () => ran.push("first"));
    queue.at(1, () => ran.push("second"));
    queue.cancel(queue.at(2, () => ran.push("never")));
    runAll(queue);
    expect(ran).toEqual(["first", "second", "late"]);
    expect(queue.now).toBe(5);
  });

  test("random events come out sorted", () => {
    const queue = new EventQueue();
    const prng = new Prng(3);
    const times: number[] = [];
    for (let i = 0; i < 500; i++) queue.at(prng.range(0, 100), () => times.push(queue.now));
    runAll(queue);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.length).toBe(500);
  });

  test("a node's clocks drift and step; the monotonic one never goes back", () => {
    const clock = new NodeClock({ offsetMs: 1_000, drift: 0.01, stepMs: 0, stepEveryMs: 1 }, new Prng(5));
    clock.restart(100, 7);
    expect(clock.now(100).mono).toBeCloseTo(7, 6);
    const before = clock.now(200);
    clock.step(-500);
    const after = clock.now(200);
    expect(after.mono).toBe(before.mono);
    expect(after.wall).toBe(before.wall - 500_000);
    expect(clock.trueTimeOf(after.mono)).toBeCloseTo(200, 6);
  });
});

suite("network", () => {
  test("calm: everything arrives once", () => {
    const { queue, net, got } = network({ ...calm, inOrder: true });
    for (const number of numbers) net.send(1, 2, nack(number));
    runAll(queue);
    expect(got).toEqual(numbers);
  });

  test("it reorders, loses and repeats when told to", () => {
    const { queue, net, got } = network({ ...calm, loss: 0.2, duplicate: 0.2 });
    for (const number of numbers) net.send(1, 2, nack(number));
    runAll(queue);
    expect(got).not.toEqual([...got].sort((a, b) => a - b));
    expect(new Set(got).size).toBeLessThan(200);
    expect(got.length).toBeGreaterThan(new Set(got).size);
    expect(net.counts.lost).toBeGreaterThan(10);
  });

  test("a cut is one-way and takes what is under way", () => {
    const { queue, net, got } = network(calm);
    net.send(1, 2, nack(1));
    net.cut(1, 2);
    net.send(1, 2, nack(2));
    net.send(2, 1, nack(3));
    runAll(queue);
    expect(got).toEqual([3]);
    net.mend(1, 2);
    net.send(1, 2, nack(4));
    runAll(queue);
    expect(got).toEqual([3, 4]);
  });

  test("what is held back comes late and whole", () => {
    const { queue, net, got } = network({ ...calm, inOrder: true });
    net.hold(1, 2, 500);
    net.send(1, 2, nack(1));
    while (queue.step(499));
    expect(got).toEqual([]);
    runAll(queue);
    expect(got).toEqual([1]);
  });
});

suite("disk", () => {
  const faults: DiskFaults = { syncMinMs: 1, syncTypicalMs: 0, stallMs: 0, stallChance: 0, keepTornTail: 0 };
  const promise = (ballot: number): JournalRecord => ({ kind: "promise", group: 1, ballot });

  function disk(durability: "sync" | "async" | "memory", change: Partial<DiskFaults> = {}): { queue: EventQueue; disk: Disk } {
    const queue = new EventQueue();
    return { queue, disk: new Disk({ durability, queue, prng: new Prng(1), faults: { ...faults, ...change }, onDurable: () => {} }) };
  }

  test("one sync covers what was handed over before it began; the rest waits for the next", () => {
    const { queue, disk: device } = disk("sync");
    const done: [string, number][] = [];
    device.append([promise(1)], () => done.push(["first", queue.now]));
    device.append([promise(2)], () => done.push(["second", queue.now]));
    runAll(queue);
    expect(done).toEqual([["first", 1], ["second", 2]]);
  });

  test("a crash loses what was not durable, calls nobody back, and keeps the rest", () => {
    const { queue, disk: device } = disk("sync");
    let called = 0;
    device.append([promise(1)], () => called++);
    runAll(queue);
    device.append([promise(2)], () => called++);
    device.crash();
    runAll(queue);
    expect(called).toBe(1);
    expect(device.durable).toEqual([promise(1)]);
  });

  test("a crash may keep a prefix of what was not durable", () => {
    const kept = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const queue = new EventQueue();
      const device = new Disk({
        durability: "sync",
        queue,
        prng: new Prng(seed),
        faults: { ...faults, keepTornTail: 1 },
        onDurable: () => {},
      });
      device.append([promise(1), promise(2)], () => {});
      device.crash();
      expect(device.durable).toEqual([promise(1), promise(2)].slice(0, device.durable.length));
      kept.add(device.durable.length);
    }
    expect([...kept].sort()).toEqual([0, 1, 2]);
  });

  test("memory forgets everything, the operating system's cache nothing", () => {
    const memory = disk("memory");
    memory.disk.append([promise(1)], () => {});
    runAll(memory.queue);
    memory.disk.crash();
    expect(memory.disk.durable).toEqual([]);
    const cached = disk("async");
    cached.disk.append([promise(1)], () => {});
    cached.disk.crash();
    expect(cached.disk.durable).toEqual([promise(1)]);
  });
});

suite("plans", () => {
  test("one seed draws one plan, and every knob comes up both ways", () => {
    expect(drawPlan(11)).toEqual(drawPlan(11));
    const plans = numbers.map((seed) => drawPlan(seed));
    for (
      const [what, is] of Object.entries<(plan: (typeof plans)[number]) => boolean>({
        loss: (plan) => plan.network.loss > 0,
        duplicates: (plan) => plan.network.duplicate > 0,
        partitions: (plan) => plan.trouble.partitionEveryMs < Infinity,
        crashes: (plan) => plan.trouble.crashEveryMs < Infinity,
        "clock steps": (plan) => plan.clock.stepMs > 0,
        handovers: (plan) => plan.trouble.handoverEveryMs < Infinity,
        "small windows": (plan) => plan.limits.windowEntries < defaultLimits.windowEntries,
        rr: (plan) => plan.topology.order.merge === "rr",
        rings: (plan) => plan.topology.groups.some((group) => group.shape === "ring"),
        memory: (plan) => plan.durability === "memory",
        "flexible quorums": (plan) => plan.topology.groups.some((group) => group.q1 !== group.q2),
        "spanning groups": (plan) => plan.topology.groups.some((group) => group.spans.length > 0),
        "learners only": (plan) => plan.topology.groups.some((group) => group.learners.some((node) => !group.acceptors.includes(node))),
      })
    ) {
      const count = plans.filter(is).length;
      expect(count, what).toBeGreaterThan(10);
      expect(count, what).toBeLessThan(200);
    }
  });
});
