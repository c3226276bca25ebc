/**
 * Files of one directory. Writes and syncs run in the runtime's thread pool, so that the event loop
 * keeps turning while a disk takes its time.
 */
import { close, constants, fdatasync, open as openFile, read as readFile, write as writeFile } from "node:fs";
import { mkdir, open as openHandle, readdir, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { platform } from "node:process";
import type { Disk, DiskFile } from "../runtime.ts";
import { CarillonError } from "../../core/errors.ts";
import { lockDirectory } from "./lock.ts";
import { fullDisk, troubleOf } from "./trouble.ts";

type Done = (error: Error | null) => void;

/** One step of a preallocation: small enough not to hold up somebody else's sync for long. */
const stepBytes = 1 << 20;

/**
 * With these flags a write is durable when it is done: one trip to the thread pool, and one turn of the event loop, instead of two.
 * Elsewhere than on Linux they do not reach the disk, or are not there.
 */
const durableFlags = platform === "linux" ? constants.O_RDWR | constants.O_DSYNC : null;

/**
 * Creates the directory if it is not there. Throws CarillonError `config` if it cannot. `flags`: that files are opened with flags
 * which the runtime hands on to the system.
 */
export async function openDisk(directory: string, { flags }: { readonly flags: boolean }): Promise<Disk> {
  const root = resolve(directory);
  await mkdir(root, { recursive: true }).catch((error: unknown): never => {
    throw new CarillonError("config", `Cannot use "${root}" as data directory: ${troubleOf(error)}`, { cause: error });
  });
  const path = (file: string): string => {
    if (!/^[\w.-]+$/.test(file)) throw new RangeError(`Cannot use ${JSON.stringify(file)} as a file name: it is not plain`);
    return join(root, file);
  };
  const open = (file: string): Promise<DiskFile> => openFor(path(file), flags ? durableFlags : null);
  return {
    root,
    list: () => readdir(root),
    async read(file: string, offset: number, length: number): Promise<Uint8Array> {
      const opened = await open(file);
      try {
        return await opened.read(offset, length);
      } finally {
        await opened.close();
      }
    },
    size: async (file: string) => (await stat(path(file))).size,
    async preallocate(file: string, bytes: number): Promise<void> {
      const handle = await openHandle(path(file), "w");
      try {
        const zeros = new Uint8Array(Math.min(bytes, stepBytes));
        for (let at = 0; at < bytes; at += zeros.byteLength) {
          const step = zeros.subarray(0, Math.min(zeros.byteLength, bytes - at));
          const { bytesWritten } = await handle.write(step, 0, step.byteLength, at);
          if (bytesWritten !== step.byteLength) {
            throw fullDisk(`Cannot write to "${file}": the disk took ${bytesWritten} of ${step.byteLength} bytes, so it is full`);
          }
          await handle.datasync();
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      await syncDirectory(root);
    },
    open,
    async replace(file: string, bytes: Uint8Array): Promise<void> {
      const temporary = path(`${file}.tmp`);
      const handle = await openHandle(temporary, "w");
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path(file));
      await syncDirectory(root);
    },
    async remove(file: string): Promise<void> {
      await rm(path(file));
      await syncDirectory(root);
    },
    async rename(file: string, name: string): Promise<void> {
      await rename(path(file), path(name));
      await syncDirectory(root);
    },
    async place(file: string): Promise<string> {
      // Not the device: its number may change from one start of the machine to the next.
      const inodes = await Promise.all([root, path(file)].map((name) => stat(name, { bigint: true })));
      return inodes.map(({ ino }) => ino.toString(16)).join(":");
    },
    lock: () => lockDirectory(root),
  };
}

/** Names are durable only when their directory is. Windows has no such thing and refuses. */
async function syncDirectory(directory: string): Promise<void> {
  if (platform === "win32") return;
  const handle = await openHandle(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function openFor(path: string, durably: number | null): Promise<DiskFile> {
  return newFile(await descriptorOf(path, "r+"), path, durably);
}

function descriptorOf(path: string, flags: string | number): Promise<number> {
  return new Promise((resolve, reject) => openFile(path, flags, (error, descriptor) => error ? reject(error) : resolve(descriptor)));
}

function newFile(descriptor: number, path: string, durably: number | null): DiskFile {
  /** Opened when first needed: most files are never committed to. */
  let durable: Promise<number> | number | null = null;
  const write = (to: number, bytes: Uint8Array, from: number, offset: number, done: Done): void => {
    const length = bytes.byteLength - from;
    writeFile(to, bytes, from, length, offset + from, (error, written) => {
      if (error) return done(error);
      if (written >= length) return done(null);
      // A disk that is nearly full takes a part first and says why with the next.
      if (written === 0) return done(new Error(`Cannot write to "${path}": the disk took 0 of ${length} bytes`));
      write(to, bytes, from + written, offset, done);
    });
  };
  const sync = (done: Done): void => fdatasync(descriptor, (error) => done(error ?? null));
  const commit = (offset: number, bytes: Uint8Array, done: Done): void => {
    if (typeof durable === "number") return write(durable, bytes, 0, offset, done);
    if (durably === null) return write(descriptor, bytes, 0, offset, (error) => error ? done(error) : sync(done));
    durable ??= descriptorOf(path, durably);
    durable.then((opened) => write(durable = opened, bytes, 0, offset, done), done);
  };
  const read = (into: Uint8Array, filled: number, offset: number, done: (error: Error | null, filled: number) => void): void => {
    readFile(descriptor, into, filled, into.byteLength - filled, offset + filled, (error, count) => {
      if (error) return done(error, filled);
      if (count === 0 || filled + count === into.byteLength) return done(null, filled + count);
      read(into, filled + count, offset, done);
    });
  };
  return {
    write: (offset, bytes, done) => write(descriptor, bytes, 0, offset, done),
    commit,
    sync,
    read: (offset, length, buffer) =>
      new Promise((resolve, reject) => {
        const into = buffer !== undefined && buffer.byteLength >= length ? buffer.subarray(0, length) : new Uint8Array(length);
        read(into, 0, offset, (error, filled) => error ? reject(error) : resolve(into.subarray(0, filled)));
      }),
    async close(): Promise<void> {
      if (durable !== null) await closeOne(await durable);
      await closeOne(descriptor);
    },
  };
}

function closeOne(descriptor: number): Promise<void> {
  return new Promise((resolve, reject) => close(descriptor, (error) => error ? reject(error) : resolve()));
}
