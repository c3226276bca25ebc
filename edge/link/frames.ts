/**
 * Messages on a stream: a u32 length and the message. Outgoing frames are laid one behind the other
 * into a buffer that is never written twice, so that they can be handed on as they lie. Incoming
 * chunks are cut without ever growing a partial frame.
 */
import type { Message } from "../../core/message.ts";
import { entryBytes } from "../../core/entry.ts";
import { DecodeError, Writer } from "../codec/bytes.ts";
import { encodeMessage } from "../codec/message.ts";

export const frameHeaderBytes = 4;
export const frameBytesMax: number = 32 << 20;
const bufferBytes = 64 << 10;

export class FrameWriter {
  #writer: Writer = new Writer(bufferBytes);
  #room = bufferBytes;

  /** A view that is good for ever: consecutive frames of one buffer lie side by side. */
  write(message: Message): Uint8Array {
    const most = frameHeaderBytes + messageBytesMax(message);
    if (this.#writer.length + most > this.#room) {
      this.#room = Math.max(bufferBytes, most);
      this.#writer = new Writer(this.#room);
    }
    const at = this.#writer.skip(frameHeaderBytes);
    encodeMessage(this.#writer, message);
    this.#writer.patchU32(at, this.#writer.length - at - frameHeaderBytes);
    return this.#writer.view(at);
  }
}

/** An upper bound: should it ever be too low, the buffer grows and nothing else happens. */
function messageBytesMax(message: Message): number {
  const fixed = 128;
  switch (message.kind) {
    case "propose":
      return message.batches.reduce((sum, batch) => sum + 24 + batch.bytes.byteLength, fixed);
    case "accept":
      return fixed + entryBytes(message.entry);
    case "entries":
      return message.entries.reduce((sum, entry) => sum + entryBytes(entry), fixed);
    case "vote":
      return fixed + message.votes.length * 18;
    case "heartbeat":
      return fixed + message.beats.length * 83;
    case "piece":
      return fixed + message.bytes.byteLength;
    default:
      return fixed;
  }
}

export class FrameReader {
  readonly #onFrame: (frame: Uint8Array) => void;
  readonly #bytesMax: number;
  /** A frame, or its header, of which the rest is still to come. */
  #partial: Uint8Array | null = null;
  #filled = 0;
  #inHeader = false;

  /** `onFrame` gets views into the chunks, or a buffer of its own for a frame that came in pieces. */
  constructor(onFrame: (frame: Uint8Array) => void, bytesMax: number = frameBytesMax) {
    this.#onFrame = onFrame;
    this.#bytesMax = bytesMax;
  }

  /** The chunk must not be written to afterwards. Throws DecodeError for a length no frame has, and whatever `onFrame` throws. */
  push(chunk: Uint8Array): void {
    let at = this.#partial === null ? 0 : this.#fill(chunk, 0);
    while (this.#partial === null && at < chunk.byteLength) {
      if (chunk.byteLength - at < frameHeaderBytes) {
        at = this.#begin(frameHeaderBytes, true, chunk, at);
        continue;
      }
      const length = this.#length(chunk, at);
      at += frameHeaderBytes;
      if (chunk.byteLength - at < length) {
        at = this.#begin(length, false, chunk, at);
      } else {
        this.#onFrame(chunk.subarray(at, at + length));
        at += length;
      }
    }
  }

  #begin(bytes: number, inHeader: boolean, chunk: Uint8Array, at: number): number {
    this.#partial = new Uint8Array(bytes);
    this.#filled = 0;
    this.#inHeader = inHeader;
    return this.#fill(chunk, at);
  }

  /** Takes what the partial frame lacks; says where the chunk goes on. */
  #fill(chunk: Uint8Array, at: number): number {
    const partial = this.#partial!;
    const taken = Math.min(partial.byteLength - this.#filled, chunk.byteLength - at);
    partial.set(chunk.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    at += taken;
    if (this.#filled < partial.byteLength) return at;
    this.#partial = null;
    if (this.#inHeader) return this.#begin(this.#length(partial, 0), false, chunk, at);
    this.#onFrame(partial);
    return at;
  }
  #length(bytes: Uint8Array, at: number): number {
    const length = (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
    if (length === 0 || length > this.#bytesMax) throw new DecodeError(`a frame claims ${length} bytes`);
    return length;
  }
}
