/**
 * The way back from a snapshot's bytes: pieces, cut anywhere, are put together to items again. What comes is built beside the state
 * there is, which stays as it is, and is served, until `finish` exchanges the two.
 */
import { CarillonError } from "../core/errors.ts";

export interface Restore {
  /** Throws CarillonError `corrupt`, and nothing else, for bytes that make no sense; then all of it is void. */
  add(chunk: Uint8Array): void;
}

/** Takes the items of one kind of state. Both methods throw `corrupt`. */
export interface Intake {
  /** Bytes of the item at `at`; while too little of it is there to tell, so many that more can be told: more than there are. */
  measure(bytes: Uint8Array, at: number, end: number): number;
  /** One item, whole; false if it was the last. Its bytes are valid only during the call. */
  take(bytes: Uint8Array, at: number, end: number): boolean;
  /** Puts what was taken in the place of what there was, and tells whoever waits for changes of it. */
  finish(): void;
}

/** Twice what can be ordered as one command, and so much more than any item has. */
export const itemBytesMax = 4 << 20;

const smallestPart = 1 << 10;

export class Assembler implements Restore {
  readonly #intake: Intake;
  /** The beginning of an item whose end has not come yet. */
  #part = new Uint8Array(smallestPart);
  #held = 0;
  /** Bytes the part must have before more can be said. */
  #needed = 0;
  #state: "open" | "complete" | "void" = "open";

  constructor(intake: Intake) {
    this.#intake = intake;
  }

  add(chunk: Uint8Array): void {
    if (this.#state === "void") throw corrupt("it was damaged further in front");
    const before = this.#state;
    this.#state = "void";
    this.#state = this.#add(chunk, before === "complete") ? "complete" : "open";
  }

  /** Throws `corrupt` unless everything was there. */
  check(): void {
    if (this.#state !== "complete") throw corrupt(this.#state === "void" ? "it was damaged further in front" : "its end is missing");
  }

  /** Returns whether the last item has been taken. */
  #add(chunk: Uint8Array, complete: boolean): boolean {
    for (let at = 0; at < chunk.byteLength;) {
      if (complete) throw corrupt("it goes on behind its end");
      if (this.#held > 0) {
        const count = Math.min(this.#needed - this.#held, chunk.byteLength - at);
        this.#hold(chunk, at, at + count);
        at += count;
        if (this.#held < this.#needed) break;
        this.#needed = this.#measure(this.#part, 0, this.#held);
        if (this.#held < this.#needed) continue;
        complete = !this.#intake.take(this.#part, 0, this.#held);
        this.#held = 0;
      } else {
        const size = this.#measure(chunk, at, chunk.byteLength);
        if (size <= chunk.byteLength - at) {
          complete = !this.#intake.take(chunk, at, at + size);
          at += size;
        } else {
          this.#needed = size;
          this.#hold(chunk, at, chunk.byteLength);
          at = chunk.byteLength;
        }
      }
    }
    return complete;
  }

  #measure(bytes: Uint8Array, at: number, end: number): number {
    const size = this.#intake.measure(bytes, at, end);
    if (size > itemBytesMax) throw corrupt(`it says that something in it has ${size} bytes`);
    return size;
  }

  #hold(bytes: Uint8Array, from: number, to: number): void {
    if (this.#needed > this.#part.byteLength) {
      const longer = new Uint8Array(this.#needed);
      longer.set(this.#part.subarray(0, this.#held));
      this.#part = longer;
    }
    this.#part.set(bytes.subarray(from, to), this.#held);
    this.#held += to - from;
  }
}

export function corrupt(state: string): CarillonError {
  return new CarillonError("corrupt", `Cannot restore a checkpoint: ${state}`);
}
