/** A small seeded generator for tests, and messages and records made with it. */
import type { JournalRecord } from "../../core/effects.ts";
import type { Batch, Entry } from "../../core/entry.ts";
import type { Beat, Message } from "../../core/message.ts";
import type { Position } from "../../core/position.ts";

/** mulberry32: one number of state, the same in every runtime. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    let mixed = this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    mixed = Math.imul(mixed ^ mixed >>> 15, mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return (mixed ^ mixed >>> 14) >>> 0;
  }

  /** 0 ≤ result < end. */
  below(end: number): number {
    return Math.floor(this.u32() / 2 ** 32 * end);
  }

  chance(probability: number): boolean {
    return this.u32() < probability * 2 ** 32;
  }

  pick<Thing>(things: readonly Thing[]): Thing {
    return things[this.below(things.length)]!;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** Whole numbers where encodings break: edges of 8, 16, 32 and 53 bits. */
  number(bits: number): number {
    const limit = 2 ** bits;
    const edge = 2 ** this.below(bits + 1) - this.below(2);
    return this.chance(0.5) ? Math.max(0, Math.min(limit - 1, edge)) : Math.floor(this.u32() / 2 ** 32 * limit);
  }
}

function many<Thing>(random: Random, most: number, make: () => Thing): Thing[] {
  return Array.from({ length: random.below(most + 1) }, make);
}

export function randomBatch(random: Random): Batch {
  return {
    origin: random.number(53),
    sequence: random.number(53),
    count: Math.max(1, random.number(32)),
    bytes: random.bytes(random.pick([0, 1, 7, 40, 300])),
  };
}

export function randomEntry(random: Random): Entry {
  const kind = random.pick(["batch", "batch", "skip", "start"] as const);
  return {
    instance: random.number(53),
    ballot: random.number(53),
    stamp: random.number(53),
    count: random.number(32),
    slotBase: random.number(53),
    slots: random.number(53),
    kind,
    batches: kind === "batch" ? [randomBatch(random), ...many(random, 3, () => randomBatch(random))] : [],
  };
}

function randomBeat(random: Random): Beat {
  const u53 = () => random.number(53);
  return {
    group: random.number(16),
    voting: random.chance(0.5),
    promised: u53(),
    logBallot: u53(),
    voted: u53(),
    last: u53(),
    decided: u53(),
    clock: u53(),
    coordinates: u53(),
    slots: u53(),
    safe: u53(),
    trimmed: u53(),
  };
}

export const messageKinds: readonly Message["kind"][] = [
  "propose",
  "prepare",
  "promise",
  "accept",
  "vote",
  "nack",
  "fetch",
  "entries",
  "heartbeat",
  "ask",
  "answer",
  "release",
  "seek",
  "offer",
  "pull",
  "piece",
];

export function randomMessage(random: Random, kind: Message["kind"] = random.pick(messageKinds)): Message {
  const group = random.number(16);
  const u53 = () => random.number(53);
  const ballot = u53();
  const yes = () => random.chance(0.5);
  switch (kind) {
    case "propose":
      return { kind, group, batches: many(random, 4, () => randomBatch(random)) };
    case "prepare":
      return { kind, group, ballot, trial: yes(), released: u53() };
    case "promise":
      return {
        kind,
        group,
        ballot,
        trial: yes(),
        granted: yes(),
        promised: u53(),
        logBallot: u53(),
        last: u53(),
        decided: u53(),
        clock: u53(),
      };
    case "accept":
      return { kind, group, ballot, base: u53(), start: u53(), ring: yes(), entry: randomEntry(random), decided: u53(), clock: u53() };
    case "vote":
      return {
        kind,
        group,
        ballot,
        ring: yes(),
        votes: many(random, 5, () => ({ node: random.number(16), upTo: u53(), clock: u53() })),
      };
    case "nack":
      return { kind, group, promised: u53() };
    case "fetch":
      return { kind, group, from: u53(), bytesMax: u53() };
    case "entries":
      return {
        kind,
        group,
        promised: u53(),
        ballot,
        base: u53(),
        start: u53(),
        last: u53(),
        decided: u53(),
        entries: many(random, 4, () => randomEntry(random)),
      };
    case "heartbeat":
      return {
        kind,
        incarnation: random.number(32),
        sequence: u53(),
        sentAt: u53() / 1_000,
        echoIncarnation: random.number(32),
        echoSentAt: u53() / 1_000,
        echoHeldMs: random.number(20) / 7,
        nextInMs: 75,
        hurry: yes(),
        beats: many(random, 5, () => randomBeat(random)),
      };
    case "ask":
      return { kind, group, request: u53() };
    case "answer":
      return { kind, group, request: u53(), stamp: u53(), slots: u53() };
    case "release":
      return { kind, group, ballot };
    case "seek":
      return { kind, request: random.number(32), replica: `g${group}` };
    case "offer":
      return { kind, request: random.number(32), replica: `g${group}`, position: randomPosition(random), bytes: u53() };
    case "pull":
      return {
        kind,
        request: random.number(32),
        replica: `g${group}`,
        position: randomPosition(random),
        offset: u53(),
        length: random.number(32),
      };
    case "piece":
      return { kind, request: random.number(32), offset: u53(), bytes: Uint8Array.from(many(random, 9, () => random.number(8))) };
  }
}

function randomPosition(random: Random): Position {
  return { major: random.number(53), group: random.number(16), minor: random.number(8) };
}

export const recordKinds: readonly JournalRecord["kind"][] = ["promise", "accept", "install", "learn", "decided", "ceiling", "base"];

export function randomRecord(random: Random, kind: JournalRecord["kind"] = random.pick(recordKinds)): JournalRecord {
  const group = random.number(16);
  const u53 = () => random.number(53);
  switch (kind) {
    case "promise":
      return { kind, group, ballot: u53() };
    case "accept":
      return { kind, group, ballot: u53(), entry: randomEntry(random) };
    case "install":
      return {
        kind,
        group,
        ballot: u53(),
        base: u53(),
        start: u53(),
        above: u53(),
        entries: many(random, 4, () => randomEntry(random)),
      };
    case "learn":
      return { kind, group, promised: u53(), above: u53(), entries: many(random, 4, () => randomEntry(random)) };
    case "decided":
      return { kind, group, upTo: u53() };
    case "ceiling":
      return { kind, stamp: u53() };
    case "base":
      return {
        kind,
        group,
        promised: u53(),
        ballot: u53(),
        base: u53(),
        start: u53(),
        foundation: {
          instance: u53(),
          ballot: u53(),
          stamp: u53(),
          slots: u53(),
          started: many(random, 3, () => ({ ballot: u53(), instance: u53() })),
          seen: many(random, 4, () => ({ origin: u53(), upTo: u53(), ahead: many(random, 3, u53) })),
        },
        trimmed: u53(),
        landmarks: many(random, 3, () => ({ instance: u53(), stamp: u53(), slotBase: u53() })),
        repeated: many(random, 3, () => ({ instance: u53(), batches: many(random, 3, () => random.number(32)) })),
        entries: many(random, 4, () => randomEntry(random)),
      };
  }
}
