/**
 * What is inside a packet: frames, modelled on RFC 9000 section 19, with its variable-length integers (section 16) up to 2^53 − 1.
 * Each has one encoding. The writer fills one buffer that is used again for every packet; the reader hands out views of the
 * payload and throws nothing but DecodeError.
 */
import { DecodeError } from "../../codec/bytes.ts";
import type { Ranges } from "./ranges.ts";

const padding = 0;
const ping = 1;
const ack = 2;
const datagram = 3;
const stream = 4;
const streamWindow = 5;
const connectionWindow = 6;
const challenge = 7;
const answer = 8;
const close = 9;

export const ackRangesMax = 32;
export const closeReasonBytesMax = 256;
/** Most a STREAM frame needs besides its bytes: type, stream, offset, length. */
export const streamHeaderBytesMax = 1 + 4 + 8 + 4;

/** Of a challenge, or its answer. */
export const pathFrameBytes: number = 1 + 8;

/** What a packet asks for: no acknowledgement, one with the next packet that leaves anyway, or one soon. */
export type Asks = "nothing" | "later" | "soon";

const high = 2 ** 32;
const encoder: TextEncoder = new TextEncoder();
const decoder: TextDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Eight bytes only the path's other end can know (RFC 9000 section 8.2). */
export interface PathToken {
  readonly a: number;
  readonly b: number;
}

/** Packet numbers received, newest first: `ranges` holds first and last of each run in turn. */
export interface AckFrame {
  readonly largest: number;
  readonly delayMs: number;
  readonly ranges: readonly number[];
}

/** Gets the frames of one packet in their order. */
export interface FrameSink {
  /** Asks for an acknowledgement at once. */
  onPing(): void;
  onAck(frame: AckFrame): void;
  onDatagram(bytes: Uint8Array): void;
  onStream(stream: number, offset: number, bytes: Uint8Array): void;
  onStreamWindow(stream: number, limit: number): void;
  onConnectionWindow(limit: number): void;
  onChallenge(token: PathToken): void;
  onAnswer(token: PathToken): void;
  onClose(reason: string): void;
}

export function varintBytes(value: number): number {
  return value < 64 ? 1 : value < 16_384 ? 2 : value < 1_073_741_824 ? 4 : 8;
}

export class FrameWriter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #end: number;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
    this.#end = capacity;
  }

  /** Begins a payload of at most `bytesMax`. */
  begin(bytesMax: number): void {
    this.#at = 0;
    this.#end = Math.min(bytesMax, this.#bytes.byteLength);
  }

  get length(): number {
    return this.#at;
  }

  /** Bytes that still fit. */
  get room(): number {
    return this.#end - this.#at;
  }

  /** What has been written, until the next `begin`. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  ping(): void {
    this.#bytes[this.#at++] = ping;
  }

  /** Fills the payload up to its end: padding is always last. */
  pad(): void {
    this.#bytes.fill(padding, this.#at, this.#end);
    this.#at = this.#end;
  }

  /** The newest ranges, as many as are allowed and fit. There must be one. */
  ack(ranges: Ranges, delayMs: number): void {
    let index = ranges.count - 1;
    const fit = Math.max(0, Math.floor((this.room - 1 - 8 - 8 - 1 - 8) / 16));
    const further = Math.min(index, ackRangesMax - 1, fit);
    this.#bytes[this.#at++] = ack;
    this.#varint(ranges.ends[index]! - 1);
    this.#varint(Math.max(0, Math.round(delayMs * 1_000)));
    this.#varint(further);
    this.#varint(ranges.ends[index]! - 1 - ranges.starts[index]!);
    for (let left = further; left > 0; left -= 1, index -= 1) {
      this.#varint(ranges.starts[index]! - ranges.ends[index - 1]! - 1);
      this.#varint(ranges.ends[index - 1]! - 1 - ranges.starts[index - 1]!);
    }
  }

  datagram(bytes: Uint8Array): void {
    this.#bytes[this.#at++] = datagram;
    this.#varint(bytes.byteLength);
    this.copy(bytes);
  }

  /** The head of a STREAM frame; exactly `length` bytes are to be copied behind it. */
  stream(id: number, offset: number, length: number): void {
    this.#bytes[this.#at++] = stream;
    this.#varint(id);
    this.#varint(offset);
    this.#varint(length);
  }

  copy(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.byteLength;
  }

  streamWindow(id: number, limit: number): void {
    this.#bytes[this.#at++] = streamWindow;
    this.#varint(id);
    this.#varint(limit);
  }

  connectionWindow(limit: number): void {
    this.#bytes[this.#at++] = connectionWindow;
    this.#varint(limit);
  }

  challenge(token: PathToken): void {
    this.#token(challenge, token);
  }

  answer(token: PathToken): void {
    this.#token(answer, token);
  }

  close(reason: string): void {
    const { read, written } = encoder.encodeInto(reason, new Uint8Array(closeReasonBytesMax));
    this.#bytes[this.#at++] = close;
    this.#varint(written);
    this.copy(encoder.encode(reason.slice(0, read)));
  }

  #token(type: number, token: PathToken): void {
    this.#bytes[this.#at] = type;
    this.#view.setUint32(this.#at + 1, token.a);
    this.#view.setUint32(this.#at + 5, token.b);
    this.#at += pathFrameBytes;
  }

  #varint(value: number): void {
    const bytes = this.#bytes;
    if (value < 64) {
      bytes[this.#at++] = value;
    } else if (value < 16_384) {
      bytes[this.#at++] = 0x40 | (value >> 8);
      bytes[this.#at++] = value & 0xff;
    } else if (value < 1_073_741_824) {
      this.#view.setUint32(this.#at, value + 0x8000_0000);
      this.#at += 4;
    } else {
      const low = value >>> 0;
      this.#view.setUint32(this.#at, (value - low) / high + 0xc000_0000);
      this.#view.setUint32(this.#at + 4, low);
      this.#at += 8;
    }
  }
}

/** Says whether the packet asks to be acknowledged: everything but ACK, PADDING and CLOSE does (RFC 9002 section 2), a DATAGRAM later. */
export function readFrames(payload: Uint8Array, sink: FrameSink): Asks {
  const reader = new FrameReader(payload);
  if (reader.done) throw new DecodeError("a packet has no frame");
  let asks: Asks = "nothing";
  while (!reader.done) {
    const type = reader.byte();
    asks = asksOf(type, asks);
    switch (type) {
      case padding:
        reader.padding();
        break;
      case ping:
        sink.onPing();
        break;
      case ack:
        sink.onAck(reader.ack());
        break;
      case datagram:
        sink.onDatagram(reader.bytes(reader.varint()));
        break;
      case stream: {
        const id = reader.varint();
        const offset = reader.varint();
        const length = reader.varint();
        if (length === 0) throw new DecodeError("a STREAM frame is empty");
        if (offset + length > Number.MAX_SAFE_INTEGER) throw new DecodeError("a stream is longer than 2^53 − 1 bytes");
        sink.onStream(id, offset, reader.bytes(length));
        break;
      }
      case streamWindow:
        sink.onStreamWindow(reader.varint(), reader.varint());
        break;
      case connectionWindow:
        sink.onConnectionWindow(reader.varint());
        break;
      case challenge:
        sink.onChallenge(reader.token());
        break;
      case answer:
        sink.onAnswer(reader.token());
        break;
      case close:
        sink.onClose(reader.reason());
        break;
      default:
        throw new DecodeError(`${type} is no type of frame`);
    }
  }
  return asks;
}

function asksOf(type: number, asks: Asks): Asks {
  if (type === padding || type === ack || type === close) return asks;
  return type !== datagram ? "soon" : asks === "nothing" ? "later" : asks;
}

class FrameReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  byte(): number {
    if (this.done) throw new DecodeError("a frame ends early");
    return this.#bytes[this.#at++]!;
  }

  bytes(length: number): Uint8Array {
    const at = this.#at;
    if (length > this.#bytes.byteLength - at) throw new DecodeError(`${length} bytes are claimed and ${this.#bytes.byteLength - at} left`);
    this.#at = at + length;
    return this.#bytes.subarray(at, at + length);
  }

  varint(): number {
    const first = this.byte();
    switch (first >> 6) {
      case 0:
        return first;
      case 1:
        return this.#shortest(((first & 0x3f) << 8) | this.byte(), 64);
      case 2:
        return this.#shortest((first & 0x3f) * 0x100_0000 + this.#u24(), 16_384);
      default: {
        const top = (first & 0x3f) * 0x100_0000 + this.#u24();
        if (top >= 2 ** 21) throw new DecodeError("a number is above 2^53 − 1");
        return this.#shortest(top * high + this.byte() * 0x100_0000 + this.#u24(), 1_073_741_824);
      }
    }
  }

  ack(): AckFrame {
    const largest = this.varint();
    const delayMs = this.varint() / 1_000;
    const further = this.varint();
    if (further >= ackRangesMax) throw new DecodeError(`an ACK frame has ${further + 1} ranges (at most ${ackRangesMax})`);
    const ranges: number[] = [];
    let last = largest;
    for (let left = further;; left -= 1) {
      const first = last - this.varint();
      if (first < 0) throw new DecodeError("an ACK frame speaks of packets below 0");
      ranges.push(first, last);
      if (left === 0) break;
      last = first - 2 - this.varint();
      if (last < 0) throw new DecodeError("an ACK frame speaks of packets below 0");
    }
    return { largest, delayMs, ranges };
  }

  token(): PathToken {
    const bytes = this.bytes(8);
    const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
    return { a: view.getUint32(0), b: view.getUint32(4) };
  }

  reason(): string {
    const length = this.varint();
    if (length > closeReasonBytesMax) throw new DecodeError(`a reason has ${length} bytes (at most ${closeReasonBytesMax})`);
    try {
      return decoder.decode(this.bytes(length));
    } catch (error) {
      if (error instanceof DecodeError) throw error;
      throw new DecodeError("a reason is not UTF-8");
    }
  }

  padding(): void {
    const rest = this.bytes(this.#bytes.byteLength - this.#at);
    if (rest.some((byte) => byte !== padding)) throw new DecodeError("padding is not empty");
  }

  #u24(): number {
    return (this.byte() << 16) | (this.byte() << 8) | this.byte();
  }

  #shortest(value: number, least: number): number {
    if (value < least) throw new DecodeError(`${value} is written longer than needed`);
    return value;
  }
}
