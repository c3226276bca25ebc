/**
 * A disk with a cache above it. What was written and not synced is lost, torn or kept sector by sector when the power
 * goes; a killed process loses only what was on its way. Slow, full and failing where faults say so. Sectors nobody
 * wrote are zeros and take no memory.
 */
import type { Millis } from "../../core/ids.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../../edge/runtime.ts";
import type { Prng } from "../sim/prng.ts";
import type { Buggify, Point } from "./buggify.ts";
import type { Life } from "./machine.ts";

export const sectorBytes = 4_096;
const youngSyncs = 4;

type Done = (error: Error | null) => void;
type Sectors = Map<number, Uint8Array>;

interface File {
  size: number;
  /** As processes see it, up to the last byte that was ever written. */
  seen: Uint8Array;
  /** As it would be after a power loss. Arrays are never written to again. */
  readonly safe: Sectors;
  /** Seen and not yet safe. */
  readonly dirty: Set<number>;
}

export interface DiskFaults {
  readonly syncMinMs: Millis;
  readonly syncTypicalMs: Millis;
  /** Of the sectors a power loss finds unsynced, this part is torn in the middle and this part whole; the rest is lost. */
  readonly torn: number;
  readonly whole: number;
}

export interface DiskEvents {
  /** These bytes of a file have become safe. */
  onSafe(bytes: Uint8Array): void;
}

export class SimDisk {
  readonly root: string;
  faults: DiskFaults;
  /** Added to every write and sync while it lasts. */
  slowMs: Millis = 0;
  full = false;
  /** The next sync says so, and half of what it was for is silently forgotten. */
  failSync = false;
  failWrite = false;
  readonly #files = new Map<string, File>();
  readonly #prng: Prng;
  readonly #buggify: Buggify;
  readonly #events: DiskEvents;
  /** What the last few syncs of the journal made safe. */
  readonly #young: { readonly file: File; readonly sectors: readonly number[] }[] = [];
  #locked = false;

  constructor(root: string, faults: DiskFaults, prng: Prng, buggify: Buggify, events: DiskEvents) {
    this.#buggify = buggify;
    this.root = root;
    this.faults = faults;
    this.#prng = prng;
    this.#events = events;
  }

  /** As this process sees it. */
  open(life: Life): Disk {
    return {
      root: this.root,
      list: () => this.#later(life, 0.05, () => [...this.#files.keys()]),
      read: (file, offset, length) =>
        this.#later(life, 0.1 + this.#unkindMs("slow-read", 50), () => readFrom(this.#file(file), offset, length)),
      size: (file) => this.#later(life, 0.02, () => this.#file(file).size),
      preallocate: (file, bytes) => this.#preallocate(life, file, bytes),
      open: (file) => this.#later(life, 0.02, () => this.#open(life, file)),
      replace: (file, bytes) => this.#later(life, this.#syncMs(), () => this.#replace(file, bytes)),
      rename: (file, name) =>
        this.#later(life, 0.2, () => {
          this.#files.set(name, this.#file(file));
          this.#files.delete(file);
        }),
      place: (file) => this.#later(life, 0.02, () => `${this.root} ${file}`),
      remove: (file) => this.#later(life, 0.2, () => void this.#files.delete(file)),
      lock: () => this.#lock(),
    };
  }

  /** What a power loss leaves of a sector; null if nobody wrote it. */
  safe(name: string, sector: number): Uint8Array | null {
    return this.#files.get(name)?.safe.get(sector) ?? null;
  }

  /** Nothing is left, as after it was replaced. */
  wipe(): void {
    this.#files.clear();
    this.#young.length = 0;
  }

  /** Changes one bit of what is safe, and says where. Not in what a journal wrote last: that cannot be told from a torn end. */
  flip(prng: Prng): string | null {
    const places = [...this.#files].map(([name, file]) => {
      const young = new Set(this.#young.filter((each) => each.file === file).flatMap(({ sectors }) => sectors));
      return { name, file, old: [...file.safe.keys()].filter((sector) => !young.has(sector)) };
    }).filter(({ old }) => old.length > 0);
    const journal = places.filter(({ name }) => name.startsWith("journal-"));
    if (places.length === 0) return null;
    const { name, file, old } = prng.pick(journal.length > 0 && prng.chance(0.6) ? journal : places);
    const sector = prng.pick(old);
    const bytes = file.safe.get(sector)!.slice();
    let at = prng.int(sectorBytes);
    // Most of a sector is often empty, and nobody misses what is not there.
    for (let tries = 0; tries < 20 && bytes[at] === 0; tries++) at = prng.int(sectorBytes);
    bytes[at] = bytes[at]! ^ 1 << prng.int(8);
    file.safe.set(sector, bytes);
    // Whoever has written there since will overwrite it.
    if (!file.dirty.has(sector)) file.seen[sector * sectorBytes + at] = bytes[at]!;
    return `"${name}" at byte ${sector * sectorBytes + at}`;
  }

  processEnded(): void {
    this.#locked = false;
  }

  losePower(): void {
    const { torn, whole } = this.faults;
    for (const file of this.#files.values()) {
      for (const sector of file.dirty) {
        const chance = this.#prng.unit();
        const written = sectorOf(file, sector);
        if (chance < whole) file.safe.set(sector, written);
        else if (chance < whole + torn) file.safe.set(sector, tear(file.safe.get(sector), written, this.#prng.between(1, 7) * 512));
      }
      file.dirty.clear();
      file.seen.fill(0);
      for (const [sector, bytes] of file.safe) file.seen.set(bytes, sector * sectorBytes);
    }
  }

  heal(): void {
    this.faults = { ...this.faults, syncMinMs: 0.1, syncTypicalMs: 0.2 };
    this.slowMs = 0;
    this.full = false;
    this.failSync = false;
    this.failWrite = false;
  }

  async #preallocate(life: Life, name: string, bytes: number): Promise<void> {
    // From here to its end a power loss leaves a part of it.
    await this.#later(life, 0.02, () => {
      if (this.full) throw noSpace();
      this.#files.set(name, newFile(Math.floor(bytes / 2)));
    });
    await this.#later(life, this.#syncMs() + this.#unkindMs("slow-preallocate", 300), () => {
      this.#file(name).size = bytes;
    });
  }

  #replace(name: string, bytes: Uint8Array): void {
    if (this.full) throw noSpace();
    const file = newFile(bytes.byteLength);
    writeTo(file, 0, bytes);
    for (const sector of file.dirty) file.safe.set(sector, sectorOf(file, sector));
    file.dirty.clear();
    this.#files.set(name, file);
  }

  #open(life: Life, name: string): DiskFile {
    const file = this.#file(name);
    const write: DiskFile["write"] = (offset, bytes, done) => {
      life.after(this.#writeMs(), () => {
        if (this.failWrite) {
          this.failWrite = false;
          // A part of it may have got there.
          writeTo(file, offset, bytes.subarray(0, sectorBytes));
          return done(ioError("write"));
        }
        writeTo(file, offset, bytes);
        done(null);
      });
    };
    return {
      write,
      commit: (offset, bytes, done) => write(offset, bytes, (error) => error ? done(error) : this.#sync(life, name, file, done)),
      sync: (done) => this.#sync(life, name, file, done),
      read: (offset, length) => this.#later(life, 0.1 + this.#unkindMs("slow-read", 50), () => readFrom(file, offset, length)),
      close: () => Promise.resolve(),
    };
  }

  #sync(life: Life, name: string, file: File, done: Done): void {
    const upTo = [...file.dirty];
    life.after(this.#syncMs(), () => {
      if (this.failSync) {
        this.failSync = false;
        // The kernel calls these pages clean, whatever became of them.
        for (const sector of upTo) if (this.#prng.chance(0.5)) file.dirty.delete(sector);
        return done(ioError("fdatasync"));
      }
      const safe = upTo.filter((sector) => file.dirty.delete(sector));
      for (const sector of safe) file.safe.set(sector, sectorOf(file, sector));
      if (name.startsWith("journal-") && this.#young.push({ file, sectors: safe }) > youngSyncs) this.#young.shift();
      this.#tellSafe(file, safe);
      done(null);
    });
  }

  /** Neighbours together: what is looked for may lie across the edge of a sector. */
  #tellSafe(file: File, sectors: number[]): void {
    sectors.sort((a, b) => a - b);
    for (let from = 0; from < sectors.length;) {
      let to = from + 1;
      while (to < sectors.length && sectors[to] === sectors[to - 1]! + 1) to++;
      // They are as they are seen: they have just become so.
      this.#events.onSafe(file.seen.subarray(sectors[from]! * sectorBytes, (sectors[to - 1]! + 1) * sectorBytes));
      from = to;
    }
  }

  #lock(): Promise<() => Promise<void>> {
    if (this.#locked) return Promise.reject(new CarillonError("config", `Cannot use "${this.root}": another process is using it`));
    this.#locked = true;
    return Promise.resolve(() => {
      this.#locked = false;
      return Promise.resolve();
    });
  }

  #writeMs(): Millis {
    return 0.02 + this.slowMs;
  }

  #syncMs(): Millis {
    return this.faults.syncMinMs + this.#prng.longTail(this.faults.syncTypicalMs) + this.slowMs + this.#unkindMs("slow-sync", 300);
  }

  #unkindMs(point: Point, mostMs: Millis): Millis {
    return (this.#buggify.strikes(point) ?? 0) * mostMs;
  }

  /** A dead process waits for ever. */
  #later<T>(life: Life, ms: Millis, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      life.after(ms, () => {
        try {
          resolve(act());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #file(name: string): File {
    const file = this.#files.get(name);
    if (file === undefined) throw Object.assign(new Error(`Cannot find "${name}"`), { code: "ENOENT" });
    return file;
  }
}

function newFile(size: number): File {
  return { size, seen: new Uint8Array(0), safe: new Map(), dirty: new Set() };
}

function sectorOf({ seen }: File, sector: number): Uint8Array {
  return seen.slice(sector * sectorBytes, (sector + 1) * sectorBytes);
}

function writeTo(file: File, offset: number, bytes: Uint8Array): void {
  const end = offset + bytes.byteLength;
  const last = Math.ceil(end / sectorBytes);
  if (last * sectorBytes > file.seen.byteLength) {
    const room = new Uint8Array(Math.max(last * sectorBytes, 2 * file.seen.byteLength));
    room.set(file.seen);
    file.seen = room;
  }
  file.seen.set(bytes, offset);
  for (let sector = Math.floor(offset / sectorBytes); sector < last; sector++) file.dirty.add(sector);
  file.size = Math.max(file.size, end);
}

/** What lies behind the last byte that was written is zeros. */
function readFrom({ seen, size }: File, offset: number, length: number): Uint8Array {
  const bytes = Math.max(Math.min(offset + length, size) - offset, 0);
  if (offset + bytes <= seen.byteLength) return seen.slice(offset, offset + bytes);
  const padded = new Uint8Array(bytes);
  padded.set(seen.subarray(offset));
  return padded;
}

/** The first bytes of the new sector, the rest of the old. */
function tear(before: Uint8Array | undefined, written: Uint8Array, at: number): Uint8Array {
  const torn = new Uint8Array(sectorBytes);
  if (before !== undefined) torn.set(before);
  torn.set(written.subarray(0, at));
  return torn;
}

function noSpace(): Error {
  return Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
}

function ioError(call: string): Error {
  return Object.assign(new Error(`EIO: i/o error, ${call}`), { code: "EIO" });
}
