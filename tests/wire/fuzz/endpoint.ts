/**
 * A whole endpoint among members and strangers: recorded datagrams come as they are, again, late, from elsewhere, damaged, cut and
 * spliced, while nodes begin, move, start again and change keys. Nobody is answered whose datagram no member wrote, but by a reset
 * where a peer is known to be, or by whoever shows a right MAC, and that by less; no address gets more than three times what came from it before
 * it has been proved; a peer has a bounded number of connections, and none that it did not make.
 */
import type { Millis, NodeId } from "../../../core/ids.ts";
import { Roster } from "../../../edge/link/identity.ts";
import { Endpoint } from "../../../edge/link/udp/endpoint.ts";
import { hasFirstMac, initBytes, macBytes, macKey } from "../../../edge/link/udp/messages.ts";
import type { Address } from "../../../edge/link/udp/paths.ts";
import type { Datagram } from "../../../edge/runtime.ts";
import { cryptography } from "./cryptography.ts";
import { chance, cluster, keyOf } from "./members.ts";
import { Tape } from "./tape.ts";
import type { Target } from "./target.ts";

const stepsMax = 150;
const amplification = 3;
/** A window of packets, and what goes to others in the same turn. */
const answersMax = 500;
const connectionsMax = 12;
const recordedMax = 200;
/** First byte of an answer to INIT. */
const responseType = 0x82;
const key = macKey(cryptography, keyOf(2).publicKey);
const nodeAt: Address = { host: "10.0.0.2", port: 4_000 };
const memberAt: Address = { host: "10.0.0.1", port: 4_000 };
const places: readonly Address[] = [memberAt, { host: "10.0.0.1", port: 4_001 }, { host: "10.9.0.1", port: 4_000 }, {
  host: "203.0.113.7",
  port: 9,
}];
const nameOf = ({ host, port }: Address): string => `${host} ${port}`;
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const told = (bytes: Uint8Array): string => textOf((bytes[0]! & 0x80) === 0 ? bytes : bytes.subarray(0, -macBytes));

class Story {
  now: Millis = 0;
  /** Connections node 2 has had with its member. */
  connected = 0;
  /** Datagrams that were given to either. */
  read = 0;
  #lives = 0;
  #memberAt = memberAt;
  readonly #roster = new Roster(new Map([1, 2].map((node) => [node, [keyOf(node).publicKey]])));
  #node: Endpoint;
  #member: Endpoint;
  /** All that has been sent to either, and by whom. */
  readonly #toNode: Uint8Array[] = [];
  readonly #toMember: Uint8Array[] = [];
  readonly #written = new Set<string>();
  /** By place: what came from there to node 2, and went there. */
  readonly #came = new Map<string, number>();
  readonly #went = new Map<string, number>();
  /** Where node 2 has answered an INIT; whoever sends a packet from there that can be opened has got the answer. */
  readonly #agreedAt = new Set<string>();
  /** Where that has happened, or a challenge has been answered, or node 2 has dialled: it may send there what it likes. */
  readonly #proved = new Set<string>();
  /** Where the datagram that is read now comes from. */
  #from = memberAt;

  constructor() {
    this.#node = this.#begin(2);
    this.#member = this.#begin(1);
    this.#member.connect(2, nodeAt, 0);
    this.#drainMember();
  }

  step(tape: Tape): void {
    switch (tape.below(16)) {
      case 0:
        return this.#pass(tape.below(4) === 0 ? tape.byte() * 60 : tape.byte() / 8);
      case 1:
        (tape.below(2) === 0 ? this.#node : this.#member).connectionOf(1 + tape.below(2))?.write(
          tape.below(4),
          new Uint8Array(tape.byte() * 20),
        );
        return this.#drain();
      case 2:
        return this.#rarely(tape);
      case 3:
      case 4:
      case 5:
        // As it should be: the newest, both ways.
        if (this.#toNode.length > 0) this.#give(this.#toNode.at(-1)!, this.#memberAt);
        if (this.#toMember.length > 0) this.#hear(this.#toMember.at(-1)!);
        return;
      case 6:
      case 7:
        if (this.#toNode.length > 0) this.#give(tape.pick(this.#toNode), tape.pick(places));
        return;
      case 8: {
        const bytes = tape.rest(tape.byte());
        return this.#give(bytes, tape.pick(places));
      }
      case 9:
        if (this.#toMember.length > 0) this.#hear(tape.pick(this.#toMember));
        return;
      case 10: {
        // Of somebody who knows the public key.
        const init = this.#some(tape);
        const bytes = tape.damaged(init, this.#some(tape));
        if (bytes.byteLength < initBytes) return;
        bytes[0] = 0x81;
        bytes.set(cryptography.hmacSha256(key, bytes.subarray(0, -2 * macBytes)).subarray(0, macBytes), bytes.byteLength - 2 * macBytes);
        return this.#give(bytes, tape.pick(places));
      }
      case 11: {
        if (this.#toMember.length === 0) return;
        return this.#hear(tape.damaged(tape.pick(this.#toMember), tape.pick(this.#toMember)));
      }
      default:
        return this.#give(tape.damaged(this.#some(tape), this.#some(tape)), tape.pick(places));
    }
  }

  #hear(bytes: Uint8Array): void {
    this.read++;
    this.#member.receive({ ...nodeAt, bytes: bytes.slice() }, this.now);
    this.#drainMember();
  }

  #rarely(tape: Tape): void {
    switch (tape.below(6)) {
      case 0:
        this.#node.connect(1, memberAt, this.now);
        this.#proved.add(nameOf(memberAt));
        break;
      case 1:
        this.#node.disconnect(1);
        break;
      case 2:
        // Nothing that was proved to the life before is proved to this one.
        this.#proved.clear();
        this.#agreedAt.clear();
        this.#came.clear();
        this.#went.clear();
        this.#node = this.#begin(2);
        break;
      case 3:
        this.#memberAt = tape.pick(places);
        break;
      case 4:
        this.#roster.replace(
          new Map(tape.below(2) === 0 ? [[2, [keyOf(2).publicKey]]] : [1, 2].map((node) => [node, [keyOf(node).publicKey]])),
        );
        break;
      default:
        this.#member.connect(2, nodeAt, this.now);
    }
    this.#drain();
  }

  #some(tape: Tape): Uint8Array {
    const pool = tape.below(4) === 0 && this.#toMember.length > 0 ? this.#toMember : this.#toNode;
    return pool.length === 0 ? new Uint8Array(40) : tape.pick(pool);
  }

  #pass(ms: Millis): void {
    const until = this.now + ms;
    for (let wakes = 0;; wakes++) {
      const at = Math.min(this.#node.wakeAt, this.#member.wakeAt);
      if (at > until) break;
      if (wakes > 4 * ms + 1_000) throw new Error(`it wants to be woken ${wakes} times in ${ms} ms`);
      this.now = Math.max(this.now, at);
      this.#node.wake(this.now);
      this.#member.wake(this.now);
      this.#drain();
    }
    this.now = until;
  }

  /** Node 2 gets it, and what it says at once is the answer. */
  #give(bytes: Uint8Array, from: Address): void {
    this.#drain();
    const isAuthentic = this.#written.has(told(bytes));
    const connectedBefore = this.connected;
    const name = nameOf(from);
    this.#came.set(name, (this.#came.get(name) ?? 0) + bytes.byteLength);
    this.#from = from;
    this.read++;
    this.#node.receive({ ...from, bytes: bytes.slice() }, this.now);
    const answers = this.#take();
    const { connections, waiting } = this.#node.size;
    if (connections > connectionsMax || waiting > 3) throw new Error(`it keeps ${connections} connections and ${waiting} handshakes`);
    if (isAuthentic) return;
    if (this.connected > connectedBefore) throw new Error("it has made a connection of what no member wrote");
    const [answer, more] = answers;
    if (answer === undefined) return;
    if (more !== undefined) throw new Error("it answers more than once");
    if (nameOf(answer) !== name) throw new Error("it answers to somewhere else");
    if (answer.bytes.byteLength >= bytes.byteLength) throw new Error("it answers with as much as it got");
    if ((bytes[0]! & 0x80) === 0) {
      if (!this.#proved.has(name)) throw new Error("it tells a stranger that it has forgotten a connection");
    } else if (!hasFirstMac(cryptography, key, bytes)) throw new Error("it answers who does not know its key");
  }

  /** What both have to send by now, undelivered. */
  #drain(): void {
    this.#take();
    this.#drainMember();
  }

  #take(): Datagram[] {
    const datagrams = drained(this.#node, this.now);
    for (const datagram of datagrams) {
      keep(this.#toMember, datagram.bytes);
      const name = nameOf(datagram);
      const went = (this.#went.get(name) ?? 0) + datagram.bytes.byteLength;
      this.#went.set(name, went);
      if (datagram.bytes[0] === responseType) this.#agreedAt.add(name);
      if (!this.#proved.has(name) && went > amplification * (this.#came.get(name) ?? 0)) {
        throw new Error(`it sends ${went} bytes to where ${this.#came.get(name) ?? 0} came from`);
      }
    }
    return datagrams;
  }

  #drainMember(): void {
    for (const { bytes } of drained(this.#member, this.now)) {
      keep(this.#toNode, bytes);
      this.#written.add(told(bytes));
    }
  }

  #begin(self: NodeId): Endpoint {
    this.#lives++;
    return new Endpoint({
      identity: { self, cluster, roster: this.#roster, keys: [keyOf(self)] },
      cryptography,
      random: chance(10 * this.#lives),
      now: () => this.now,
      wall: () => 1_000_000_000 + Math.round(this.now * 1_000),
      datagramBytesMax: 1_472,
      events: {
        onConnected: () => {
          if (self === 2) this.connected++;
          return { onStream: () => {}, onDatagram: () => {}, onWritable: () => {} };
        },
        onClosed: () => {},
        onNotice: () => {},
      },
      trace: (_peer, event) => {
        if (self !== 2) return;
        if (event.kind === "packet_received" && this.#agreedAt.has(nameOf(this.#from))) this.#proved.add(nameOf(this.#from));
        if (event.kind === "migration_state_updated") this.#proved.add(nameOf(event));
      },
    });
  }
}

function drained(endpoint: Endpoint, now: Millis): Datagram[] {
  const datagrams: Datagram[] = [];
  for (let next = endpoint.take(now); next !== null; next = endpoint.take(now)) {
    if (datagrams.push(next) > answersMax) throw new Error(`it sends more than ${answersMax} datagrams at once`);
  }
  return datagrams;
}

function keep(all: Uint8Array[], bytes: Uint8Array): void {
  if (all.length < recordedMax) all.push(bytes);
}

export const endpointTarget: Target = {
  name: "endpoint",
  make: (random) => random.bytes(20 + random.below(400)),
  check: (input) => {
    const tape = new Tape(input);
    const story = new Story();
    for (let steps = 0; !tape.ended && steps < stepsMax; steps++) story.step(tape);
    return { accepted: story.connected > 0, read: story.read };
  },
};
