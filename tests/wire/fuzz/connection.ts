/**
 * A connection, given packets as they are after decryption: whatever a member says in them, in any order, from any address, in any
 * time. It goes on or ends; it never sends without end, nor to an address more than three times what came from there before that
 * has answered a challenge, and keeps no more of a peer than the credit it gave.
 */
import { type Address, Connection } from "../../../edge/link/udp/connection.ts";
import { FrameWriter, readFrames } from "../../../edge/link/udp/frames.ts";
import { Ranges } from "../../../edge/link/udp/ranges.ts";
import type { PacketProtection } from "../../../edge/link/udp/protection.ts";
import type { PathToken } from "../../../edge/link/udp/frames.ts";
import { Random } from "../../fuzz/random.ts";
import { deaf } from "../attacker.ts";
import { framesTarget } from "./frames.ts";
import { joined, Tape } from "./tape.ts";
import { accepts, type Target } from "./target.ts";

const stepsMax = 150;
const payloadBytesMax = 1_400;
const amplification = 3;
/** What one packet may set free: a window of packets, and a few besides. */
const answersMax = 400;
const places: readonly Address[] = [1, 2, 3].map((at) => ({ host: `10.0.0.${at > 1 ? 2 : 1}`, port: at }));
const home = places[0]!;
const writer = new FrameWriter(payloadBytesMax);

/** Leaves packets as they are: number and payload can be seen, as by who has the keys. */
class Bare implements PacketProtection {
  readonly overheadBytes = 29;
  readonly confirmed = true;
  failures = 0;

  seal(packetNumber: number, payload: Uint8Array): Uint8Array {
    const head = new Uint8Array(this.overheadBytes);
    new DataView(head.buffer).setFloat64(0, packetNumber);
    return joined(head, payload);
  }

  open(packet: Uint8Array): { readonly packetNumber: number; readonly payload: Uint8Array } | null {
    if (packet.byteLength < this.overheadBytes) return null;
    const packetNumber = new DataView(packet.buffer, packet.byteOffset).getFloat64(0);
    return { packetNumber, payload: packet.subarray(this.overheadBytes) };
  }

  update(): boolean {
    return true;
  }
}

class Story {
  now = 0;
  /** Packets it was given. */
  read = 0;
  readonly #protection = new Bare();
  readonly #connection: Connection;
  /** By the port of the address. */
  readonly #came = new Map<number, number>();
  readonly #went = new Map<number, number>();
  readonly #proved = new Set([home.port]);
  readonly #challenges: { readonly token: PathToken; readonly port: number }[] = [];
  /** Numbers of the packets it has sent. */
  readonly #sent: number[] = [];
  /** Numbers of ours that have come: never the same twice. */
  readonly #said = new Set<number>();
  #next = 0;
  #ends = 0;

  constructor(role: "initiator" | "responder") {
    const random = new Random(1);
    this.#connection = new Connection({
      role,
      protection: this.#protection,
      address: home,
      validated: true,
      mtuMax: 1_452,
      random: () => random.u32(),
      now: 0,
      events: {
        onStream: () => {},
        onDatagram: () => {},
        onWritable: () => {},
        onClosed: () => void this.#ends++,
      },
    });
    this.#drain();
  }

  get open(): boolean {
    return this.#connection.closed === null;
  }

  step(tape: Tape): void {
    switch (tape.below(10)) {
      case 0:
        this.#connection.write(tape.below(6), new Uint8Array(1 + tape.byte() * 40));
        break;
      case 1:
        this.#connection.datagram(
          new Uint8Array(tape.byte() * 6),
          tape.below(2) === 0 ? {} : { key: "k", expiresAt: this.now + tape.byte() },
        );
        break;
      case 2:
        this.#pass(tape.below(4) === 0 ? tape.byte() * 50 : tape.byte() / 4);
        break;
      case 3:
        this.#connection.sayTwice(tape.below(2) === 0);
        break;
      case 4:
        // Frames as they come, which a parser may well not understand.
        this.#say(tape, tape.rest(tape.byte()));
        break;
      default:
        this.#say(tape, this.#frames(tape));
    }
    this.#drain();
  }

  #pass(ms: number): void {
    const until = this.now + ms;
    for (let wakes = 0; this.#connection.wakeAt <= until && this.open; wakes++) {
      if (wakes > 2 * ms + 1_000) throw new Error(`it wants to be woken ${wakes} times in ${ms} ms`);
      this.now = Math.max(this.now, this.#connection.wakeAt);
      this.#connection.wake(this.now);
      this.#drain();
    }
    this.now = until;
  }

  #say(tape: Tape, payload: Uint8Array): void {
    const from = tape.below(4) === 0 ? tape.pick(places) : home;
    this.#next += tape.below(8) === 0 ? tape.number() % 100_000 : 1;
    const back = tape.below(8) === 0 ? tape.byte() : 0;
    const number = Math.max(0, this.#next - back);
    // Opened once: that is what packet protection is for.
    if (this.#said.has(number)) return;
    this.#said.add(number);
    const packet = this.#protection.seal(number, payload);
    this.#came.set(from.port, (this.#came.get(from.port) ?? 0) + packet.byteLength);
    accepts(() => readFrames(payload, { ...deaf, onAnswer: (token) => this.#answered(token) }));
    this.read++;
    this.#connection.receive(packet, from, this.now);
  }

  #answered({ a, b }: PathToken): void {
    for (const { token, port } of this.#challenges) if (token.a === a && token.b === b) this.#proved.add(port);
  }

  #drain(): void {
    for (let packets = 0;; packets++) {
      const datagram = this.#connection.take(this.now);
      if (datagram === null) break;
      if (packets === answersMax) throw new Error(`it sends more than ${answersMax} packets at once`);
      const { port, bytes } = datagram;
      const { packetNumber, payload } = this.#protection.open(bytes)!;
      if (this.#sent.length > 0 && packetNumber <= this.#sent.at(-1)!) throw new Error(`it uses the packet number ${packetNumber} twice`);
      this.#sent.push(packetNumber);
      readFrames(payload, { ...deaf, onChallenge: (token) => void this.#challenges.push({ token, port }) });
      const went = (this.#went.get(port) ?? 0) + bytes.byteLength;
      this.#went.set(port, went);
      if (!this.#proved.has(port) && went > amplification * (this.#came.get(port) ?? 0)) {
        throw new Error(`it sends ${went} bytes to where ${this.#came.get(port) ?? 0} came from`);
      }
    }
    const { address, wakeAt } = this.#connection;
    if (!this.#proved.has(address.port)) throw new Error("it has gone to an address that answered no challenge");
    if (Number.isNaN(wakeAt)) throw new Error("it cannot say when to wake it");
    if (this.#ends > 1) throw new Error("it ends twice");
    const { inFlightBytes, rttMs, windowBytes, queuedBytes } = this.#connection.stats();
    if (!(inFlightBytes >= 0 && rttMs >= 0 && windowBytes > 0 && queuedBytes >= 0)) throw new Error("its numbers make no sense");
  }

  /** Frames that are well written, with whatever in them. */
  #frames(tape: Tape): Uint8Array {
    writer.begin(payloadBytesMax);
    for (let frames = 1 + tape.below(4); frames > 0 && writer.room > 700; frames--) this.#frame(tape);
    return writer.view().slice();
  }

  #frame(tape: Tape): void {
    switch (tape.below(10)) {
      case 0:
        return writer.ping();
      case 1: {
        // What it has sent, or most of it.
        const ranges = new Ranges();
        for (const number of this.#sent) if (this.#sent.length < 50 ? tape.below(8) > 0 : true) ranges.add(number, number + 1);
        return ranges.count === 0 ? writer.ping() : writer.ack(ranges, tape.byte() / 4);
      }
      case 2: {
        const ranges = new Ranges();
        let at = tape.number() % 2 ** 40;
        for (let count = 1 + tape.below(40); count > 0; count--, at += 2 + tape.below(6)) ranges.add(at, at + 1 + tape.below(2));
        return writer.ack(ranges, tape.number() / 1_000);
      }
      case 3:
        return writer.datagram(tape.rest(tape.byte()));
      case 4:
        return writer.streamWindow(tape.number(), tape.number());
      case 5:
        return writer.connectionWindow(tape.number());
      case 6:
        return writer.challenge({ a: tape.byte(), b: tape.byte() });
      case 7: {
        const { token } = this.#challenges.at(-1 - tape.below(3)) ?? { token: { a: tape.byte(), b: 0 } };
        return writer.answer(token);
      }
      case 8:
        return tape.below(8) === 0 ? writer.close("over") : writer.ping();
      default: {
        const bytes = new Uint8Array(1 + tape.byte());
        writer.stream(tape.below(4) === 0 ? tape.number() : tape.below(4), tape.number(), bytes.byteLength);
        return writer.copy(bytes);
      }
    }
  }
}

export const connectionTarget: Target = {
  name: "connection",
  make: (random) => {
    const plain = framesTarget.make(random);
    // Frames of the other kind of story are good for this one as well.
    return random.chance(0.2) ? joined(Uint8Array.of(1, 4, plain.byteLength), plain) : random.bytes(20 + random.below(400));
  },
  check: (input) => {
    const tape = new Tape(input);
    const story = new Story(tape.below(2) === 0 ? "initiator" : "responder");
    for (let steps = 0; !tape.ended && steps < stepsMax; steps++) story.step(tape);
    return { accepted: story.open, read: story.read };
  },
};
