/**
 * Damaged datagrams without end at a node that has a connection: from its peer's address and from everywhere. Nothing breaks,
 * nothing is delivered, nobody but the peer is answered, and that by resets that are smaller and few, memory stays flat, and the connection lives.
 */
import { mutate } from "../fuzz/mutate.ts";
import { Random } from "../fuzz/random.ts";
import type { Outcome } from "./case.ts";
import { greet, two } from "./cases/handshakes.ts";

const roundDatagrams = 1_000;
/** A round takes so long in virtual time: a hundred thousand datagrams a second. */
const roundMs = 10;
const growthBytesMax = 32 << 20;
/** What may come back to strangers in a second of virtual time, and at once at the beginning. */
const repliesPerSecond = 1_000;
const repliesAtOnce = 200;
const tellEveryMs = 5_000;

export function flood(seed: number, datagrams: number, tell: (line: string) => void = () => {}): Outcome {
  const pair = two(seed);
  const { net, a, b } = pair;
  const random = new Random(seed);
  const good: Uint8Array[] = [];
  b.host.onArrive = (bytes) => {
    if (good.length < 500) good.push(bytes.slice());
  };
  greet(pair);
  const beat = (): void => {
    a.write(2, 0, new Uint8Array(100));
    net.queue.after(40, beat);
  };
  beat();
  net.run(net.now + 2_000);
  b.host.onArrive = () => {};
  let replies = 0;
  let large = 0;
  let toStrangers = 0;
  const began = performance.now();
  const beganAt = net.now;
  let told = began;
  let heap = 0;
  for (let sent = 0; sent < datagrams; sent++) {
    // Once what is made at first has been made.
    if (sent === Math.min(20 * roundDatagrams, datagrams >> 1)) heap = heapBytes();
    const bytes = random.chance(0.1) ? random.bytes(random.below(1_400)) : mutate(random, random.pick(good), random.pick(good));
    const from = random.chance(0.3)
      ? a.host.address
      : { host: `198.18.${random.below(256)}.${random.below(256)}`, port: 1 + random.below(65_535) };
    b.host.onSend = (reply) => {
      if (reply.host !== from.host) return;
      // The connection has things of its own to say to its peer.
      if (reply.host === a.host.address.host && reply.bytes.byteLength > 40) return;
      replies++;
      if (reply.host !== a.host.address.host) toStrangers++;
      if (reply.bytes.byteLength >= bytes.byteLength) large++;
    };
    net.inject(bytes, from, b.host);
    b.host.onSend = () => {};
    if ((sent + 1) % roundDatagrams !== 0) continue;
    net.run(net.now + roundMs);
    if (performance.now() - told < tellEveryMs) continue;
    told = performance.now();
    tell(`${sent + 1} datagrams, ${replies} resets, heap ${(heapBytes() / 2 ** 20).toFixed(0)} MB`);
  }
  const growth = heapBytes() - heap;
  const seconds = (performance.now() - began) / 1_000;
  const before = b.received.get(1)!;
  net.run(net.now + 1_000);
  const lives = b.connected === 1 && b.received.get(1)! >= before + 2_000;
  const { connections, waiting } = b.endpoint.size;
  const outcome = {
    figure:
      `${datagrams} damaged datagrams in ${
        seconds.toFixed(1)
      } s, ${replies} resets, ${toStrangers} of them to strangers, ${large} not smaller than what they answered, ` +
      `heap grew by ${(growth / 2 ** 20).toFixed(1)} MB, ${connections} connection and ${waiting} handshakes kept, the connection ${
        lives ? "lives" : "is dead"
      }`,
    holds: lives && large === 0 && toStrangers === 0 && growth < growthBytesMax && connections === 1 && waiting <= 3 &&
      replies <= repliesAtOnce + repliesPerSecond * (net.now - beganAt) / 1_000,
  };
  tell(`${outcome.holds ? "ok  " : "FAIL"} ${outcome.figure}`);
  return outcome;
}

function heapBytes(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}
