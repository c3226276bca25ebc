/** Bytes on one stream from one end to the other: written as fast as the connection takes them, checked where they come out. */
import type { Millis } from "../../core/ids.ts";
import type { End } from "./pair.ts";
import type { Net } from "./net.ts";

const patternBytes = 1 << 16;
const writeBytes = 8 << 10;
/** Begins again after `patternBytes`, and is a little longer, so that any piece of it lies in one. */
const pattern: Uint8Array = Uint8Array.from(
  { length: patternBytes + writeBytes },
  (_, at) => ((at % patternBytes) * 31 + (at % patternBytes >> 8) * 17) % 251,
);

/** All flows of a pair of ends, by stream. */
export class Flows {
  readonly #net: Net;
  readonly #from: End;
  readonly #flows = new Map<number, Flow>();

  constructor(net: Net, from: End, to: End) {
    this.#net = net;
    this.#from = from;
    from.onWritable = (stream) => this.#flows.get(stream)?.write();
    to.onStream = (stream, bytes) => {
      const flow = this.#flows.get(stream);
      if (flow === undefined) throw new Error(`stream ${stream} carries bytes that nobody wrote`);
      flow.arrived(bytes, net.now);
    };
  }

  start(stream: number, bytes: number): Flow {
    const flow = new Flow(this.#from, stream, bytes);
    this.#flows.set(stream, flow);
    flow.write();
    this.#net.turn(this.#from.host);
    return flow;
  }

  get done(): boolean {
    for (const flow of this.#flows.values()) if (flow.doneAt === null) return false;
    return true;
  }

  get received(): number {
    let sum = 0;
    for (const flow of this.#flows.values()) sum += flow.received;
    return sum;
  }
}

export class Flow {
  received = 0;
  doneAt: Millis | null = null;
  readonly #from: End;
  readonly #stream: number;
  readonly #bytes: number;
  #written = 0;

  constructor(from: End, stream: number, bytes: number) {
    this.#from = from;
    this.#stream = stream;
    this.#bytes = bytes;
  }

  /** Until the connection has enough of it for now. */
  write(): void {
    while (this.#written < this.#bytes) {
      const length = Math.min(writeBytes, this.#bytes - this.#written);
      const piece = this.#expected(this.#written, length);
      this.#written += length;
      if (!this.#from.connection.write(this.#stream, piece)) return;
    }
  }

  arrived(bytes: Uint8Array, now: Millis): void {
    for (let at = 0; at < bytes.byteLength;) {
      const length = Math.min(writeBytes, bytes.byteLength - at);
      if (Buffer.compare(bytes.subarray(at, at + length), this.#expected(this.received, length)) !== 0) {
        throw new Error(`stream ${this.#stream} carries other bytes than were written, behind ${this.received}`);
      }
      this.received += length;
      at += length;
    }
    if (this.received > this.#bytes) throw new Error(`stream ${this.#stream} carries more than was written`);
    if (this.received === this.#bytes) this.doneAt = now;
  }

  #expected(offset: number, length: number): Uint8Array {
    const from = (offset + this.#stream * 4_099) % patternBytes;
    return pattern.subarray(from, from + length);
  }
}
