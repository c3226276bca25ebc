/**
 * A disk in memory that can do what real ones do: lose what was not synced, tear a write at a sector,
 * fail, be full, and be slow. Everything else is as `Disk` says.
 */
import { CarillonError } from "../../core/errors.ts";
import type { Disk, DiskFile } from "../../edge/runtime.ts";

type Done = (error: Error | null) => void;

const sectorBytes = 4_096;

interface File {
  /** As the process sees it, and as it would be after a power loss. */
  seen: Uint8Array;
  safe: Uint8Array;
  /** Sectors that differ, in the order they were written. */
  readonly dirty: Set<number>;
}

export class FaultyDisk implements Disk {
  readonly root = "/test";
  readonly files = new Map<string, File>();
  /** What was asked of segments, in order: `write 4096`, `sync`. */
  readonly calls: string[] = [];
  failWrite: Error | null = null;
  failSync: Error | null = null;
  failPreallocate: Error | null = null;
  failRead: Error | null = null;
  /** Bytes that all files together may have. */
  room = Infinity;
  /** A copy is elsewhere. */
  where = "1:1";
  /** While set, syncs wait for `letGo`. */
  hold = false;
  #held: (() => void)[] = [];
  #locked = false;
  #dead = false;

  letGo(): void {
    this.hold = false;
    for (const go of this.#held.splice(0)) go();
  }

  /** The process ends without a word: what it wrote is still there, what it had under way never comes about. Returns what the next one sees. */
  kill(): FaultyDisk {
    this.#dead = true;
    const next = new FaultyDisk();
    next.where = this.where;
    next.room = this.room;
    for (const [name, file] of this.files) next.files.set(name, file);
    return next;
  }

  /** As `kill`, and each sector not synced is as it was, or as it was to be, or half of both. */
  losePower(random: () => number): FaultyDisk {
    for (const file of this.files.values()) {
      for (const sector of file.dirty) {
        const from = sector * sectorBytes;
        const chance = random();
        if (chance < 0.4) continue;
        const to = chance < 0.8 ? from + sectorBytes : from + Math.floor(random() * 8) * 512;
        file.safe.set(file.seen.subarray(from, to), from);
      }
      file.dirty.clear();
      file.seen = file.safe.slice();
    }
    return this.kill();
  }

  clone(): FaultyDisk {
    const copy = new FaultyDisk();
    copy.where = this.where;
    for (const [name, { seen, safe, dirty }] of this.files) {
      copy.files.set(name, { seen: seen.slice(), safe: safe.slice(), dirty: new Set(dirty) });
    }
    return copy;
  }

  get used(): number {
    let bytes = 0;
    for (const { seen } of this.files.values()) bytes += seen.byteLength;
    return bytes;
  }

  /** For tests that damage a file. */
  bytes(file: string): Uint8Array {
    return this.#file(file).seen;
  }

  /** Bits of one byte change on the medium itself. */
  flip(name: string, at: number, mask = 1): void {
    const { seen, safe } = this.#file(name);
    for (const bytes of new Set([seen, safe])) bytes[at]! ^= mask;
  }

  list(): Promise<string[]> {
    return Promise.resolve([...this.files.keys()]);
  }

  async read(file: string, offset: number, length: number): Promise<Uint8Array> {
    await this.#turn();
    if (this.failRead !== null) throw this.failRead;
    return this.#file(file).seen.slice(offset, offset + length);
  }

  async size(file: string): Promise<number> {
    await this.#turn();
    return this.#file(file).seen.byteLength;
  }

  async preallocate(file: string, bytes: number): Promise<void> {
    await this.#turn();
    if (this.failPreallocate !== null) throw this.failPreallocate;
    const left = this.room - this.used + (this.files.get(file)?.seen.byteLength ?? 0);
    // As real ones do it, a full disk takes what it can and leaves that behind.
    if (bytes > left) {
      this.files.set(file, { seen: new Uint8Array(left), safe: new Uint8Array(left), dirty: new Set() });
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    }
    this.files.set(file, { seen: new Uint8Array(bytes), safe: new Uint8Array(bytes), dirty: new Set() });
  }

  async open(name: string): Promise<DiskFile> {
    await this.#turn();
    const file = this.#file(name);
    return {
      write: (offset, bytes, done) => {
        if (name.startsWith("journal-")) this.calls.push(`write ${bytes.byteLength}`);
        this.#write(file, offset, bytes, done);
      },
      commit: (offset, bytes, done) => {
        if (name.startsWith("journal-")) this.calls.push(`commit ${bytes.byteLength}`);
        this.#write(file, offset, bytes, (error) => error ? done(error) : this.#sync(file, done));
      },
      sync: (done) => {
        if (name.startsWith("journal-")) this.calls.push("sync");
        this.#sync(file, done);
      },
      read: (offset, length) => this.read(name, offset, length),
      close: () => Promise.resolve(),
    };
  }

  async replace(file: string, bytes: Uint8Array): Promise<void> {
    await this.#turn();
    this.files.set(file, { seen: bytes.slice(), safe: bytes.slice(), dirty: new Set() });
  }

  async remove(file: string): Promise<void> {
    await this.#turn();
    this.#file(file);
    this.files.delete(file);
  }

  async rename(file: string, name: string): Promise<void> {
    await this.#turn();
    this.files.set(name, this.#file(file));
    this.files.delete(file);
  }

  place(file: string): Promise<string> {
    this.#file(file);
    return Promise.resolve(this.where);
  }

  lock(): Promise<() => Promise<void>> {
    if (this.#locked) throw new CarillonError("config", `Cannot use "${this.root}": another process is using it`);
    this.#locked = true;
    return Promise.resolve(() => {
      this.#locked = false;
      return Promise.resolve();
    });
  }

  /** A dead process waits for ever. */
  #turn(): Promise<void> {
    return this.#dead ? new Promise(() => {}) : Promise.resolve();
  }

  #file(name: string): File {
    const file = this.files.get(name);
    if (file === undefined) throw new Error(`Cannot find "${name}"`);
    return file;
  }

  #write(file: File, offset: number, bytes: Uint8Array, done: Done): void {
    const copy = bytes.slice();
    setImmediate(() => {
      if (this.#dead) return;
      if (this.failWrite !== null) return done(this.failWrite);
      file.seen.set(copy, offset);
      for (let at = offset; at < offset + copy.byteLength; at += sectorBytes) file.dirty.add(Math.floor(at / sectorBytes));
      done(null);
    });
  }

  #sync(file: File, done: Done): void {
    const upTo = [...file.dirty];
    const finish = (): void => {
      if (this.#dead) return;
      if (this.failSync !== null) {
        // The kernel takes these sectors for written from here on: no later sync is about them.
        for (const sector of upTo) file.dirty.delete(sector);
        return done(this.failSync);
      }
      for (const sector of upTo) {
        file.safe.set(file.seen.subarray(sector * sectorBytes, (sector + 1) * sectorBytes), sector * sectorBytes);
        file.dirty.delete(sector);
      }
      done(null);
    };
    if (this.hold) this.#held.push(finish);
    else setImmediate(finish);
  }
}
