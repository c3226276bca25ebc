/**
 * Handshakes: a member's attempt, a responder, and between them whoever damages, repeats and makes up messages, with the public key
 * or with a member's own. Nobody is answered who does not know the key, an answer is shorter than what it answers, nothing is agreed
 * that a member did not write, each INIT is agreed on once, and what waits is bounded.
 */
import type { Millis } from "../../../core/ids.ts";
import { Handshake } from "../../../edge/link/noise/handshake.ts";
import { Attempt } from "../../../edge/link/udp/attempt.ts";
import { decodeInit, decodeResponse, prologue } from "../../../edge/link/udp/handshake.ts";
import { Limits } from "../../../edge/link/udp/limits.ts";
import {
  hasFirstMac,
  initBytes,
  macBytes,
  macKey,
  parseHandshake,
  writeCookie,
  writeInit,
  writeResponse,
} from "../../../edge/link/udp/messages.ts";
import type { Address } from "../../../edge/link/udp/paths.ts";
import { Responder } from "../../../edge/link/udp/responder.ts";
import { cryptography } from "./cryptography.ts";
import { chance, cluster, keyOf, roster } from "./members.ts";
import { joined, sameBytes, Tape } from "./tape.ts";
import type { Target } from "./target.ts";

const stepsMax = 150;
const waitingMax = 3;
const places: readonly Address[] = [1, 2, 3].map((at) => ({ host: `10.${at}.0.1`, port: at }));
const key = macKey(cryptography, keyOf(2).publicKey);
const told = (init: Uint8Array): string => Buffer.from(init.subarray(0, -macBytes)).toString("latin1");

class Story {
  #now: Millis = 0;
  #timestamp = 1_000;
  agreed = 0;
  /** Messages that were given to either. */
  read = 0;
  readonly #random = chance(1);
  readonly #limits = new Limits();
  readonly #responder: Responder;
  readonly #attempt: Attempt;
  readonly #inits: Uint8Array[] = [];
  readonly #answers: Uint8Array[] = [];
  /** Without the second MAC: what a member has said, and how often something was agreed on it. */
  readonly #written = new Map<string, number>();
  /** What the responder, or a node with its key, has said. */
  readonly #responses: Uint8Array[] = [];
  #cookies = 0;
  #sends = 0;

  constructor() {
    this.#responder = new Responder({
      identity: { self: 2, cluster, roster, keys: [keyOf(2)] },
      cryptography,
      random: chance(20),
      now: 0,
      limits: this.#limits,
      counts: { handshakes: 0, handshakesRefused: 0, datagramsIgnored: 0, agreements: 0, replies: 0 },
      say: () => ({ connectionId: this.#random(8), instance: new Uint8Array(8), resetToken: new Uint8Array(16), datagramBytesMax: 1_472 }),
      onNotice: () => {},
    });
    this.#attempt = new Attempt({
      identity: { self: 1, cluster, roster, keys: [keyOf(1)] },
      cryptography,
      random: this.#random,
      peer: 2,
      address: { host: "10.0.0.2", port: 2 },
      now: 0,
      say: () => ({
        timestamp: this.#timestamp++,
        seen: 0,
        instance: new Uint8Array(8),
        resetToken: new Uint8Array(16),
        datagramBytesMax: 1_472,
      }),
    });
    this.#take();
  }

  step(tape: Tape): void {
    switch (tape.below(12)) {
      case 0:
      case 1:
        return this.#ask(tape.pick(this.#inits), tape);
      case 2:
        return this.#ask(tape.damaged(tape.pick(this.#inits), tape.pick(this.#inits)), tape);
      case 3:
        return this.#ask(withMac(tape.damaged(tape.pick(this.#inits), tape.pick(this.#inits))), tape);
      case 4:
        return this.#ask(this.#ofMember(tape), tape);
      case 5:
        return this.#ask(withMac(joined(Uint8Array.of(0x80 | tape.below(6), tape.below(3)), tape.rest(tape.byte() * 8))), tape);
      case 6:
        return this.#ofResponder(tape);
      case 7:
        return this.#hear(
          writeCookie(cryptography, key, asInit(tape.pick(this.#inits)), { nonce: tape.bytes(16), cookie: tape.bytes(16) }),
        );
      case 8:
        // So many have asked that cookies are asked for.
        for (let at = 0; at < 65; at++) this.#limits.mayAgree({ host: `9.9.${at}.9`, port: 1 }, this.#now);
        return;
      case 9:
        this.#now += tape.below(3) === 0 ? tape.number() % 200_000 : tape.byte();
        this.#responder.drop(({ until }) => until <= this.#now);
        return this.#take();
      default: {
        if (this.#answers.length === 0) return;
        const answer = tape.pick(this.#answers);
        return this.#hear(tape.below(3) > 0 ? answer : tape.damaged(answer, tape.pick(this.#answers)));
      }
    }
  }

  /** What the attempt has to send. */
  #take(): void {
    for (let datagram = this.#attempt.take(this.#now); datagram !== null; datagram = this.#attempt.take(this.#now)) {
      const { bytes } = datagram;
      this.#inits.push(bytes);
      if (!this.#written.has(told(bytes))) this.#written.set(told(bytes), 0);
      // By time, and at once for a cookie.
      if (++this.#sends > 5 + this.#now / 100 + this.#cookies) throw new Error(`it sends INIT ${this.#sends} times in ${this.#now} ms`);
    }
  }

  #ask(bytes: Uint8Array, tape: Tape): void {
    this.read++;
    const message = parseHandshake(bytes);
    if (message?.kind !== "init") return;
    const answer = this.#responder.answer(message, tape.pick(places), this.#now);
    if (this.#responder.size > waitingMax) throw new Error(`${this.#responder.size} handshakes of one peer wait`);
    if (answer === null) return;
    if (!hasFirstMac(cryptography, key, bytes)) throw new Error("it answers who does not know its key");
    if (answer.bytes.byteLength >= bytes.byteLength) throw new Error("it answers with as much as it got");
    this.#answers.push(answer.bytes);
    const kind = parseHandshake(answer.bytes)?.kind;
    if (kind !== "response") return;
    const agreements = this.#written.get(told(bytes));
    if (agreements === undefined) throw new Error("it agrees with what no member has written");
    if (answer.agreement === undefined) return;
    this.#written.set(told(bytes), agreements + 1);
    this.#responses.push(answer.bytes);
    if (agreements > 0) throw new Error("it agrees twice with the same INIT");
  }

  #hear(bytes: Uint8Array): void {
    this.read++;
    const message = parseHandshake(bytes);
    if (message === null || message.kind === "init" || !this.#attempt.asks(message.connectionId)) return;
    if (message.kind === "cookie") {
      this.#attempt.onCookie(message, this.#now);
      if (this.#cookies < 4) this.#cookies++;
      this.#take();
    } else if (message.kind === "response" && this.#attempt.onResponse(message, this.#now) !== null) {
      if (!this.#responses.some((response) => sameBytes(response, bytes))) throw new Error("it takes for an answer what nobody said");
      if (++this.agreed > 1) throw new Error("one handshake leads to two agreements");
    }
  }

  /** An INIT of a member, listed or not, that says whatever it likes. */
  #ofMember(tape: Tape): Uint8Array {
    const from = tape.below(4) === 0 ? 3 : 1;
    const connectionId = this.#random(8);
    const handshake = new Handshake({
      cryptography,
      role: "initiator",
      prologue: prologue(cluster, from, 2, connectionId),
      own: keyOf(from),
      ephemeral: this.#random(32),
      remote: keyOf(2).publicKey,
    });
    const payload = joined(tape.rest(tape.byte()), new Uint8Array(tape.below(4) === 0 ? tape.byte() : 1_100));
    const noise = handshake.write(payload)!;
    const init = writeInit(cryptography, key, { connectionId, from, noise });
    if (init.byteLength >= initBytes && from === 1) this.#written.set(told(init), 0);
    this.#inits.push(init);
    return init;
  }

  /** An answer of a node with the responder's key that says whatever it likes. */
  #ofResponder(tape: Tape): void {
    const init = parseHandshake(tape.pick(this.#inits));
    if (init?.kind !== "init") return;
    const handshake = new Handshake({
      cryptography,
      role: "responder",
      prologue: prologue(cluster, init.from, 2, init.connectionId),
      own: keyOf(2),
      ephemeral: this.#random(32),
    });
    const said = handshake.read(init.noise);
    const payload = said === null ? null : decodeInit(said);
    if (payload === null) return;
    const response = handshake.write(tape.rest(tape.byte()))!;
    const bytes = writeResponse(
      cryptography,
      payload.responseKey,
      init.connectionId,
      tape.below(4) === 0 ? tape.rest(tape.byte()) : response,
    );
    this.#responses.push(bytes);
    this.#hear(bytes);
  }
}

function asInit(bytes: Uint8Array): { readonly connectionId: Uint8Array; readonly mac1: Uint8Array } {
  return { connectionId: bytes.slice(2, 10), mac1: bytes.slice(-2 * macBytes, -macBytes) };
}

/** Of somebody who knows the public key. */
function withMac(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength < 2 * macBytes) return bytes;
  const head = bytes.subarray(0, -2 * macBytes);
  const mac = cryptography.hmacSha256(key, head).subarray(0, macBytes);
  return joined(head, joined(mac, bytes.subarray(-macBytes)));
}

export const handshakesTarget: Target = {
  name: "handshakes",
  make: (random) => random.bytes(20 + random.below(300)),
  check: (input) => {
    decodeInit(input);
    decodeResponse(input);
    const tape = new Tape(input);
    const story = new Story();
    for (let steps = 0; !tape.ended && steps < stepsMax; steps++) story.step(tape);
    return { accepted: story.agreed > 0, read: story.read };
  },
};
