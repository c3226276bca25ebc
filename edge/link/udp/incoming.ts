/** From one peer over one connection: streams cut into frames, and frames and datagrams made messages again. */
import type { Message } from "../../../core/message.ts";
import { DecodeError } from "../../codec/bytes.ts";
import { decodeMessage } from "../../codec/message.ts";
import { FrameReader } from "../frames.ts";
import type { Lane } from "../link.ts";

export interface IncomingEvents {
  onMessage(message: Message, bytes: number): void;
  /** What came makes no sense: the connection is no good any more. A sentence without a subject. */
  onNonsense(reason: string): void;
}

export class Incoming {
  readonly #lanes: ReadonlySet<Lane>;
  readonly #events: IncomingEvents;
  readonly #readers = new Map<Lane, FrameReader>();
  #ended = false;

  /** `lanes`: those that there are. */
  constructor(lanes: ReadonlySet<Lane>, events: IncomingEvents) {
    this.#lanes = lanes;
    this.#events = events;
  }

  stream(lane: Lane, bytes: Uint8Array): void {
    if (!this.#lanes.has(lane)) return this.#end(`there is no group for lane ${lane}`);
    this.#read(() => this.#reader(lane).push(bytes));
  }

  datagram(bytes: Uint8Array): void {
    this.#read(() => this.#receive(bytes));
  }

  #receive(frame: Uint8Array): void {
    if (!this.#ended) this.#events.onMessage(decodeMessage(frame, false), frame.byteLength);
  }

  #reader(lane: Lane): FrameReader {
    const existing = this.#readers.get(lane);
    if (existing !== undefined) return existing;
    const reader = new FrameReader((frame) => this.#receive(frame));
    this.#readers.set(lane, reader);
    return reader;
  }

  #read(read: () => void): void {
    if (this.#ended) return;
    try {
      read();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end(error.message);
    }
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#events.onNonsense(reason);
  }
}
