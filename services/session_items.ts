/**
 * Sessions as bytes, oldest first, and back.
 *
 *   session: key length u8 · key · fingerprint 16 · position 10 bytes · outcome length u16 · outcome
 *   end:     0 u8
 */
import { comparePositions, type Position, start } from "../core/position.ts";
import { positionBytes, Reader, type Writer } from "./bytes.ts";
import { fingerprintBytes } from "./command.ts";
import { corrupt, type Intake } from "./restore.ts";
import type { Session } from "./sessions.ts";
import type { Items } from "./snapshot.ts";

const middleBytes = fingerprintBytes + positionBytes;

/** Two lists that are only ever added to, of which this hands out `from ≤ index < to`. */
export class SessionItems implements Items {
  readonly #keys: readonly string[];
  readonly #kept: readonly Session[];
  readonly #to: number;
  #at: number;
  #ended = false;

  constructor(keys: readonly string[], kept: readonly Session[], from: number) {
    this.#keys = keys;
    this.#kept = kept;
    this.#to = keys.length;
    this.#at = from;
  }

  next(): number {
    if (this.#ended) return 0;
    return this.#at === this.#to ? 1 : 3 + this.#keys[this.#at]!.length + middleBytes + this.#kept[this.#at]!.outcome.length;
  }

  write(writer: Writer): void {
    this.#ended = this.#at === this.#to;
    if (this.#ended) {
      writer.u8(0);
      return;
    }
    const key = this.#keys[this.#at]!;
    const { fingerprint, position, outcome } = this.#kept[this.#at++]!;
    writer.u8(key.length).binary(key).binary(fingerprint).position(position).u16(outcome.length).binary(outcome);
  }

  close(): void {
    this.#ended = true;
  }
}

/** What is taken in must be of commands up to `position`, at most so many. */
export class SessionIntake implements Intake {
  readonly sessions = new Map<string, Session>();
  readonly #position: Position;
  readonly #countMax: number;
  readonly #put: (sessions: Map<string, Session>) => void;
  readonly #reader = new Reader();
  #last: Position = start;

  constructor(position: Position, countMax: number, put: (sessions: Map<string, Session>) => void) {
    this.#position = position;
    this.#countMax = countMax;
    this.#put = put;
  }

  measure(bytes: Uint8Array, at: number, end: number): number {
    if (bytes[at] === 0) return 1;
    const head = 3 + bytes[at]! + middleBytes;
    return end - at < head ? head : head + (bytes[at + head - 2]! | bytes[at + head - 1]! << 8);
  }

  take(bytes: Uint8Array, at: number, end: number): boolean {
    const reader = this.#reader.reset(bytes, at, end);
    const length = reader.u8();
    if (length === 0) return false;
    const key = reader.binary(length);
    const fingerprint = reader.binary(fingerprintBytes);
    const position = reader.position();
    const outcome = reader.binary(reader.u16());
    const inOrder = comparePositions(position, this.#last) > 0 && comparePositions(position, this.#position) <= 0;
    if (!reader.done || !inOrder || this.sessions.has(key) || this.sessions.size === this.#countMax) {
      throw corrupt("an idempotency key makes no sense");
    }
    this.sessions.set(key, { fingerprint, position, outcome });
    this.#last = position;
    return true;
  }

  finish(): void {
    this.#put(this.sessions);
  }
}
