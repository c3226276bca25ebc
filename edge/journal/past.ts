/**
 * The segments before the one where recovery begins: kept only so that entries can be read back. Their frames are
 * checked and their entries indexed, and nothing more is made of them.
 */
import type { GroupId, Instance } from "../../core/ids.ts";
import type { Disk } from "../runtime.ts";
import { type Damage, damageAt, missing } from "./damage.ts";
import { alignFrame, alignSector, type Crc32, headerBytes } from "./frame.ts";
import { type LogIndex, type Place, place } from "./log_index.ts";
import { decodePayload } from "./payload.ts";
import { wholeSectors } from "./recovery.ts";
import { segmentName } from "./segments.ts";
import type { Life } from "./superblock_codec.ts";
import { type Chain, nextFrame, walk, Window } from "./window.ts";

export interface Past {
  readonly disk: Disk;
  readonly life: Pick<Life, "seed" | "kept">;
  readonly numbers: readonly number[];
  readonly crc32: Crc32;
  readonly each: (payload: Uint8Array, at: Place) => void;
  readonly begin: (segment: number, capacity: number, before: Chain) => void;
  /** Something between the frame before and the next is unreadable or missing: it begins with this record. */
  readonly onDamage: (damage: Damage, sequence: number) => void;
}

/** Returns up to which record everything was durable, as far as the frames say so. */
export async function readPast(past: Past): Promise<number> {
  const { life, numbers, onDamage } = past;
  let durable = 0;
  for (const run of life.kept) {
    let chain = run.before;
    let at = { segment: run.first, end: 0 };
    const behind = (): void => {
      const next = chain.sequence + 1;
      onDamage(damageAt(segmentName(at.segment), at.end, `record ${next} is unreadable`), next);
    };
    for (let segment = run.first; segment <= run.last; segment++) {
      if (!numbers.includes(segment)) {
        onDamage(missing(segmentName(segment)), chain.sequence + 1);
        continue;
      }
      const examined = await examineFile(past, segment, chain);
      // What is missing before its first frame is the end of the segment before, unless that is the one that is gone.
      if (examined.before.sequence > chain.sequence && numbers.includes(segment - 1)) behind();
      chain = examined.chain;
      durable = Math.max(durable, examined.durable);
      at = { segment, end: examined.end };
    }
    if (chain.sequence < run.behind.sequence) behind();
  }
  return durable;
}

interface Examined {
  readonly chain: Chain;
  /** Behind the last whole frame. */
  readonly end: number;
  /** Up to this record everything was durable. */
  readonly durable: number;
}

async function examineFile(
  { disk, life, crc32, each, begin, onDamage }: Past,
  segment: number,
  chain: Chain,
): Promise<Examined & { readonly before: Chain }> {
  const name = segmentName(segment);
  const size = await disk.size(name);
  const file = await disk.open(name);
  try {
    const window = new Window(file, size);
    const first = await nextFrame(window, 0, life.seed, crc32, ({ sequence }) => sequence > chain.sequence);
    const before = first === null || first.at > 0 ? chain : { sequence: first.header.sequence - 1, crc: first.header.previous };
    begin(segment, wholeSectors(size), before);
    const examined = await examine(
      window,
      before,
      life.seed,
      crc32,
      (payload, at) => each(payload, place(segment, at)),
      (at, sequence) => onDamage(damageAt(name, at, `record ${sequence} is unreadable`), sequence),
    );
    return { before, ...examined };
  } finally {
    await file.close();
  }
}

/** Every frame that is whole, in order; what is not is told, and passed over. */
export async function examine(
  window: Window,
  before: Chain,
  seed: number,
  crc32: Crc32,
  each: (payload: Uint8Array, at: number) => void,
  onDamage: (at: number, sequence: number) => void,
): Promise<Examined> {
  let chain = before;
  let at = 0;
  let end = 0;
  let durable = 0;
  for (;;) {
    const walked = await walk(window, at, chain, seed, crc32, each);
    chain = walked.chain;
    end = Math.max(end, walked.end);
    durable = Math.max(durable, walked.durable);
    const { sequence } = chain;
    const next = await nextFrame(window, Math.max(walked.end, at), seed, crc32, (header) => header.sequence > sequence);
    if (next === null) return { chain, end, durable };
    // A whole header of the frame that was due: what it belongs to is not whole.
    const due = next.header.sequence === sequence + 1 && next.header.previous === chain.crc;
    onDamage(due ? next.at : end, sequence + 1);
    durable = Math.max(durable, next.header.durable);
    chain = due
      ? { sequence: next.header.sequence, crc: next.header.crc }
      : { sequence: next.header.sequence - 1, crc: next.header.previous };
    at = due ? alignFrame(next.at + headerBytes + next.header.length) : next.at;
    if (due) end = at;
  }
}

/** Takes note of a payload as cheaply as it can: of most records only the first bytes matter. */
export function skim(index: LogIndex, payload: Uint8Array, at: Place): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const group = (): GroupId => view.getUint16(1, true);
  const number = (from: number): Instance => view.getUint32(from + 4, true) * 2 ** 32 + view.getUint32(from, true);
  switch (payload[0]) {
    case skimmed.accept:
      return index.noteRun(group(), number(11) - 1, number(11), 1, at);
    case skimmed.install:
      return index.noteRun(group(), number(27), view.getUint32(35, true) === 0 ? 0 : number(39), view.getUint32(35, true), at);
    case skimmed.learn:
      return index.noteRun(group(), number(11), view.getUint32(19, true) === 0 ? 0 : number(23), view.getUint32(19, true), at);
    case skimmed.promise:
    case skimmed.decided:
    case skimmed.ceiling:
      return;
    default:
      return index.note(decodePayload(payload), () => at);
  }
}

/** Kind bytes of the records of which only the first bytes are looked at; the codec's tests hold them together. */
const skimmed = { promise: 1, accept: 2, install: 3, learn: 4, decided: 5, ceiling: 6 } as const;

/** Where a frame behind `end` may begin: right there, or with the next batch. */
export function placesBehind(segment: number, end: number): Place[] {
  return [place(segment, end), place(segment, alignSector(end))];
}
