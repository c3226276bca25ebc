/**
 * Sets of whole numbers that come in runs: packet numbers received, bytes acknowledged, bytes to send again. Half-open ranges,
 * ascending, which never touch; adding at the end, the usual case, costs nothing.
 */
export class Ranges {
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  get count(): number {
    return this.starts.length;
  }

  add(start: number, end: number): void {
    if (start >= end) return;
    const last = this.count - 1;
    if (last < 0 || start > this.ends[last]!) {
      this.starts.push(start);
      this.ends.push(end);
      return;
    }
    const first = this.#firstEndingAt(start);
    let beyond = first;
    while (beyond <= last && this.starts[beyond]! <= end) beyond += 1;
    if (beyond > first) {
      start = Math.min(start, this.starts[first]!);
      end = Math.max(end, this.ends[beyond - 1]!);
      if (beyond === first + 1) {
        this.starts[first] = start;
        this.ends[first] = end;
        return;
      }
    }
    this.starts.splice(first, beyond - first, start);
    this.ends.splice(first, beyond - first, end);
  }

  remove(start: number, end: number): void {
    if (start >= end) return;
    let at = this.#firstEndingAt(start + 1);
    while (at < this.count && this.starts[at]! < end) {
      const from = this.starts[at]!;
      const to = this.ends[at]!;
      if (from < start && to > end) {
        this.ends[at] = start;
        this.starts.splice(at + 1, 0, end);
        this.ends.splice(at + 1, 0, to);
        return;
      }
      if (from < start) {
        this.ends[at] = start;
        at += 1;
      } else if (to > end) {
        this.starts[at] = end;
        return;
      } else {
        this.starts.splice(at, 1);
        this.ends.splice(at, 1);
      }
    }
  }

  has(value: number): boolean {
    const at = this.#firstEndingAt(value + 1);
    return at < this.count && this.starts[at]! <= value;
  }

  /** Index of the first range whose end is at or behind `value`. */
  #firstEndingAt(value: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ends[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
