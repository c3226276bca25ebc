/**
 * Everything one replica holds, as one run of bytes: the sessions of each group it hears, then each machine.
 *
 *   version u8 · sections · 0 u8
 *   section: kind u8 (1: sessions, 2: machine) · group or service number u16 · items, the last of which says so
 *
 * Which sections there are and their order follows from what the replica is, so another replica's checkpoint is none.
 */
import type { Position } from "../core/position.ts";
import type { Writer } from "./bytes.ts";
import type { State } from "./machine.ts";
import { corrupt, type Intake } from "./restore.ts";
import { type Items, later } from "./snapshot.ts";

export const sessionsKind = 1;
export const machineKind = 2;

/** One part of a replica's state. */
export interface Section {
  readonly kind: number;
  /** Of the group whose sessions they are, or of the service. */
  readonly number: number;
  readonly state: State;
}

const version = 2;
const headBytes = 3;

export class CheckpointItems implements Items {
  readonly #sections: readonly Section[];
  /** Of each section, all of the same moment. */
  readonly #items: readonly Items[];
  /** The section whose items come next; its head comes first. −1 before the version, null behind the end. */
  #at: number | null = -1;
  #head = true;

  constructor(sections: readonly Section[], position: Position) {
    this.#sections = sections;
    this.#items = sections.map(({ state }) => state.snapshot(position));
  }

  next(): number {
    if (this.#at === null) return 0;
    if (this.#at >= 0 && !this.#head) {
      const size = this.#items[this.#at]!.next();
      if (size > 0 || size === later) return size;
      this.#at++;
      this.#head = true;
    }
    return this.#at < 0 || this.#at === this.#sections.length ? 1 : headBytes;
  }

  write(writer: Writer): void {
    const at = this.#at!;
    if (at < 0) {
      writer.u8(version);
      this.#at = 0;
    } else if (at === this.#sections.length) {
      writer.u8(0);
      this.#at = null;
    } else if (this.#head) {
      writer.u8(this.#sections[at]!.kind).u16(this.#sections[at]!.number);
      this.#head = false;
    } else {
      this.#items[at]!.write(writer);
    }
  }

  close(): void {
    this.#at = null;
    for (const items of this.#items) items.close();
  }
}

export class CheckpointIntake implements Intake {
  readonly #sections: readonly Section[];
  readonly #intakes: readonly Intake[];
  /** −1 before the version. */
  #at = -1;
  #head = true;

  constructor(sections: readonly Section[], position: Position) {
    this.#sections = sections;
    this.#intakes = sections.map(({ state }) => state.restore(position));
  }

  measure(bytes: Uint8Array, at: number, end: number): number {
    if (!this.#head) return this.#intakes[this.#at]!.measure(bytes, at, end);
    return this.#at < 0 || bytes[at] === 0 ? 1 : headBytes;
  }

  take(bytes: Uint8Array, at: number, end: number): boolean {
    if (!this.#head) {
      if (!this.#intakes[this.#at]!.take(bytes, at, end)) {
        this.#at++;
        this.#head = true;
      }
      return true;
    }
    if (this.#at < 0) {
      if (bytes[at] !== version) throw corrupt(`its format is version ${bytes[at]}, and this program knows ${version}`);
      this.#at = 0;
      return true;
    }
    const section = this.#sections[this.#at];
    const kind = bytes[at]!;
    if (kind === 0 && section === undefined) return false;
    if (kind !== section?.kind || (bytes[at + 1]! | bytes[at + 2]! << 8) !== section.number) throw corrupt("it is not of this replica");
    this.#head = false;
    return true;
  }

  finish(): void {
    for (const intake of this.#intakes) intake.finish();
  }
}
