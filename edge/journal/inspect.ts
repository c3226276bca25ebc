/** What a directory holds, and whether all of it can be read: looks at everything and changes nothing. */
import type { JournalRecord } from "../../core/effects.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Ballot, GroupId, Instance, NodeId } from "../../core/ids.ts";
import type { Disk } from "../runtime.ts";
import { type Damage, damageAt } from "./damage.ts";
import { type Crc32, sectorBytes } from "./frame.ts";
import { LogIndex, type Place, unitOf } from "./log_index.ts";
import { type Past, readPast } from "./past.ts";
import { decodePayload, type Payload, recordOf } from "./payload.ts";
import { readAll } from "./recovery.ts";
import { segmentName, segmentNumbers } from "./segments.ts";
import { peek, superblockFile } from "./superblock.ts";
import type { Life } from "./superblock_codec.ts";

export interface Inspection {
  readonly directory: string;
  readonly format: number;
  readonly cluster: string;
  readonly node: NodeId;
  readonly incarnation: number;
  readonly rejoining: boolean;
  /** Recovery begins with this segment. */
  readonly base: number;
  readonly segments: readonly SegmentView[];
  readonly groups: readonly GroupView[];
  /** Behind the last record, being written when the node ended. */
  readonly torn: { readonly file: string; readonly offset: number; readonly bytes: number } | null;
  /** Files of an earlier life that were put aside. */
  readonly aside: readonly string[];
  readonly damage: readonly Damage[];
}

export interface SegmentView {
  readonly file: string;
  readonly bytes: number;
  /** `past`: kept only so that entries can be read back. `unused`: made and not written yet. */
  readonly role: "past" | "current" | "unused";
  /** How many of each kind. */
  readonly records: Readonly<Record<string, number>>;
}

export interface GroupView {
  readonly group: GroupId;
  readonly promised: Ballot;
  /** The ballot of its log. */
  readonly ballot: Ballot;
  /** What can be read back. `oldest` is above `last` if nothing can. */
  readonly oldest: Instance;
  readonly last: Instance;
  /** As far as the records say so. */
  readonly decided: Instance;
  /** Of the newest base; 0 without one. */
  readonly foundation: Instance;
}

/** Throws CarillonError if there is no journal or nothing can be said about it. The caller holds the directory's lock. */
export async function inspect(disk: Disk, crc32: Crc32): Promise<Inspection> {
  const names = await disk.list();
  const { life, format, badCopies } = await peek({ disk, crc32 }, names);
  const numbers = segmentNumbers(names);
  const index = new LogIndex();
  const counts = new Map<number, Record<string, number>>();
  const groups = new Groups(index);
  const note = (payload: Payload, at: Place): void => {
    index.note(payload, () => at);
    const count = counts.get(unitOf(at)) ?? {};
    counts.set(unitOf(at), count);
    const kind = payload.kind === "rebase" ? "base" : payload.kind;
    count[kind] = (count[kind] ?? 0) + 1;
  };
  const damage: Damage[] = badCopies.map((copy) => damageAt(superblockFile, copy * sectorBytes, `copy ${copy + 1} of 4 is unreadable`));
  const begin = (): void => {};
  const isKept = (number: number): boolean => life.kept.some(({ first, last }) => number >= first && number <= last);
  const past: Past = {
    disk,
    life,
    numbers: numbers.filter(isKept),
    crc32,
    begin,
    each: (bytes, at) => note(decodePayload(bytes), at),
    onDamage: (found) => {
      index.clear();
      damage.push(found);
    },
  };
  await readPast(past);
  const main = numbers.filter((number) => number >= life.base);
  let torn: Inspection["torn"] = null;
  try {
    const each = (payload: Payload, at: Place): void => {
      note(payload, at);
      const record = recordOf(payload);
      if (record !== null) groups.note(record);
    };
    const { segment, end, dirtyEnd } = await readAll({ disk, life, numbers: main, crc32, each, begin });
    if (segment > 0 && dirtyEnd > end) torn = { file: segmentName(segment), offset: end, bytes: dirtyEnd - end };
  } catch (error) {
    if (!(error instanceof CarillonError) || error.facts.file === undefined) throw error;
    damage.push(...await everyDamage(error, past, life, main));
  }
  const segments = await Promise.all(
    numbers.filter((number) => number >= life.base || isKept(number)).map(async (number) => ({
      file: segmentName(number),
      bytes: await disk.size(segmentName(number)),
      role: number < life.base ? "past" as const : counts.has(number) ? "current" as const : "unused" as const,
      records: counts.get(number) ?? {},
    })),
  );
  return {
    directory: disk.root,
    format,
    cluster: life.cluster,
    node: life.node,
    incarnation: life.incarnation,
    rejoining: life.rejoining,
    base: life.base,
    segments,
    groups: groups.views(),
    torn,
    aside: names.filter((name) => name.startsWith("damaged-")),
    damage,
  };
}

/** A recovery ends at the first; who wants to know more gets all that what follows them proves. */
async function everyDamage(first: CarillonError, past: Past, life: Life, numbers: readonly number[]): Promise<Damage[]> {
  const { file, offset, reason } = first.facts as unknown as Damage;
  const found: { readonly damage: Damage; readonly sequence: number }[] = [];
  const run = { first: life.base, last: numbers.at(-1) ?? life.base, before: life.behind, behind: life.behind };
  const durable = await readPast({
    ...past,
    life: { seed: life.seed, kept: [run] },
    numbers,
    each: () => {},
    onDamage: (damage, sequence) => void found.push({ damage, sequence }),
  });
  // What comes after that may be torn.
  const proved = found.filter(({ sequence }) => sequence <= durable);
  return proved.length > 0 ? proved.map(({ damage }) => damage) : [damageAt(file, offset, reason)];
}

/** What a node would know of its groups. */
class Groups {
  readonly #index: LogIndex;
  readonly #groups = new Map<GroupId, { promised: Ballot; ballot: Ballot; last: Instance; decided: Instance; foundation: Instance }>();

  constructor(index: LogIndex) {
    this.#index = index;
  }

  note(record: JournalRecord): void {
    if (record.kind === "ceiling") return;
    const group = this.#groups.get(record.group) ?? { promised: 0, ballot: 0, last: 0, decided: 0, foundation: 0 };
    this.#groups.set(record.group, group);
    switch (record.kind) {
      case "promise":
        group.promised = Math.max(group.promised, record.ballot);
        return;
      case "accept":
        group.promised = Math.max(group.promised, record.ballot);
        group.ballot = record.ballot;
        group.last = record.entry.instance;
        return;
      case "install":
        group.promised = Math.max(group.promised, record.ballot);
        group.ballot = record.ballot;
        group.last = record.above + record.entries.length;
        group.decided = Math.max(group.decided, record.above);
        return;
      case "learn":
        group.promised = Math.max(group.promised, record.promised);
        group.decided = group.last = record.above + record.entries.length;
        return;
      case "decided":
        group.decided = Math.max(group.decided, record.upTo);
        return;
      case "base":
        group.promised = record.promised;
        group.ballot = record.ballot;
        group.last = record.foundation.instance + record.entries.length;
        group.decided = group.foundation = record.foundation.instance;
        return;
    }
  }

  views(): GroupView[] {
    return [...this.#groups].sort(([a], [b]) => a - b).map(([group, known]) => ({ group, ...known, oldest: this.#index.oldest(group) }));
  }
}
