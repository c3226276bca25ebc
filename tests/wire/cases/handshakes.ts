/** Handshakes between members over bad paths: they come about, soon, and nobody is made to send much for little. */
import type { Millis } from "../../../core/ids.ts";
import type { Case, Outcome } from "../case.ts";
import { Net } from "../net.ts";
import { Cluster, Node } from "../nodes.ts";
import type { Conditions } from "../path.ts";

const helloBytes = 1_000;

export interface Two {
  readonly net: Net;
  readonly cluster: Cluster;
  readonly a: Node;
  readonly b: Node;
}

export function two(seed: number, there: Partial<Conditions> = {}, back: Partial<Conditions> = there): Two {
  const net = new Net(seed);
  const cluster = new Cluster(net.prng, [1, 2, 3]);
  const [left, right] = [net.host("a"), net.host("b")];
  net.join(left, right, there, back);
  return { net, cluster, a: new Node(net, left, cluster, 1), b: new Node(net, right, cluster, 2) };
}

/** Connects, and has a say and an answer over the connection; says how long that took, or Infinity. */
export function greet({ net, a, b }: Two, patienceMs: Millis = 60_000): Millis {
  const from = net.now;
  const [heardByA, heardByB] = [a.received.get(2) ?? 0, b.received.get(1) ?? 0];
  const say = (node: Node): void => {
    node.onConnected = (_peer, connection) => void connection.write(0, new Uint8Array(helloBytes));
  };
  say(a);
  say(b);
  a.connect(2, b.host.address);
  const heard = (node: Node, peer: number, before: number): boolean => (node.received.get(peer) ?? 0) >= before + helloBytes;
  return net.run(from + patienceMs, () => heard(a, 2, heardByA) && heard(b, 1, heardByB)) ? net.now - from : Infinity;
}

function fifty(name: string, promise: string, conditions: Partial<Conditions>): Case {
  return {
    name,
    promise,
    run: (seed): Outcome => {
      const times = Array.from({ length: 50 }, (_, index) => greet(two(seed * 50 + index, conditions))).sort((x, y) => x - y);
      const done = times.filter((ms) => ms < 10_000).length;
      return {
        figure: `${done} of 50, median ${times[25]!.toFixed(0)} ms, slowest ${times[49]!.toFixed(0)} ms`,
        holds: done === 50,
      };
    },
  };
}

/** Most that `b` had sent to `a` per byte it had received, at any time before the handshake was through. */
function amplification(seed: number, there: Partial<Conditions>): { readonly ratio: number; readonly tookMs: Millis } {
  const pair = two(seed, there, { loss: 0 });
  const { a, b } = pair;
  let [received, sent, ratio] = [0, 0, 0];
  let through = false;
  b.host.onArrive = (bytes) => {
    received += bytes.byteLength;
    // Anything but an INIT shows that `a` is where it says.
    through ||= (bytes[0]! & 0x80) === 0;
  };
  b.host.onSend = ({ bytes }) => {
    sent += bytes.byteLength;
    if (!through) ratio = Math.max(ratio, sent / received);
  };
  const tookMs = greet(pair);
  a.host.party = null;
  return { ratio, tookMs };
}

export const handshakeCases: readonly Case[] = [
  fifty("handshake-clear", "50 of 50 within 10 s over a clear path", {}),
  fifty("handshake-loss", "50 of 50 within 10 s at 30 % loss both ways, at most 3 in a row", { loss: 0.3, burstMax: 3 }),
  fifty("handshake-corruption", "50 of 50 within 10 s with 30 % of the datagrams damaged both ways", { corrupt: 0.3 }),
  {
    name: "amplification",
    promise: "at most 3 times the bytes before the address is proved, also when datagrams 2 to 7 of the initiator are lost",
    run: (seed): Outcome => {
      const runs = [[], [2, 3, 4, 5, 6, 7]].map((drop) => amplification(seed, { drop }));
      return {
        figure: runs.map(({ ratio, tookMs }) => `${ratio.toFixed(2)} times, through after ${tookMs.toFixed(0)} ms`).join("; "),
        holds: runs.every(({ ratio, tookMs }) => ratio <= 3 && tookMs < 10_000),
      };
    },
  },
  {
    name: "both-begin",
    promise: "two nodes that begin at the same moment agree on one connection",
    run: (seed, size): Outcome => {
      let agreed = 0;
      const tries = size === "full" ? 200 : 30;
      for (let index = 0; index < tries; index++) {
        const pair = two(seed * tries + index, { loss: 0.2, burstMax: 3, delayMs: 5 + index });
        const { net, a, b } = pair;
        b.connect(1, a.host.address);
        greet(pair);
        net.run(net.now + 5_000);
        const before = b.received.get(1) ?? 0;
        a.write(2, 0, new Uint8Array(500));
        net.run(net.now + 5_000);
        if (b.received.get(1) === before + 500 && a.endpoint.size.connections === 1 && b.endpoint.size.connections === 1) agreed++;
      }
      return { figure: `${agreed} of ${tries}`, holds: agreed === tries };
    },
  },
  {
    name: "restart",
    promise: "a node that starts again is spoken with again within a second, also with its clock an hour back",
    run: (seed): Outcome => {
      const took = [0, 3_600_000].flatMap((clockBackMs) =>
        (["a", "b"] as const).map((who) => {
          const pair = two(seed);
          greet(pair);
          const { net, a, b } = pair;
          // Nodes keep connections to each other up from both sides.
          b.connect(1, a.host.address);
          net.run(net.now + 1_000);
          const from = net.now;
          const heard = (): number => (a.received.get(2) ?? 0) + (b.received.get(1) ?? 0);
          const before = heard();
          const beat = (): void => {
            a.write(2, 0, new Uint8Array(10));
            b.write(1, 0, new Uint8Array(10));
            net.queue.after(40, beat);
          };
          pair[who].restart(clockBackMs);
          net.turn(pair[who].host);
          beat();
          return net.run(from + 60_000, () => heard() >= before + 2 * helloBytes) ? net.now - from : Infinity;
        })
      );
      const worst = Math.max(...took);
      return { figure: `${took.map((ms) => `${ms.toFixed(0)} ms`).join(", ")}`, holds: worst <= 1_000 };
    },
  },
];
