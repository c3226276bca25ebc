/**
 * How long groups wait for each other's losses: eight groups send small messages over one lossy link, each in a lane of its own,
 * and once more all in one lane, as a single in-order stream has it. A group stalls while a message is overdue.
 */
import type { Millis } from "../../core/ids.ts";
import type { Congestion } from "../../edge/link/udp/congestion.ts";
import type { Size } from "./case.ts";
import { Net } from "./net.ts";
import { pair } from "./pair.ts";

const groups = 8;
const messageBytes = 60;
/** Later than this behind the path's delay is overdue: above what timers and bundling cost. */
const slackMs = 3;
const warmUpMs = 1_000;

export interface Setting {
  readonly loss: number;
  readonly rttMs: Millis;
  readonly packetsPerSecond: number;
}

export const settings: readonly Setting[] = [0.001, 0.01].flatMap((loss) => [
  { loss, rttMs: 70, packetsPerSecond: 500 },
  { loss, rttMs: 150, packetsPerSecond: 500 },
  { loss, rttMs: 230, packetsPerSecond: 2_000 },
]);

export interface Stalls {
  /** Share of the time in which a group waits, on average. */
  readonly perGroup: number;
  /** The same with everything said twice, as on paths that are known to lose. */
  readonly twice: number;
  /** The same when all are in one stream. */
  readonly oneStream: number;
  /** By the model: a loss stalls its stream for 9/8 of a round trip, and losses come as they like. */
  readonly perGroupExpected: number;
  readonly oneStreamExpected: number;
}

export function measureStalls(seed: number, setting: Setting, forMs: Millis): Stalls {
  const stallsPerSecond = setting.loss * setting.packetsPerSecond;
  const expected = (share: number): number => 1 - Math.exp(-stallsPerSecond * share * setting.rttMs / 1_000 * 9 / 8);
  return {
    perGroup: stalledShare(seed, setting, forMs, (group) => 2 + group * 2),
    twice: stalledShare(seed, setting, forMs, (group) => 2 + group * 2, true),
    oneStream: stalledShare(seed, setting, forMs, () => 2),
    perGroupExpected: expected(1 / groups),
    oneStreamExpected: expected(1),
  };
}

function stalledShare(
  seed: number,
  { loss, rttMs, packetsPerSecond }: Setting,
  forMs: Millis,
  laneOf: (group: number) => number,
  twice = false,
): number {
  const net = new Net(seed);
  const delayMs = rttMs / 2;
  const { a, b } = pair(net, { delayMs, loss, bytesPerMs: Infinity }, { delayMs, bytesPerMs: Infinity }, () => new OpenWindow());
  a.connection.sayTwice(twice);
  const lanes = new Map<number, Lane>();
  b.onStream = (stream, bytes) => lanes.get(stream)!.arrived(bytes.byteLength, net.now);
  const everyMs = 1_000 / packetsPerSecond;
  const message = new Uint8Array(messageBytes);
  let group = 0;
  const send = (): void => {
    const stream = laneOf(group++ % groups);
    const lane = lanes.get(stream) ?? new Lane(delayMs + slackMs);
    lanes.set(stream, lane);
    lane.sent(net.now);
    a.connection.write(stream, message);
    net.turn(a.host);
    if (net.now < forMs) net.queue.after(everyMs, send);
  };
  net.queue.at(warmUpMs, send);
  net.run(forMs + 10 * rttMs);
  let sum = 0;
  for (const lane of lanes.values()) sum += lane.stalledMs;
  // What still waits at the end is counted beyond it.
  return Math.min(1, sum / lanes.size / (forMs - warmUpMs));
}

/** The messages of one stream, in order: when each was due, and what was late in all. */
class Lane {
  stalledMs = 0;
  readonly #allowanceMs: Millis;
  readonly #due: Millis[] = [];
  #next = 0;
  #bytes = 0;
  /** Up to here the stall has been counted. */
  #countedTo = 0;

  constructor(allowanceMs: Millis) {
    this.#allowanceMs = allowanceMs;
  }

  sent(now: Millis): void {
    this.#due.push(now + this.#allowanceMs);
  }

  arrived(bytes: number, now: Millis): void {
    this.#bytes += bytes;
    for (; this.#bytes >= messageBytes; this.#bytes -= messageBytes) {
      const from = Math.max(this.#due[this.#next++]!, this.#countedTo);
      if (now <= from) continue;
      this.stalledMs += now - from;
      this.#countedTo = now;
    }
  }
}

/** No congestion: what is measured is the waiting for each other, and not for a window. */
class OpenWindow implements Congestion {
  readonly windowBytes = 1e9;
  readonly slowStart = false;
  readonly recoveringSince = -Infinity;
  sent(): void {}
  acked(): void {}
  undo(): void {}
  lost(): void {}
  collapse(): void {}
  resize(): void {}
}

/** A table for people. */
export function stallLines(seed: number, size: Size): string[] {
  const percent = (share: number): string => `${(share * 100).toFixed(2)} %`.padStart(9);
  return [
    "loss   | RTT, packets/s   | a lane each: measured, model | one stream: measured, model | times less |     twice | times less",
    ...settings.map((setting) => {
      const { perGroup, twice, oneStream, perGroupExpected, oneStreamExpected } = measureStalls(
        seed,
        setting,
        size === "full" ? 200_000 : 20_000,
      );
      const times = (share: number): string => (oneStream / share).toFixed(1).padStart(10);
      const path = `${String(setting.rttMs).padStart(3)} ms, ${String(setting.packetsPerSecond).padStart(4)}/s`;
      return `${(setting.loss * 100).toFixed(1)} % | ${path.padEnd(16)} | ${percent(perGroup)} ${percent(perGroupExpected)} | ` +
        `${percent(oneStream)} ${percent(oneStreamExpected)} | ${times(perGroup)} | ${percent(twice)} | ${times(twice)}`;
    }),
  ];
}
