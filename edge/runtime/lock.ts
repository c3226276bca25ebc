/**
 * One process per directory. The lock is a bound local socket named after the directory's device and
 * inode: the kernel gives it to one process, and takes it back however that process ends. A pid file
 * would outlive a `kill -9`, and its pid would one day be somebody else's. The directory is kept open as
 * long as it is locked: if it is removed meanwhile, no new one may get its inode, and with it the lock.
 */
import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { platform } from "node:process";
import { CarillonError } from "../../core/errors.ts";

/** Throws CarillonError `config` if the directory is held, by this process or another on this machine. */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  // A number and not a FileHandle: that is closed once nobody knows of it any more.
  const held = platform === "win32" ? null : openSync(directory, "r");
  const close = (): void => {
    if (held !== null) closeSync(held);
  };
  try {
    const { dev, ino } = held === null ? statSync(directory, { bigint: true }) : fstatSync(held, { bigint: true });
    const name = `carillon-${dev.toString(16)}-${ino.toString(16)}`;
    const server = platform === "linux" ? await bindAbstract(name) : await bindInFile(join(tmpdir(), `${name}.lock`));
    if (server === null) throw new CarillonError("config", `Cannot use "${directory}": another process is using it`);
    server.unref();
    return async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      close();
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Linux has socket names that are no files: nothing to clean up. `null` if the name is taken. */
async function bindAbstract(name: string): Promise<Server | null> {
  const server = await bind(`\0${name}`);
  if (server === null || await holders(name) <= 1) return server;
  server.close();
  return null;
}

/**
 * Node before 22 fills the name up with zeros and the others do not, so that two runtimes would each get their own. Both
 * are in the kernel's list, the zeros printed as "@".
 */
async function holders(name: string): Promise<number> {
  const list = await readFile("/proc/net/unix", "utf8").catch(() => "");
  return list.split("\n").filter((line) => line.slice(line.lastIndexOf(" ") + 1).replace(/@+$/, "") === `@${name}`).length;
}

async function bindInFile(path: string): Promise<Server | null> {
  const server = await bind(path);
  if (server !== null || await answers(path)) return server;
  // Left behind by a process that was killed.
  await rm(path, { force: true });
  return await bind(path);
}

function bind(path: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: Error & { code?: string }) => error.code === "EADDRINUSE" ? resolve(null) : reject(error));
    server.listen(path, () => resolve(server));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
