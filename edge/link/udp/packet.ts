/**
 * Packets of a connection after the handshake: `flags | connection id | packet number | sealed payload`. The number and
 * the low bits of the flags are hidden under a mask made from the sealed payload, so that nothing in a packet but the id
 * tells two apart. Keys change while the connection runs: a bit of the flags says which of two neighbours sealed it.
 */
import { assert } from "../../../core/assert.ts";
import type { Cryptography } from "../../runtime.ts";
import { connectionIdBytes, headerMask, PhaseKey } from "./keys.ts";
import type { PacketProtection } from "./protection.ts";
import { ReplayWindow } from "./replay_window.ts";

/** Set in the first byte of every datagram of ours that is not a packet of a connection. */
export const handshakeFlag = 0x80;
const packetFlag = 0x40;
/** The sender has opened a packet of the phase in which it seals this one: its peer may change keys again. */
const confirmedFlag = 0x08;
const phaseFlag = 0x04;
/** One less than the bytes of the packet number, as in QUIC. */
const numberLength = 0x03;
const hiddenFlags = 0x1f;

const numberAt: number = 1 + connectionIdBytes;
const numberBytes = 4;
const numberSpan = 2 ** 32;
export const packetHeaderBytes: number = numberAt + numberBytes;
const tagBytes = 16;

export interface Secrets {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

export class Packets implements PacketProtection {
  readonly overheadBytes: number = packetHeaderBytes + tagBytes;
  readonly #sendMask: (packet: Uint8Array, at: number) => Uint8Array;
  readonly #receiveMask: (packet: Uint8Array, at: number) => Uint8Array;
  /** What is authenticated besides the payload, before it is hidden; with the peer's connection id for good. */
  readonly #sendHeader: Uint8Array = new Uint8Array(packetHeaderBytes);
  readonly #receiveHeader: Uint8Array = new Uint8Array(packetHeaderBytes);
  readonly #sendView: DataView = new DataView(this.#sendHeader.buffer);
  readonly #receiveView: DataView = new DataView(this.#receiveHeader.buffer);

  /** Counts key changes, in each direction. Invariant: they differ by at most one. */
  #sendPhase = 0;
  #receivePhase = 0;
  #sendKey: PhaseKey;
  #receiveKey: PhaseKey;
  /** Kept for stragglers until the key after the current one comes into use. */
  #receiveOldKey: PhaseKey | null = null;
  /** Made ahead, so that a forged packet of the next phase costs what any other costs. */
  #receiveNextKey: PhaseKey;
  /** The lowest packet number opened in the current receive phase: what is below it in the other phase is old, what is above is new. */
  #receivePhaseFirst = Number.POSITIVE_INFINITY;
  #lastSealed = -1;
  #opened = false;
  #onFirst: () => void = () => {};
  #confirmed = false;
  #failures = 0;
  readonly #seen: ReplayWindow = new ReplayWindow();

  constructor(cryptography: Cryptography, secrets: Secrets, peerConnectionId: Uint8Array) {
    assert(peerConnectionId.byteLength === connectionIdBytes, "Cannot protect packets: the connection id has another length");
    this.#sendMask = headerMask(cryptography, secrets.send);
    this.#receiveMask = headerMask(cryptography, secrets.receive);
    this.#sendKey = new PhaseKey(cryptography, secrets.send);
    this.#receiveKey = new PhaseKey(cryptography, secrets.receive);
    this.#receiveNextKey = this.#receiveKey.next();
    this.#sendHeader.set(peerConnectionId, 1);
  }

  get confirmed(): boolean {
    return this.#confirmed;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Called when the first packet has been opened, before it is handed out: the peer has shown that it has the keys. */
  onFirst(listener: () => void): void {
    this.#onFirst = listener;
  }

  seal(packetNumber: number, payload: Uint8Array): Uint8Array {
    // The number is the nonce: one that came twice under a key would give the key's secrets away.
    assert(packetNumber > this.#lastSealed, `Cannot seal packet ${packetNumber}: ${this.#lastSealed} was the last`);
    assert(packetNumber <= Number.MAX_SAFE_INTEGER, "Cannot seal: packet numbers are used up");
    this.#lastSealed = packetNumber;
    this.#sendHeader[0] = this.#flags();
    this.#sendView.setUint32(numberAt, packetNumber >>> 0);
    const packet = this.#sendKey.seal(packetNumber, this.#sendHeader, payload);
    packet.set(this.#sendHeader);
    hide(packet, this.#sendMask(packet, packetHeaderBytes));
    return packet;
  }

  open(packet: Uint8Array): { readonly packetNumber: number; readonly payload: Uint8Array } | null {
    if (packet.byteLength < this.overheadBytes || (packet[0]! & (handshakeFlag | packetFlag)) !== packetFlag) return null;
    const header = this.#receiveHeader;
    for (let index = 0; index < packetHeaderBytes; index++) header[index] = packet[index]!;
    hide(header, this.#receiveMask(packet, packetHeaderBytes));
    const packetNumber = nearest(this.#receiveView.getUint32(numberAt), this.#seen.largest + 1);
    const flags = header[0]!;
    const isCurrent = ((flags & phaseFlag) !== 0) === (this.#receivePhase % 2 === 1);
    const isOld = !isCurrent && packetNumber < this.#receivePhaseFirst && this.#receiveOldKey !== null;
    const key = isCurrent ? this.#receiveKey : isOld ? this.#receiveOldKey! : this.#receiveNextKey;
    const payload = key.open(packetNumber, header, packet);
    if (payload === null) {
      this.#failures++;
      return null;
    }
    if (this.#seen.has(packetNumber)) return null;
    this.#seen.add(packetNumber);
    if (!isCurrent && !isOld) this.#follow();
    if (!isOld) {
      this.#receivePhaseFirst = Math.min(this.#receivePhaseFirst, packetNumber);
      if ((flags & confirmedFlag) !== 0 && this.#receivePhase === this.#sendPhase) this.#confirmed = true;
    }
    if (!this.#opened) {
      this.#opened = true;
      this.#onFirst();
    }
    return { packetNumber, payload };
  }

  update(): boolean {
    if (!this.#confirmed) return false;
    this.#advanceSending();
    return true;
  }

  /** The peer seals with the next key: so do we from now on, unless we began with it ourselves. */
  #follow(): void {
    this.#receivePhase++;
    this.#receiveOldKey = this.#receiveKey;
    this.#receiveKey = this.#receiveNextKey;
    this.#receiveNextKey = this.#receiveKey.next();
    this.#receivePhaseFirst = Number.POSITIVE_INFINITY;
    if (this.#sendPhase < this.#receivePhase) this.#advanceSending();
  }

  #advanceSending(): void {
    this.#sendPhase++;
    this.#sendKey = this.#sendKey.next();
    this.#confirmed = false;
  }

  #flags(): number {
    const phase = this.#sendPhase % 2 === 1 ? phaseFlag : 0;
    const confirmed = this.#opened && this.#receivePhase === this.#sendPhase ? confirmedFlag : 0;
    return packetFlag | confirmed | phase | numberLength;
  }
}

/** Hides a header, or shows a hidden one. */
function hide(header: Uint8Array, mask: Uint8Array): void {
  header[0]! ^= mask[0]! & hiddenFlags;
  for (let index = 0; index < numberBytes; index++) header[numberAt + index]! ^= mask[1 + index]!;
}

/** Of the numbers that end with these 32 bits, the one nearest to `expected` (RFC 9000, A.3). */
function nearest(low: number, expected: number): number {
  const candidate = expected - expected % numberSpan + low;
  if (candidate <= expected - numberSpan / 2 && candidate + numberSpan <= Number.MAX_SAFE_INTEGER) return candidate + numberSpan;
  if (candidate > expected + numberSpan / 2 && candidate >= numberSpan) return candidate - numberSpan;
  return candidate;
}
