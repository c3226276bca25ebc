/** Bytes come through bad paths whole, and fast enough: the transfer cases of the QUIC interop runner, with its parameters, and ours. */
import type { Millis } from "../../../core/ids.ts";
import type { Case, Outcome, Size } from "../case.ts";
import { Flows } from "../flow.ts";
import { Net } from "../net.ts";
import { type Pair, pair } from "../pair.ts";
import { clear, type Conditions } from "../path.ts";
import { referenceCubic } from "../reference.ts";

/** What a transfer takes at most before it counts as stuck. */
const patienceMs = 600_000;

interface Transfer extends Pair {
  readonly done: boolean;
  readonly tookMs: Millis;
  readonly bytesPerSecond: number;
}

/** `meanwhile` is called before anything is sent: to let things happen to the pair. */
export function transfer(
  seed: number,
  options: {
    readonly bytes: number;
    readonly there: Partial<Conditions>;
    readonly back?: Partial<Conditions>;
    readonly streams?: number;
    readonly meanwhile?: (two: Pair, flows: Flows) => void;
  },
): Transfer {
  const net = new Net(seed);
  const two = pair(net, options.there, options.back ?? options.there);
  const flows = new Flows(net, two.a, two.b);
  options.meanwhile?.(two, flows);
  const streams = options.streams ?? 1;
  for (let index = 0; index < streams; index++) flows.start(2 + index * 2, Math.ceil(options.bytes / streams));
  const done = net.run(patienceMs, () => flows.done || two.a.closed !== null || two.b.closed !== null) && flows.done;
  return { ...two, done, tookMs: net.now, bytesPerSecond: flows.received / net.now * 1_000 };
}

export function megabits(bytesPerSecond: number): string {
  return `${(bytesPerSecond * 8 / 1e6).toFixed(2)} Mbit/s`;
}

function why({ a, b }: Pair): string {
  const closed = a.closed ?? b.closed;
  return closed === null ? "it never ends" : `closed: ${closed.reason}`;
}

const sizes: Readonly<Record<Size, number>> = { short: 500_000, full: 10_000_000 };

/** Nothing but arriving whole is asked for. */
function wholly(name: string, promise: string, conditions: Partial<Conditions>, bytes: Readonly<Record<Size, number>> = sizes): Case {
  return {
    name,
    promise,
    run: (seed, size) => {
      const result = transfer(seed, { bytes: bytes[size], there: conditions });
      const { done, tookMs, bytesPerSecond } = result;
      if (!done) return { figure: why(result), holds: false };
      return {
        figure: `${(bytes[size] / 1e6).toFixed(1)} MB in ${(tookMs / 1_000).toFixed(1)} s, ${megabits(bytesPerSecond)}`,
        holds: true,
      };
    },
  };
}

/** A flow that lasts, and what a reference flow gets out of the same path. */
function besides(name: string, least: number, conditions: Partial<Conditions>): Case {
  return {
    name,
    promise: `at least ${least * 100} % of what a CUBIC flow without pacing gets that learns of everything at once`,
    run: (seed, size) => {
      const forMs = size === "full" ? 300_000 : 60_000;
      const net = new Net(seed);
      const { a, b } = pair(net, conditions, { ...conditions, loss: 0 });
      const flows = new Flows(net, a, b);
      flows.start(2, 1e9);
      net.run(forMs);
      const ours = flows.received / forMs * 1_000;
      // One run of the reference depends on its luck: several have less.
      const runs = [1, 2, 3, 4, 5].map((run) => referenceCubic(seed + run, conditions, forMs).bytesPerSecond);
      const reference = runs.reduce((sum, one) => sum + one, 0) / runs.length;
      const share = ours / reference;
      return { figure: `${megabits(ours)}, ${(share * 100).toFixed(0)} % of ${megabits(reference)}`, holds: share >= least };
    },
  };
}

/** How long after each black-out the first new bytes came. */
function blackOuts(name: string, rttMs: Millis): Case {
  const blackOut = { everyMs: 7_000, darkMs: 2_000 };
  return {
    name,
    promise: "goes on within a round trip and 500 ms of the light, after 2 s of darkness in every 7 s",
    run: (seed, size) => {
      const net = new Net(seed);
      const { a, b } = pair(net, { delayMs: rttMs / 2, blackOut, queue: 60 });
      const flows = new Flows(net, a, b);
      flows.start(2, 1e9);
      let worstMs = 0;
      const rounds = size === "full" ? 20 : 4;
      for (let round = 1; round <= rounds; round++) {
        // What was under way when darkness fell still comes; what counts comes after the light.
        net.run(round * blackOut.everyMs);
        const before = flows.received;
        const lightAt = net.now;
        const came = net.run(lightAt + 5_000, () => flows.received > before);
        worstMs = Math.max(worstMs, came ? net.now - lightAt : Infinity);
      }
      return {
        figure: `${rounds} black-outs, at ${rttMs} ms RTT at worst ${worstMs.toFixed(0)} ms, ${megabits(flows.received / net.now * 1_000)}`,
        holds: worstMs <= rttMs + 500,
      };
    },
  };
}

/** A path of the wild: everything at once. */
const wan: Partial<Conditions> = { delayMs: 40, loss: 0.05, duplicate: 0.01, reorder: 0.1, reorderMs: 20, corrupt: 0.001, queue: 100 };

export const transferCases: readonly Case[] = [
  wholly("transfer-loss", "whole at 2 % loss, both ways", { loss: 0.02, burstMax: 3 }),
  wholly("transfer-corruption", "whole with 2 % of the datagrams damaged, both ways", { corrupt: 0.02 }),
  wholly("long-rtt", "whole at 750 ms one way, 10 Mbit/s, a queue of 25", { delayMs: 750 }, { short: 200_000, full: 10_000_000 }),
  wholly("black-hole", "whole over a path that is there for 5 s and gone for 2 s", {
    blackOut: { everyMs: 7_000, darkMs: 2_000 },
  }, { short: 8_000_000, full: 20_000_000 }),
  wholly("reordering", "whole when a tenth comes up to 20 ms late", { reorder: 0.1, reorderMs: 20 }),
  wholly("duplicates", "whole when a tenth comes twice", { duplicate: 0.1 }),
  wholly("narrow", "whole over a path that takes 1 200 bytes and no more", { bytesMax: 1_200 }),
  blackOuts("black-out-30", 30),
  blackOuts("black-out-80", 80),
  blackOuts("black-out-230", 230),
  besides("loss-1-cubic", 0.7, { delayMs: 75, loss: 0.01, queue: 200 }),
  besides("loss-5-cubic", 0.6, { delayMs: 40, loss: 0.05, queue: 200 }),
  wholly("wan", "whole at 5 % loss, 1 % twice, a tenth up to 20 ms late, 0.1 % damaged", wan, { short: 300_000, full: 3_000_000 }),
  {
    name: "multiplexing",
    promise: "2 000 streams at 1 % loss, each whole",
    run: (seed, size): Outcome => {
      const bytes = size === "full" ? 32_000_000 : 640_000;
      const result = transfer(seed, { bytes, streams: 2_000, there: { loss: 0.01 } });
      if (!result.done) return { figure: why(result), holds: false };
      return {
        figure: `2 000 streams of ${bytes / 2_000} bytes in ${(result.tookMs / 1_000).toFixed(1)} s, ${megabits(result.bytesPerSecond)}`,
        holds: true,
      };
    },
  },
  {
    name: "full-rate",
    promise: "at least 85 % of a clear path of 10 Mbit/s",
    run: (seed, size): Outcome => {
      const result = transfer(seed, { bytes: size === "full" ? 10_000_000 : 3_000_000, there: { queue: 60 } });
      const share = result.bytesPerSecond / (clear.bytesPerMs * 1_000);
      return { figure: `${megabits(result.bytesPerSecond)}, ${(share * 100).toFixed(0)} %`, holds: result.done && share >= 0.85 };
    },
  },
];
