/** The logs of one home group from the bytes of a snapshot. */
import { comparePositions, type Position, start } from "../../core/position.ts";
import { positionBytes, Reader, readU32 } from "../bytes.ts";
import { explicitType, skipType } from "../content.ts";
import { Tree } from "../tree.ts";
import { corrupt, type Intake } from "../restore.ts";
import { logName } from "./command.ts";
import { Segments } from "./segments.ts";

export class LogIntake implements Intake {
  readonly logs = new Map<string, Segments>();
  readonly names = new Tree();
  readonly #position: Position;
  readonly #put: (restored: LogIntake) => void;
  readonly #reader = new Reader();
  #name = "";
  #log = new Segments();
  /** Where the log being read ends. */
  #next = 0;
  /** Of its last record. */
  #last = start;

  constructor(position: Position, put: (restored: LogIntake) => void) {
    this.#position = position;
    this.#put = put;
  }

  measure(bytes: Uint8Array, at: number, end: number): number {
    if (this.#log.next === this.#next) return bytes[at] === 0 ? 1 : 15 + bytes[at]!;
    const type = at + 4 + positionBytes;
    if (end <= type) return type + 1 - at;
    if (bytes[type] !== explicitType) return type + 1 - at + readU32(bytes, at);
    return end === type + 1 ? type + 2 - at : type + 2 - at + bytes[type + 1]! + readU32(bytes, at);
  }

  take(bytes: Uint8Array, at: number, end: number): boolean {
    const reader = this.#reader.reset(bytes, at, end);
    if (this.#log.next < this.#next) {
      this.#takeRecord(reader);
      return true;
    }
    const length = reader.u8();
    if (length > 0) this.#begin(reader.binary(length), reader.u53(), reader.u53(), reader.ok);
    return length > 0;
  }

  finish(): void {
    this.#put(this);
  }

  #begin(name: string, first: number, next: number, whole: boolean): void {
    if (!whole || !logName.test(name) || name <= this.#name || first > next || next === 0) throw corrupt("a log makes no sense");
    this.#name = name;
    this.#log = new Segments(first);
    this.#next = next;
    this.#last = start;
    this.names.set(name, this.logs.size);
    this.logs.set(name, this.#log);
  }

  #takeRecord(reader: Reader): void {
    const length = reader.u32();
    const position = reader.position();
    const content = reader.at;
    skipType(reader);
    if (!reader.ok || reader.left !== length) throw corrupt("a record makes no sense");
    if (comparePositions(position, this.#last) < 0 || comparePositions(position, this.#position) > 0) {
      throw corrupt("its records are not in order");
    }
    this.#last = position;
    reader.rewind(content);
    this.#log.append(position, reader, reader.left, length);
  }
}
