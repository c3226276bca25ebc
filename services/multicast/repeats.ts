/**
 * Which messages of a group are no messages: those under a key that had been used for one before. Whoever listens may begin anywhere,
 * and would need the table of keys as it was there to tell; these few positions say the same. They are a function of the group's
 * order alone, so every node leaves out the same ones.
 *
 *   forgotten 10 bytes · repetitions 10 bytes each, ascending · 10 bytes of 0
 */
import { comparePositions, type Position, start } from "../../core/position.ts";
import { positionBytes, Reader, type Writer } from "../bytes.ts";
import type { Hash } from "../hash.ts";
import { corrupt, type Intake } from "../restore.ts";
import type { Items } from "../snapshot.ts";

/** A group remembers so many, the newest. Keys are forgotten sooner: a repetition that is remembered is one whatever has become of its key. */
export const repeatsMax = 100_000;

export class Repeats {
  readonly #countMax: number;
  /** Ascending, from `#oldest` on. Only ever added to, so that a snapshot need only know where they began and ended. */
  #positions: Position[] = [];
  #oldest = 0;
  #forgotten: Position = start;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Of what was ordered up to here, nobody can tell any more whether it was a repetition. */
  get forgotten(): Position {
    return this.#forgotten;
  }

  add(position: Position): void {
    if (this.#positions.length - this.#oldest === this.#countMax) this.#forget();
    this.#positions.push(position);
  }

  has(position: Position): boolean {
    let [low, high] = [this.#oldest, this.#positions.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePositions(this.#positions[middle]!, position) < 0) low = middle + 1;
      else high = middle;
    }
    return low < this.#positions.length && comparePositions(this.#positions[low]!, position) === 0;
  }

  /** As they are now, whatever is added from now on. */
  snapshot(): Items {
    return new RepeatItems(this.#forgotten, this.#positions, this.#oldest);
  }

  /** Of what was known at `position`. */
  restore(position: Position): Intake {
    return new RepeatIntake(position, this.#countMax, (forgotten, positions) => {
      this.#forgotten = forgotten;
      this.#positions = positions;
      this.#oldest = 0;
    });
  }

  addTo(hash: Hash): void {
    for (const { major, group, minor } of [this.#forgotten, ...this.#positions.slice(this.#oldest)]) {
      hash.number(major).number(group).number(minor);
    }
  }

  #forget(): void {
    this.#forgotten = this.#positions[this.#oldest++]!;
    if (this.#oldest * 2 <= this.#positions.length) return;
    this.#positions = this.#positions.slice(this.#oldest);
    this.#oldest = 0;
  }
}

class RepeatItems implements Items {
  readonly #positions: readonly Position[];
  readonly #to: number;
  #at: number;
  /** What comes next; null behind the end. */
  #next: Position | null;

  constructor(forgotten: Position, positions: readonly Position[], from: number) {
    this.#next = forgotten;
    this.#positions = positions;
    this.#at = from;
    this.#to = positions.length;
  }

  next(): number {
    return this.#next === null ? 0 : positionBytes;
  }

  write(writer: Writer): void {
    writer.position(this.#next!);
    this.#next = this.#at < this.#to ? this.#positions[this.#at]! : this.#at === this.#to ? start : null;
    this.#at++;
  }

  close(): void {
    this.#next = null;
  }
}

/** What is taken in must be of commands up to `position`, at most so many. */
class RepeatIntake implements Intake {
  readonly #position: Position;
  readonly #countMax: number;
  readonly #put: (forgotten: Position, positions: Position[]) => void;
  readonly #reader = new Reader();
  readonly #positions: Position[] = [];
  #forgotten: Position | null = null;

  constructor(position: Position, countMax: number, put: (forgotten: Position, positions: Position[]) => void) {
    this.#position = position;
    this.#countMax = countMax;
    this.#put = put;
  }

  measure(): number {
    return positionBytes;
  }

  take(bytes: Uint8Array, at: number, end: number): boolean {
    const position = this.#reader.reset(bytes, at, end).position();
    const last = this.#positions.at(-1) ?? this.#forgotten;
    if (last !== null && comparePositions(position, start) === 0) return false;
    const inOrder = last === null || comparePositions(position, last) > 0;
    if (!inOrder || comparePositions(position, this.#position) > 0 || this.#positions.length === this.#countMax) {
      throw corrupt("a repeated message makes no sense");
    }
    if (last === null) this.#forgotten = position;
    else this.#positions.push(position);
    return true;
  }

  finish(): void {
    this.#put(this.#forgotten!, this.#positions);
  }
}
