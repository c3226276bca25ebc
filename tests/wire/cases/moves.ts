/** A peer whose address changes under it, and keys that change while it talks. */
import type { Case, Outcome, Size } from "../case.ts";
import type { Flows } from "../flow.ts";
import type { Address, Net } from "../net.ts";
import type { End, Pair } from "../pair.ts";
import { greet, two } from "./handshakes.ts";
import { megabits, transfer } from "./transfers.ts";

const sizes: Readonly<Record<Size, number>> = { short: 9_000_000, full: 30_000_000 };

const heartbeatMs = 40;

/** Every 5 s from 1 s on the host of an end gets another address. */
function moving(name: string, promise: string, who: "a" | "b", change: (round: number) => Partial<Address>): Case {
  return {
    name,
    promise,
    run: (seed, size): Outcome => {
      let moves = 0;
      let worstMs = 0;
      const meanwhile = ({ net, ...two }: Pair, flows: Flows): void => {
        let lastAt = 0;
        let received = 0;
        const look = (): void => {
          if (flows.received > received) {
            worstMs = Math.max(worstMs, net.now - lastAt);
            lastAt = net.now;
            received = flows.received;
          }
          if (!flows.done) net.queue.after(5, look);
        };
        net.queue.after(1, look);
        for (const end of [two.a, two.b]) net.queue.after(1, () => beat(net, end, () => flows.done));
        const move = (): void => {
          if (flows.done) return;
          net.rebind(two[who].host, change(++moves));
          net.queue.after(5_000, move);
        };
        net.queue.at(1_000, move);
      };
      const { done, tookMs, bytesPerSecond, a, b } = transfer(seed, { bytes: sizes[size], there: { queue: 60 }, meanwhile });
      const closed = a.closed ?? b.closed;
      if (!done) return { figure: closed === null ? "it never ends" : `closed: ${closed.reason}`, holds: false };
      return {
        figure: `${moves} moves in ${(tookMs / 1_000).toFixed(1)} s, nothing came for ${worstMs.toFixed(0)} ms at worst, ${
          megabits(bytesPerSecond)
        }`,
        holds: moves >= 2 && worstMs <= 1_000,
      };
    },
  };
}

/** Nodes say that they are there all the time: who only listens would not notice that nobody can reach it. */
function beat(net: Net, end: End, done: () => boolean): void {
  end.connection.datagram(new Uint8Array(100), { key: "heartbeat" });
  net.turn(end.host);
  if (!done()) net.queue.after(heartbeatMs, () => beat(net, end, done));
}

export const moveCases: readonly Case[] = [
  moving("rebinding-port", "goes on within 1 s of another port, at 1 s and every 5 s", "a", (round) => ({ port: 4_000 + round })),
  moving("rebinding-address", "goes on within 1 s of another address, at 1 s and every 5 s", "a", (round) => ({
    host: `10.9.0.${round}`,
    port: 4_000 + round,
  })),
  moving(
    "migration",
    "the receiving end moves to another host, and bytes follow it within 1 s",
    "b",
    (round) => ({ host: `10.8.0.${round}` }),
  ),
  {
    name: "move-in-handshake",
    promise: "a node whose port or address changes between the answer to its INIT and its first packet is through within 2 s",
    run: (seed): Outcome => {
      const took = [{ port: 4_001 }, { host: "10.9.0.1" }].map((change) => {
        const pair = two(seed);
        const { net, a } = pair;
        a.host.onArrive = () => {
          a.host.onArrive = () => {};
          net.rebind(a.host, change);
        };
        return greet(pair);
      });
      return { figure: took.map((ms) => `${ms.toFixed(0)} ms`).join(", "), holds: Math.max(...took) <= 2_000 };
    },
  },
  {
    name: "key-update",
    promise: "keys change under way, again and again, and every byte arrives",
    run: (seed, size): Outcome => {
      let updates = 0;
      const meanwhile = ({ net, a, b }: Pair, flows: Flows): void => {
        const update = (): void => {
          if (flows.done) return;
          if ((updates % 2 === 0 ? a : b).protection.update()) updates++;
          net.queue.after(100, update);
        };
        net.queue.at(100, update);
      };
      const { done, tookMs } = transfer(seed, { bytes: sizes[size] / 6, there: { loss: 0.01, reorder: 0.05, reorderMs: 20 }, meanwhile });
      return { figure: `${updates} changes in ${(tookMs / 1_000).toFixed(1)} s`, holds: done && updates >= 5 };
    },
  },
];
