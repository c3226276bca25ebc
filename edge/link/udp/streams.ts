/**
 * All streams of a connection, both halves, and the credit that bounds what each side keeps of them (RFC 9000 section 4): 4 MB a
 * stream, 32 MB together, given back as bytes are handed out.
 */
import type { FrameWriter } from "./frames.ts";
import { Lanes } from "./lanes.ts";
import { ReceiveStream } from "./receive_stream.ts";
import { highWaterBytes, lowWaterBytes, type Piece, SendStream } from "./send_stream.ts";

export const streamWindowBytes = 4_194_304;
export const connectionWindowBytes = 33_554_432;
/** Most streams a peer may open; numbers are lanes, below twice 65 536. */
export const streamsMax = 8_192;
const streamNumberMax = 131_071;
/** In the place of a stream's number: the credit of all together. */
export const connectionCredit = -1;
const windowFrameBytesMax = 1 + 4 + 8;

export interface StreamEvents {
  onStream(stream: number, bytes: Uint8Array): void;
  onWritable(stream: number): void;
}

export class Streams {
  retransmittedBytes = 0;
  readonly #events: StreamEvents;
  readonly #sending = new Map<number, SendStream>();
  readonly #receiving = new Map<number, ReceiveStream>();
  readonly #lanes: Lanes = new Lanes();
  /** Streams whose peer waits for credit, and `connectionCredit`. */
  readonly #owed = new Set<number>();
  /** Streams with new bytes that the connection's credit holds back. */
  readonly #held = new Set<SendStream>();
  readonly #writable: number[] = [];
  #sent = 0;
  #sendLimit = connectionWindowBytes;
  #furthest = 0;
  #delivered = 0;
  #receiveLimit = connectionWindowBytes;

  constructor(events: StreamEvents) {
    this.#events = events;
  }

  /** Something could leave now. */
  get ready(): boolean {
    return !this.#lanes.empty || this.#owed.size > 0;
  }

  /** Bytes written and not acknowledged. */
  get unackedBytes(): number {
    let sum = 0;
    for (const stream of this.#sending.values()) sum += stream.unackedBytes;
    return sum;
  }

  write(id: number, bytes: Uint8Array): boolean {
    let stream = this.#sending.get(id);
    if (stream === undefined) {
      stream = new SendStream(id, streamWindowBytes);
      this.#sending.set(id, stream);
    }
    stream.write(bytes);
    this.#schedule(stream);
    if (stream.unsentBytes <= highWaterBytes) return true;
    stream.waited = true;
    return false;
  }

  /** Credit first, then bytes by priority, until the packet is full or nothing is left. */
  fill(writer: FrameWriter, pieces: Piece[], windows: number[]): void {
    for (const id of this.#owed) {
      if (writer.room < windowFrameBytesMax) return;
      this.#owed.delete(id);
      windows.push(id);
      this.#announce(id, writer);
    }
    for (let stream = this.#lanes.shift(); stream !== null; stream = this.#lanes.shift()) {
      const piece = stream.fill(writer, this.#sendLimit - this.#sent);
      if (piece === null) {
        // Full, or held back by credit: then the peer's WINDOW schedules it again.
        if (!stream.ready(this.#sendLimit - this.#sent)) {
          if (stream.unsentBytes > 0) this.#held.add(stream);
          continue;
        }
        this.#lanes.unshift(stream);
        return;
      }
      pieces.push(piece);
      if (piece.isNew) this.#sent += piece.end - piece.start;
      else this.retransmittedBytes += piece.end - piece.start;
      this.#schedule(stream);
      if (stream.waited && stream.unsentBytes <= lowWaterBytes) {
        stream.waited = false;
        this.#writable.push(stream.id);
      }
    }
  }

  /** Tells the writers that may go on. Apart from `fill`, since they write at once. */
  notify(): void {
    while (this.#writable.length > 0) this.#events.onWritable(this.#writable.shift()!);
  }

  acked(pieces: readonly Piece[]): void {
    for (const { stream, start, end } of pieces) stream.acked(start, end);
  }

  lost(pieces: readonly Piece[], windows: readonly number[]): void {
    for (const { stream, start, end } of pieces) {
      stream.lost(start, end);
      this.#schedule(stream);
    }
    for (const id of windows) this.#owed.add(id);
  }

  /** Null if it is taken; "full" if it must come again; else why the peer breaks the rules. */
  receive(id: number, offset: number, bytes: Uint8Array): string | null {
    let stream = this.#receiving.get(id);
    if (stream === undefined) {
      if (id > streamNumberMax || this.#receiving.size >= streamsMax) return `the peer opens stream ${id} beyond the ${streamsMax} allowed`;
      stream = new ReceiveStream(id, streamWindowBytes);
      this.#receiving.set(id, stream);
    }
    const end = offset + bytes.byteLength;
    if (end > stream.limit) return `the peer sends ${end} bytes on stream ${id}, which may have ${stream.limit}`;
    const further = Math.max(0, end - stream.furthest);
    if (this.#furthest + further > this.#receiveLimit) return "the peer sends more than the connection's credit";
    const before = stream.delivered;
    if (!stream.receive(offset, bytes, (part) => this.#events.onStream(id, part))) return "full";
    this.#furthest += further;
    this.#delivered += stream.delivered - before;
    if (stream.limit - stream.delivered <= streamWindowBytes / 2) this.#owed.add(id);
    if (this.#receiveLimit - this.#delivered <= connectionWindowBytes / 2) this.#owed.add(connectionCredit);
    return null;
  }

  onStreamWindow(id: number, limit: number): void {
    const stream = this.#sending.get(id);
    if (stream === undefined || limit <= stream.limit) return;
    stream.limit = limit;
    this.#schedule(stream);
  }

  onConnectionWindow(limit: number): void {
    if (limit <= this.#sendLimit) return;
    this.#sendLimit = limit;
    for (const stream of this.#held) this.#schedule(stream);
    this.#held.clear();
  }

  #schedule(stream: SendStream): void {
    if (stream.ready(this.#sendLimit - this.#sent)) this.#lanes.push(stream);
    else if (stream.unsentBytes > 0) this.#held.add(stream);
  }

  #announce(id: number, writer: FrameWriter): void {
    if (id === connectionCredit) {
      this.#receiveLimit = Math.max(this.#receiveLimit, this.#delivered + connectionWindowBytes);
      writer.connectionWindow(this.#receiveLimit);
      return;
    }
    const stream = this.#receiving.get(id)!;
    stream.limit = Math.max(stream.limit, stream.delivered + streamWindowBytes);
    writer.streamWindow(id, stream.limit);
  }
}
