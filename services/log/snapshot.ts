/**
 * The logs of one home group as they were at one position, by name, while they go on growing and being trimmed.
 *
 *   log:    name length u8 · name · first 7 bytes · next 7 bytes · records as in segments
 *   end:    0 u8
 *
 * Records never change and segments only grow, so all there is to keep of a log is which segments it had: from the beginning of
 * its part, or from before it is written if that is earlier.
 */
import type { Writer } from "../bytes.ts";
import type { Items } from "../snapshot.ts";
import type { Tree } from "../tree.ts";
import type { Extract, Segments } from "./segments.ts";

const endBytes = 1;
const headBytes = 15;
/** Records are handed out together up to so many bytes, or one by itself. */
const runBytesMax = 64 << 10;

export class LogItems implements Items {
  readonly #names: Tree;
  readonly #logs: ReadonlyMap<string, Segments>;
  /** Logs with numbers from here on have begun since. */
  readonly #count: number;
  readonly #stop: () => void;
  /** Of logs that have been written since and are still to come. */
  readonly #extracts = new Map<string, Extract>();
  /** The log being handed out; "" before the first. */
  #name = "";
  #log: Extract | null = null;
  /** Whether its head is out; then the next record is `#offset`. */
  #begun = false;
  #offset = 0;
  /** Of the run found: its segment and where it begins and ends there. */
  #segment = 0;
  #from = 0;
  #to = 0;
  #behind = 0;
  #ended = false;

  /** `names`: from names to numbers in the order in which the logs have begun. `stop` is called when nothing needs to be kept any more. */
  constructor(names: Tree, logs: ReadonlyMap<string, Segments>, stop: () => void) {
    this.#names = names;
    this.#logs = logs;
    this.#count = names.size;
    this.#stop = stop;
  }

  /** Before the log is written or trimmed. */
  keep(name: string): void {
    const number = this.#names.get(name);
    if (number < 0 || number >= this.#count || name <= this.#name || this.#extracts.has(name)) return;
    this.#extracts.set(name, this.#logs.get(name)!.extract());
  }

  next(): number {
    if (this.#ended) return 0;
    if (this.#log === null || this.#begun && this.#offset === this.#log.next) this.#findLog();
    if (this.#log === null) return endBytes;
    return this.#begun ? this.#findRun(this.#log) : headBytes + this.#name.length;
  }

  write(writer: Writer): void {
    const log = this.#log;
    if (log === null) {
      writer.u8(0);
      this.close();
    } else if (this.#begun) {
      writer.bytes(log.segments[this.#segment]!.data.subarray(this.#from, this.#to));
      this.#offset = this.#behind;
    } else {
      writer.u8(this.#name.length).binary(this.#name).u53(log.first).u53(log.next);
      this.#begun = true;
      this.#offset = log.first;
      this.#segment = 0;
    }
  }

  close(): void {
    this.#ended = true;
    this.#log = null;
    this.#extracts.clear();
    this.#stop();
  }

  #findLog(): void {
    this.#log = null;
    this.#begun = false;
    this.#names.walk(this.#name, null, false, this.#look);
  }

  readonly #look = (name: string, number: number): boolean => {
    if (name === this.#name || number >= this.#count) return true;
    this.#log = this.#extracts.get(name) ?? this.#logs.get(name)!.extract();
    this.#extracts.delete(name);
    this.#name = name;
    return false;
  };

  /** As many records as go together; there is at least one. */
  #findRun({ segments, next }: Extract): number {
    while (this.#offset >= segments[this.#segment]!.base + segments[this.#segment]!.count) this.#segment++;
    const { base, starts, count, used } = segments[this.#segment]!;
    const last = Math.min(count, next - base);
    let at = this.#offset - base;
    this.#from = starts[at]!;
    do {
      at++;
      this.#to = at < count ? starts[at]! : used;
    } while (at < last && (at + 1 < count ? starts[at + 1]! : used) - this.#from <= runBytesMax);
    this.#behind = base + at;
    return this.#to - this.#from;
  }
}
