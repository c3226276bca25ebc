/**
 * What the journal does by itself on this machine's disk: durable appends per second for few and for many who wait, and how
 * fast a start reads what it must and skims what is only kept. `bun bench/journal.ts [--quick] [--against DIR] [--dir DIR]`;
 * `--against`: another checkout of this project, measured in turns with this one, so that the machine is the same for both.
 */
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { runtime } from "#runtime";
import type { JournalRecord } from "../core/effects.ts";
import { packCommands } from "../core/entry.ts";
import { ballot, origin } from "../core/ids.ts";
import { noFoundation } from "../core/foundation.ts";
import type { Journal, JournalOptions } from "../edge/journal/journal.ts";
import { removeDirectory, scratchDirectory } from "./processes.ts";
import { count, decimal, median, spread, table } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    against: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    dir: { type: "string", default: tmpdir() },
  },
});
const rounds = Number(options.rounds ?? (options.quick ? 1 : 5));
const measureMs = Number(options.seconds ?? (options.quick ? 1 : 3)) * 1_000;
const pastBytes = (options.quick ? 64 : 512) << 20;

type Open = (options: JournalOptions) => Promise<Journal>;
const versions = new Map<string, Open>([["this", await openOf("..")]]);
if (options.against !== undefined) versions.set("other", await openOf(resolve(options.against)));

async function openOf(root: string): Promise<Open> {
  return (await import(`${root}/edge/journal/journal.ts`) as { openJournal: Open }).openJournal;
}

async function opened(open: Open, data: string): Promise<Journal> {
  return await open({
    disk: await runtime.openDisk(data),
    clock: runtime.clock,
    crc32: runtime.crc32,
    entropy: () => runtime.entropy(),
    durability: "sync",
    cluster: "bench",
    node: 1,
    onFailure: (error) => {
      throw error;
    },
    // Made once in a node's life, a second after its start.
    reserveBytes: 0,
  });
}

function accept(instance: number, bytes: number): JournalRecord {
  const batches = [{ origin: origin(1, 1), sequence: instance, count: 1, bytes: packCommands([new Uint8Array(bytes)]) }];
  const entry = {
    instance,
    ballot: ballot(1, 1),
    stamp: instance,
    count: 1,
    slotBase: instance,
    slots: 1,
    kind: "batch" as const,
    batches,
  };
  return { kind: "accept", group: 1, ballot: ballot(1, 1), entry };
}

/** Appends per second with so many who each wait for their own. */
async function appends(open: Open, waiting: number, bytes: number): Promise<number> {
  const directory = await scratchDirectory(options.dir);
  const journal = await opened(open, directory);
  try {
    await journal.recover(() => {});
    let instance = 0;
    let done = 0;
    let until = 0;
    const one = (finish: () => void): void =>
      journal.append([accept(++instance, bytes)], () => {
        done++;
        if (performance.now() < until) one(finish);
        else finish();
      });
    const run = async (ms: number): Promise<number> => {
      const began = performance.now();
      until = began + ms;
      done = 0;
      await Promise.all(Array.from({ length: waiting }, () => new Promise<void>((finish) => one(finish))));
      return done / (performance.now() - began) * 1_000;
    };
    await run(measureMs / 6);
    return await run(measureMs);
  } finally {
    await journal.close();
    await removeDirectory(directory);
  }
}

/** Megabytes per second of a start that reads all, and of one that begins at a base and skims the same. */
async function starts(open: Open, bytes: number): Promise<{ readonly read: number; readonly skimmed: number }> {
  const directory = await scratchDirectory(options.dir);
  try {
    let journal = await opened(open, directory);
    await journal.recover(() => {});
    let instance = 0;
    for (let written = 0; written < pastBytes;) {
      const batch = Array.from({ length: Math.ceil((1 << 20) / bytes) }, () => accept(++instance, bytes));
      written += batch.length * bytes;
      await new Promise((resolve) => journal.append(batch, resolve));
    }
    await journal.close();
    const start = async (): Promise<number> => {
      journal = await opened(open, directory);
      const began = performance.now();
      await journal.recover(() => {});
      return pastBytes / 1e6 / ((performance.now() - began) / 1_000);
    };
    const read = await start();
    const foundation = { ...noFoundation, instance, ballot: ballot(1, 1) };
    const base: JournalRecord = {
      kind: "base",
      group: 1,
      promised: ballot(1, 1),
      ballot: ballot(1, 1),
      base: 0,
      start: 1,
      foundation,
      trimmed: 0,
      landmarks: [],
      repeated: [],
      entries: [],
    };
    await new Promise((resolve) => journal.rebase([base], resolve));
    await journal.close();
    const skimmed = await start();
    await journal.close();
    return { read, skimmed };
  } finally {
    await removeDirectory(directory);
  }
}

const rows: string[][] = [];
for (const [waiting, bytes] of [[1, 100], [64, 100], [64, 1_024], [64, 16_384]] as const) {
  const rates = new Map<string, number[]>([...versions.keys()].map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    // In turns, and none always first.
    for (const [name, open] of round % 2 === 0 ? versions : [...versions].reverse()) {
      const rate = await appends(open, waiting, bytes);
      rates.get(name)!.push(rate);
      process.stderr.write(`${name}, ${waiting} waiting, ${bytes} B: ${count(rate)}/s\n`);
    }
  }
  const other = rates.get("other");
  const mine = rates.get("this")!;
  for (const [name, all] of rates) {
    rows.push([name, String(waiting), String(bytes), spread(all, count), decimal(median(all) * bytes / 1e6)]);
  }
  if (other !== undefined) {
    rows.push([
      "ratio",
      String(waiting),
      String(bytes),
      spread(mine.map((rate, round) => rate / other[round]!), decimal),
      "",
    ]);
  }
}
console.log(table(["version", "waiting", "bytes", "durable appends per second", "MB/s"], rows));
const startRows: string[][] = [];
for (const bytes of [1_024, 16_384]) {
  const { read, skimmed } = await starts(versions.get("this")!, bytes);
  startRows.push([String(bytes), decimal(read), decimal(skimmed)]);
}
console.log(`\n${table(["bytes", "start that reads, MB/s", "start that skims, MB/s"], startRows)}`);
