/** What somebody on the path, or a peer gone bad, can try against a connection: nothing of it has an effect, or it ends the connection. */
import { Ranges } from "../../../edge/link/udp/ranges.ts";
import { mutate } from "../../fuzz/mutate.ts";
import { Random } from "../../fuzz/random.ts";
import { Attacker } from "../attacker.ts";
import type { Case, Outcome } from "../case.ts";
import { Flows } from "../flow.ts";
import { type Address, Net } from "../net.ts";
import { type Pair, pair } from "../pair.ts";

/** Somebody whom nobody knows. */
const stranger: Address = { host: "203.0.113.7", port: 9_999 };

/** A connection over which so much has been said, both ways quiet again, and all datagrams that came to `b`. */
function recorded(
  seed: number,
  bytes: number,
  meanwhile: (two: Pair) => void = () => {},
): Pair & { readonly flows: Flows; readonly packets: Uint8Array[] } {
  const net = new Net(seed);
  const two = pair(net, { queue: 100 });
  const packets: Uint8Array[] = [];
  two.b.host.onArrive = (packet) => packets.push(packet.slice());
  const flows = new Flows(net, two.a, two.b);
  meanwhile(two);
  flows.start(2, bytes);
  net.run(60_000, () => flows.done);
  net.run(net.now + 1_000);
  return { ...two, flows, packets };
}

/** So many datagrams that `b` sent while `act` ran. */
function replies({ b }: Pair, act: () => void): number {
  let sent = 0;
  b.host.onSend = () => sent++;
  act();
  b.host.onSend = () => {};
  return sent;
}

/** A flow towards a peer gone bad. `misbehave` says what it does for a packet it gets. */
function against(
  seed: number,
  misbehave: (attacker: Attacker, packetNumber: number) => void,
): { readonly two: Pair; readonly attacker: Attacker } {
  const net = new Net(seed);
  const two = pair(net, { queue: 1_000, bytesPerMs: 12_500 });
  const attacker = new Attacker(two.b.protection, two.a.host.address);
  two.b.host.party = attacker;
  attacker.onPacket = (packetNumber) => misbehave(attacker, packetNumber);
  const flows = new Flows(net, two.a, two.b);
  flows.start(2, 1e9);
  net.run(120_000, () => two.a.closed !== null);
  return { two, attacker };
}

export const attackCases: readonly Case[] = [
  {
    name: "replays",
    promise: "every recorded datagram, again from where it came and from elsewhere, also after a change of keys: no effect, no reply",
    run: (seed, size): Outcome => {
      const bytes = size === "full" ? 10_000_000 : 500_000;
      const two = recorded(seed, bytes, ({ net, a, b }) => net.queue.at(100, () => void (a.protection.update() || b.protection.update())));
      const { net, a, b, flows, packets } = two;
      const again = [...packets];
      const sent = replies(two, () => {
        for (const packet of again) net.inject(packet, a.host.address, b.host);
        for (const packet of again) net.inject(packet, stranger, b.host);
        // In an order of its own as well.
        for (const packet of net.prng.split("replays").shuffle(again)) net.inject(packet, a.host.address, b.host);
      });
      const figure = `${3 * again.length} replays, ${sent} replies, ${flows.received - bytes} bytes too many`;
      return { figure, holds: sent === 0 && flows.received === bytes && b.closed === null && again.length > 100 };
    },
  },
  {
    name: "garbage",
    promise: "random, damaged and cut datagrams: no effect, no reply, the connection lives",
    run: (seed, size): Outcome => {
      const two = recorded(seed, 200_000);
      const { net, a, b, flows, packets } = two;
      const random = new Random(seed);
      const inputs = size === "full" ? 200_000 : 5_000;
      const sent = replies(two, () => {
        for (let input = 0; input < inputs; input++) {
          const good = random.pick(packets);
          const bytes = random.chance(0.2)
            ? random.bytes(random.below(1_400))
            : random.chance(0.3)
            ? good.subarray(0, random.below(good.byteLength))
            : mutate(random, good, random.pick(packets));
          net.inject(bytes, random.chance(0.5) ? a.host.address : stranger, b.host);
        }
      });
      const before = flows.received;
      flows.start(4, 10_000);
      net.run(net.now + 5_000, () => flows.done);
      const lives = flows.received === before + 10_000;
      return { figure: `${inputs} datagrams, ${sent} replies, the connection ${lives ? "lives" : "is dead"}`, holds: sent === 0 && lives };
    },
  },
  {
    name: "optimistic-acks",
    promise: "a peer that acknowledges whatever may have been sent is found out within 1 500 packets",
    run: (seed): Outcome => {
      const { two: { a }, attacker } = against(seed, (one) =>
        one.say((writer) => {
          const all = new Ranges();
          all.add(0, one.largest + 1);
          writer.ack(all, 0);
        }));
      return {
        figure: `closed after ${attacker.largest} packets: ${a.closed?.reason ?? "never"}`,
        holds: a.closed !== null && attacker.largest <= 1_500,
      };
    },
  },
  {
    name: "acks-of-the-future",
    promise: "a peer that acknowledges what was never sent is done with at once",
    run: (seed): Outcome => {
      const { two: { a }, attacker } = against(seed, (one, packetNumber) =>
        one.say((writer) => {
          const future = new Ranges();
          future.add(packetNumber + 1_000, packetNumber + 1_001);
          writer.ack(future, 0);
        }));
      return {
        figure: `closed after ${attacker.largest} packets: ${a.closed?.reason ?? "never"}`,
        holds: a.closed !== null && attacker.largest <= 20,
      };
    },
  },
  {
    name: "ack-flood",
    promise: "a peer that does nothing but acknowledge the same again is done with",
    run: (seed): Outcome => {
      let said = 0;
      const { two: { a }, attacker } = against(seed, (one) => {
        for (let copies = 0; copies < 100; copies++, said++) {
          one.say((writer) => {
            const same = new Ranges();
            same.add(one.largest, one.largest + 1);
            writer.ack(same, 0);
          });
        }
      });
      return {
        figure: `closed after ${said} acknowledgements for ${attacker.largest + 1} packets: ${a.closed?.reason ?? "never"}`,
        holds: a.closed !== null && said < 20_000,
      };
    },
  },
  {
    name: "stream-flood",
    promise: "a peer cannot open streams without end",
    run: (seed): Outcome => {
      let stream = 0;
      const { two: { a } } = against(seed, (one) => {
        for (let count = 0; count < 50; count++) {
          one.say((writer) => {
            for (let each = 0; each < 40; each++) {
              writer.stream(stream++, 5, 1);
              writer.copy(Uint8Array.of(1));
            }
          });
        }
      });
      return { figure: `closed after ${stream} streams: ${a.closed?.reason ?? "never"}`, holds: a.closed !== null };
    },
  },
  {
    name: "challenge-flood",
    promise: "challenges get less back than they take, and one answer a packet",
    run: (seed): Outcome => {
      const net = new Net(seed);
      const two = pair(net, { bytesPerMs: 12_500, queue: 10_000 });
      const attacker = new Attacker(two.b.protection, two.a.host.address);
      two.b.host.party = attacker;
      let sentBytes = 0;
      let backBytes = 0;
      let back = 0;
      two.b.host.onSend = ({ bytes }) => void (sentBytes += bytes.byteLength);
      two.a.host.onSend = ({ bytes }) => {
        backBytes += bytes.byteLength;
        back++;
      };
      for (let count = 0; count < 2_000; count++) {
        attacker.say((writer) => {
          for (let each = 0; each < 100; each++) writer.challenge({ a: count, b: each });
        });
      }
      net.turn(two.b.host);
      net.run(5_000);
      return {
        figure: `2 000 packets of 100 challenges each, ${back} packets back, ${(backBytes / sentBytes).toFixed(2)} times the bytes`,
        holds: backBytes <= sentBytes && back <= 2 * 2_000,
      };
    },
  },
];
