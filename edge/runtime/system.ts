/**
 * The machine as a command sees it: arguments, files, the terminal, signals and child processes. Written on `node:`
 * builtins that Bun, Deno and Node all have; only the command line, the build and key files use it, the product's hot paths never.
 */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { closeSync, openSync, readFileSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

export const environment: Readonly<Record<string, string | undefined>> = process.env;

export function commandArguments(): readonly string[] {
  return process.argv.slice(2);
}

export function hostName(): string {
  return hostname();
}

/** Milliseconds since this process was started. */
export function sinceStartMs(): number {
  return performance.now();
}

export function exit(code: number): never {
  process.exit(code);
}

// ── Terminal ──────────────────────────────────────────────────────────────────────────────────────────────────────

export function isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean {
  return process[stream].isTTY === true;
}

export function columns(): number {
  return process.stdout.columns || 100;
}

/**
 * Resolves once the operating system has it, so that a slow reader slows the writer down and an exit loses nothing. A
 * reader that has gone (`… | head`) ends the process quietly, as it does for every other filter.
 */
export function write(stream: "stdout" | "stderr", data: string | Uint8Array): Promise<void> {
  const target = process[stream];
  if (!guarded.has(stream)) {
    guarded.add(stream);
    target.on("error", (error: Error & { code?: string }) => process.exit(error.code === "EPIPE" ? 0 : 1));
  }
  return new Promise((resolve) => target.write(data, () => resolve()));
}

const guarded = new Set<string>();

/** Standard input, piece by piece. */
export async function* inputChunks(): AsyncIterable<Uint8Array> {
  for await (const chunk of process.stdin) yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
}

/** Single key presses, until the returned function is called. Only on a terminal. */
export function onKey(callback: (key: string) => void): () => void {
  const listen = (bytes: Uint8Array): void => callback(new TextDecoder().decode(bytes));
  process.stdin.setRawMode(true);
  process.stdin.resume();
  process.stdin.on("data", listen);
  return () => {
    process.stdin.off("data", listen);
    process.stdin.setRawMode(false);
    process.stdin.pause();
  };
}

/** Calls back when standard input ends: a child learns that way that its parent is gone, however it went. */
export function onInputEnd(callback: () => void): void {
  process.stdin.on("end", callback);
  process.stdin.on("error", callback);
  process.stdin.resume();
}

/** Interrupt (Ctrl-C) and terminate (`kill`); returns how to stop listening. */
export function onSignals(callback: (signal: "SIGINT" | "SIGTERM") => void): () => void {
  const interrupt = (): void => callback("SIGINT");
  const terminate = (): void => callback("SIGTERM");
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", terminate);
  return () => {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", terminate);
  };
}

/** The signal that asks a program to look at its configuration again; returns how to stop listening. */
export function onHangup(callback: () => void): () => void {
  process.on("SIGHUP", callback);
  return () => void process.off("SIGHUP", callback);
}

// ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Null if there is no such file; anything else that goes wrong throws. */
export async function readTextIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw error;
  }
}

/** Another one as soon as the file has been written, replaced or removed. */
export async function fileMark(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? "" : [found.mtimeNs, found.ctimeNs, found.size, found.ino].join();
}

export function readTextNow(path: string): string {
  return readFileSync(path, "utf8");
}

/** A file and who may read it besides its owner (`0o077` of its mode; null where the system has no modes). Null if it is not there. */
export async function readPrivateText(path: string): Promise<{ readonly text: string; readonly othersMay: number | null } | null> {
  const file = await open(path, "r").catch((error: { code?: string }): null => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const { mode } = await file.stat();
    return { text: await file.readFile("utf8"), othersMay: process.platform === "win32" ? null : mode & 0o077 };
  } finally {
    await file.close();
  }
}

/** Durably, for its owner alone. False, and nothing is written, if there is a file of that name. */
export async function createPrivateText(path: string, text: string): Promise<boolean> {
  const file = await open(path, "wx", 0o600).catch((error: { code?: string }): null => {
    if (error.code === "EEXIST") return null;
    throw error;
  });
  if (file === null) return false;
  try {
    await file.writeFile(text);
    await file.sync();
    return true;
  } finally {
    await file.close();
  }
}

/** The file holds either the old text or the new, durably, for its owner alone. */
export async function replacePrivateText(path: string, text: string): Promise<void> {
  // One that was left behind by an end in between holds nothing that counts.
  await rm(`${path}.new`, { force: true });
  await createPrivateText(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

export function readBytes(path: string): Promise<Uint8Array> {
  return readFile(path);
}

export async function writeText(path: string, text: string, mode: number = 0o644): Promise<void> {
  await writeFile(path, text, { mode });
}

export async function appendText(path: string, text: string): Promise<void> {
  await appendFile(path, text);
}

export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}

export function temporaryDirectory(prefix: string): Promise<string> {
  return mkdtemp(join(tmpdir(), prefix));
}

export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

export async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then((found) => found.isDirectory(), () => false);
}

export async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}

export async function fileBytes(path: string): Promise<number> {
  return (await stat(path)).size;
}

/** The directory a path is in; `.` for a bare name. */
export function directoryOf(path: string): string {
  return dirname(path);
}

export function joinPath(...parts: readonly string[]): string {
  return join(...parts);
}

// ── Processes and ports ───────────────────────────────────────────────────────────────────────────────────────────

export interface Child {
  readonly pid: number;
  /** Resolves to the exit code, or to the signal's name. */
  readonly exited: Promise<number | string>;
  signal(name: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
}

/** This program again with other arguments. Its output goes to the end of `logFile`; its input ends when we do. */
export function spawnSelf(args: readonly string[], logFile: string): Child {
  const [program, ...before] = ownCommand();
  const log = openSync(logFile, "a");
  try {
    return childOf(spawn(program!, [...before, ...args], { stdio: ["pipe", log, log] }));
  } finally {
    closeSync(log);
  }
}

/** Runs to the end with our output; resolves to the exit code. */
export async function runProgram(program: string, args: readonly string[], directory?: string): Promise<number | string> {
  return await childOf(spawn(program, [...args], { stdio: "inherit", ...(directory === undefined ? {} : { cwd: directory }) })).exited;
}

function childOf(child: ReturnType<typeof spawn>): Child {
  const exited = new Promise<number | string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? code ?? 1));
  });
  return { pid: child.pid ?? 0, exited, signal: (name) => void child.kill(name) };
}

/** How this very program is called: the binary alone, or a runtime and the script. */
function ownCommand(): string[] {
  const script = process.argv[1] ?? "";
  // Bun keeps a compiled program's files under a root of its own.
  if (script === "" || script.startsWith("/$bunfs/") || /^[A-Z]:[\\/]~BUN[\\/]/i.test(script)) return [process.execPath];
  return process.versions.deno === undefined ? [process.execPath, script] : [process.execPath, "run", "-A", script];
}

/** The program that runs this one: a runtime, or the compiled binary itself. */
export const executable: string = process.execPath;

/** Whether 127.0.0.1:`port` can be listened on now, over TCP and UDP; port 0 never tells. */
export async function portIsFree(port: number): Promise<boolean> {
  const held = await holdPort(port);
  await held?.release();
  return held !== null;
}

/** Systems give ports above these to whoever connects somewhere, at any moment: one found free there may be taken when it is wanted. */
const quietPorts = { first: 10_000, count: 22_000 } as const;

/** So many different ports that are free at this moment, for TCP and UDP. */
export async function freePorts(count: number): Promise<number[]> {
  // All are held until there are enough: else one would be found twice.
  const held: { readonly port: number; release(): Promise<void> }[] = [];
  try {
    for (let attempt = 0; held.length < count && attempt < count + 100; attempt++) {
      const next = await holdPort(quietPorts.first + Math.floor(Math.random() * quietPorts.count));
      if (next !== null) held.push(next);
    }
    return held.map(({ port }) => port);
  } finally {
    await Promise.all(held.map((one) => one.release()));
  }
}

/** Null if somebody has it. */
async function holdPort(wanted: number): Promise<{ readonly port: number; release(): Promise<void> } | null> {
  const server = createServer();
  const listens = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(wanted, "127.0.0.1", () => resolve(true));
  });
  if (!listens) return null;
  const { port } = server.address() as { port: number };
  const socket = createSocket("udp4");
  const bound = await new Promise<boolean>((resolve) => {
    socket.once("error", () => resolve(false));
    socket.bind(port, "127.0.0.1", () => resolve(true));
  });
  const release = async (): Promise<void> => {
    await Promise.all([
      new Promise<void>((resolve) => socket.close(() => resolve())),
      new Promise<void>((resolve) => server.close(() => resolve())),
    ]);
  };
  if (bound) return { port, release };
  await release();
  return null;
}
