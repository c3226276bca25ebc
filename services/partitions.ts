/** Which group orders a key: the key ranges of the topology, sorted. */
import { CarillonError } from "../core/errors.ts";
import type { GroupId } from "../core/ids.ts";
import type { Topology } from "../core/topology.ts";
import { binaryText, textBinary } from "./keys.ts";

export interface Partition {
  /** Binary strings; `to` is exclusive, null for no end. */
  readonly from: string;
  readonly to: string | null;
  readonly group: GroupId;
}

export class Partitions {
  /** Ascending, without overlap; there may be gaps. */
  readonly #ranges: readonly Partition[];

  /** Throws `config` if two ranges overlap or one holds nothing. */
  constructor(topology: Topology) {
    const ranges = topology.groups.flatMap((group) =>
      group.keys.map(({ from, to }): Partition => ({
        from: textBinary(from),
        to: to === null ? null : textBinary(to),
        group: group.id,
      }))
    );
    ranges.sort((a, b) => a.from < b.from ? -1 : a.from > b.from ? 1 : 0);
    ranges.forEach((range, index) => {
      const next = ranges[index + 1];
      const shown = JSON.stringify(binaryText(range.from));
      if (range.to !== null && range.to <= range.from) {
        throw new CarillonError("config", `Cannot use this topology: the key range from ${shown} ends before it begins`);
      }
      if (next !== undefined && (range.to === null || next.from < range.to)) {
        const other = JSON.stringify(binaryText(next.from));
        throw new CarillonError("config", `Cannot use this topology: the key ranges from ${shown} and from ${other} overlap`);
      }
    });
    this.#ranges = ranges;
  }

  /** Throws `no-partition`, naming the key. */
  groupOf(key: string): GroupId {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges[middle]!.from <= key) low = middle + 1;
      else high = middle;
    }
    const range = this.#ranges[low - 1];
    if (range !== undefined && (range.to === null || key < range.to)) return range.group;
    const shown = binaryText(key);
    throw new CarillonError("no-partition", `Cannot place key ${JSON.stringify(shown)}: no group owns it`, { facts: { key: shown } });
  }

  /** The parts of `from ≤ key < to` that somebody owns, in key order or in reverse. */
  within(from: string, to: string | null, reverse: boolean): Partition[] {
    const parts: Partition[] = [];
    for (const range of this.#ranges) {
      const low = range.from > from ? range.from : from;
      const high = range.to === null || to !== null && to < range.to ? to : range.to;
      if (high === null || low < high) parts.push({ from: low, to: high, group: range.group });
    }
    return reverse ? parts.reverse() : parts;
  }
}
