/** Content of entries and messages as short texts, for comparing and for sentences. */
import { describeEntry } from "../../../core/message.ts";
import type { Entry } from "../../../core/entry.ts";

const prints = new WeakMap<Entry, string>();

/** Equal for equal content, whether or not the payload travels along. */
export function printEntry(entry: Entry): string {
  let print = prints.get(entry);
  if (print === undefined) {
    const batches = entry.batches.map((batch) => `${batch.origin}#${batch.sequence}×${batch.count}`).join("+");
    print = `${entry.instance}@${entry.ballot} ${entry.kind} t=${entry.stamp}+${entry.count} s=${entry.slotBase}+${entry.slots} ${batches}`;
    prints.set(entry, print);
  }
  return print;
}

export function tellEntry(entry: Entry | undefined): string {
  return entry === undefined ? "nothing" : `${describeEntry(entry)} (stamp ${entry.stamp}, slots ${entry.slotBase}+${entry.slots})`;
}
