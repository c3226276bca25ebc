/** The world's datagrams keep the contract of real ones: each by itself, none promised, nothing shared with the sender. */
import { expect, test } from "bun:test";
import type { DatagramSocket, Runtime } from "../../edge/runtime.ts";
import { NodeClock } from "../sim/clocks.ts";
import { Prng } from "../sim/prng.ts";
import type { Buggify } from "./buggify.ts";
import { type DatagramFaults, harmless } from "./datagrams.ts";
import { SimDisk } from "./disk.ts";
import { Loop } from "./loop.ts";
import { Machine } from "./machine.ts";
import { Network } from "./network.ts";
import { simulatedRuntime } from "./runtime.ts";

interface Pair {
  readonly loop: Loop;
  readonly network: Network;
  readonly machines: readonly [Machine, Machine];
  readonly runtimes: readonly [Runtime, Runtime];
  readonly sockets: readonly [DatagramSocket, DatagramSocket];
  /** What the second has got, in order. */
  readonly got: { readonly text: string; readonly from: string }[];
}

async function pair(datagrams: Partial<DatagramFaults> = {}): Promise<Pair> {
  const loop = new Loop();
  const prng = new Prng(7);
  const machines = new Map<number, Machine>();
  // A seed under which no socket is full and no refusal is told.
  const buggify = { strikes: () => null } as unknown as Buggify;
  const disk = { syncMinMs: 0, syncTypicalMs: 0, torn: 0, whole: 0 };
  for (const id of [1, 2]) {
    machines.set(
      id,
      new Machine({
        id,
        loop,
        clock: new NodeClock({ offsetMs: 0, drift: 0, stepMs: 0, stepEveryMs: Infinity }, prng),
        disk: new SimDisk(`n${id}`, disk, prng, buggify, { onSafe: () => {} }),
        prng,
      }),
    );
  }
  const network = new Network({
    loop,
    prng,
    faults: { delayMinMs: 1, delayTypicalMs: 1, loss: 0, bytesPerMs: 1_000, datagrams: { ...harmless, ...datagrams } },
    machines,
    buggify,
    events: { onArrival: () => {} },
  });
  const [a, b] = [machines.get(1)!, machines.get(2)!];
  const runtimes = [a, b].map((machine) => simulatedRuntime(machine.begin(), network, { turnMs: 1, sealing: "real" }, buggify)) as [
    Runtime,
    Runtime,
  ];
  const got: { text: string; from: string }[] = [];
  const quiet = { onDatagram: () => {}, onTrouble: () => {} };
  const first = await runtimes[0].openDatagrams({ host: "10.0.0.1", port: 4000 }, quiet);
  const second = await runtimes[1].openDatagrams({ host: "10.0.0.2", port: 4000 }, {
    ...quiet,
    onDatagram: ({ host, port, bytes }) => got.push({ text: new TextDecoder().decode(bytes), from: `${host}:${port}` }),
  });
  return { loop, network, machines: [a, b], runtimes, sockets: [first, second], got };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const numbers = Array.from({ length: 200 }, (_, index) => String(index));

function sendAll({ sockets }: Pair, texts: readonly string[]): void {
  for (const text of texts) sockets[0].send([{ host: "10.0.0.2", port: 4000, bytes: bytes(text) }]);
}

test("they arrive in order where nothing goes wrong, and say whence", async () => {
  const two = await pair();
  sendAll(two, numbers);
  await two.loop.run(1_000);
  expect(two.got).toEqual(numbers.map((text) => ({ text, from: "10.0.0.1:4000" })));
});

test("the sender's bytes are its own again at once", async () => {
  const two = await pair({ duplicate: 1 });
  const buffer = bytes("before");
  two.sockets[0].send([{ host: "10.0.0.2", port: 4000, bytes: buffer }]);
  buffer.fill(0);
  await two.loop.run(1_000);
  expect(two.got.map(({ text }) => text)).toEqual(["before", "before"]);
});

test("some are lost, some come late", async () => {
  const lossy = await pair({ loss: 0.5 });
  sendAll(lossy, numbers);
  await lossy.loop.run(1_000);
  expect(lossy.got.length).toBeGreaterThan(50);
  expect(lossy.got.length).toBeLessThan(150);
  const mixed = await pair({ late: 0.3 });
  sendAll(mixed, numbers);
  await mixed.loop.run(3_000);
  const order = mixed.got.map(({ text }) => text);
  expect(order).not.toEqual(numbers);
  expect(order.sort()).toEqual([...numbers].sort());
});

test("damage shows", async () => {
  const two = await pair({ corrupt: 1 });
  sendAll(two, numbers.slice(0, 50));
  await two.loop.run(1_000);
  expect(two.got).toHaveLength(50);
  expect(two.got.filter(({ text }, index) => text === numbers[index]).length).toBeLessThan(20);
});

test("what is too long, or sent into a cut, is gone for good", async () => {
  const two = await pair({ bytesMax: 5 });
  sendAll(two, ["12345", "123456"]);
  await two.loop.run(100);
  two.network.cut(1, 2);
  sendAll(two, ["cut"]);
  await two.loop.run(200);
  two.network.mend(1, 2);
  sendAll(two, ["after"]);
  await two.loop.run(300);
  expect(two.got.map(({ text }) => text)).toEqual(["12345", "after"]);
});

test("a path that is given too much drops the rest", async () => {
  const two = await pair();
  sendAll(two, Array.from({ length: 300 }, () => "x".repeat(1_000)));
  await two.loop.run(1_000);
  expect(two.got).toHaveLength(100);
});

test("an address is one socket's, until its process ends", async () => {
  const two = await pair();
  const again = (): Promise<DatagramSocket> =>
    two.runtimes[1].openDatagrams({ host: "10.0.0.2", port: 4000 }, { onDatagram: () => {}, onTrouble: () => {} });
  await expect(again()).rejects.toThrow("the address is in use");
  two.machines[1].end();
  sendAll(two, ["nobody hears this"]);
  await two.loop.run(100);
  expect(two.got).toEqual([]);
});
