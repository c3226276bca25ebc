/** A peer that has the keys and does not play by the rules: it opens what it gets, and says whatever it likes. */
import type { Millis } from "../../core/ids.ts";
import { type FrameSink, FrameWriter, readFrames } from "../../edge/link/udp/frames.ts";
import type { Packets } from "../../edge/link/udp/packet.ts";
import type { Datagram } from "../../edge/runtime.ts";
import type { Address, Party } from "./net.ts";

export class Attacker implements Party {
  readonly wakeAt = Infinity;
  /** Largest packet number it has opened. */
  largest = -1;
  /** What the peer said when it ended the connection. */
  closed: string | null = null;
  /** Called for each packet it has opened; what it says then leaves at once. */
  onPacket: (packetNumber: number) => void = () => {};
  readonly #protection: Packets;
  readonly #to: Address;
  readonly #writer = new FrameWriter(1_200);
  #next = 0;
  readonly #queue: Datagram[] = [];

  constructor(protection: Packets, to: Address) {
    this.#protection = protection;
    this.#to = to;
  }

  /** A packet with these frames. */
  say(write: (writer: FrameWriter) => void): void {
    this.#queue.push({ ...this.#to, bytes: this.seal(write) });
  }

  seal(write: (writer: FrameWriter) => void): Uint8Array {
    this.#writer.begin(1_170);
    write(this.#writer);
    return this.#protection.seal(this.#next++, this.#writer.view());
  }

  receive(bytes: Uint8Array, _from: Address, _now: Millis): void {
    const opened = this.#protection.open(bytes);
    if (opened === null) return;
    this.largest = Math.max(this.largest, opened.packetNumber);
    readFrames(opened.payload, { ...deaf, onClose: (reason) => void (this.closed = reason) });
    if (this.closed === null) this.onPacket(opened.packetNumber);
  }

  take(): Datagram | null {
    return this.#queue.shift() ?? null;
  }

  wake(): void {}
}

/** Takes every frame and makes nothing of it. */
export const deaf: FrameSink = {
  onPing: () => {},
  onAck: () => {},
  onDatagram: () => {},
  onStream: () => {},
  onStreamWindow: () => {},
  onConnectionWindow: () => {},
  onChallenge: () => {},
  onAnswer: () => {},
  onClose: () => {},
};
