/**
 * What a snapshot costs a KV machine that goes on being written, and the way back: MB/s, the longest turn, what a write costs
 * meanwhile, and the memory it takes. `bun bench/snapshot.ts [records] [bytes] [piece bytes] [writes a turn]`; defaults 100 000
 * records of 1 024 bytes, pieces of 256 KiB, 200 writes between two pieces (half of them over old values, a quarter each new keys
 * and deletions).
 */
import type { Position } from "../core/position.ts";
import { Prng } from "../core/prng.ts";
import { Reader } from "../services/bytes.ts";
import { headerBytes } from "../services/command.ts";
import { encodeDelete, encodePut } from "../services/kv/command.ts";
import { KvMachine } from "../services/kv/machine.ts";
import { Assembler } from "../services/restore.ts";
import { Cutter } from "../services/snapshot.ts";

const records = Number(process.argv[2] ?? 100_000);
const size = Number(process.argv[3] ?? 1_024);
const pieceBytes = Number(process.argv[4] ?? 256 << 10);
const writesPerTurn = Number(process.argv[5] ?? 200);
const reader = new Reader();
const random = new Prng(1);
const value = new Uint8Array(size).fill(7);
let major = 0;

function apply(machine: KvMachine, command: Uint8Array): void {
  machine.apply({ major: ++major, group: 1, minor: 0 }, reader.reset(command, headerBytes), false);
}

const key = (n: number) => `user/${String(n).padStart(11, "0")}`;

/** Made beforehand, so that making them is not counted. */
function commands(count: number): Uint8Array[] {
  return Array.from({ length: count }, () => {
    const n = random.below(records);
    const chance = random.unit();
    if (chance < 0.5) return encodePut(key(n), "", value, "always");
    return chance < 0.75 ? encodePut(`${key(n)}/new`, "", value, "always") : encodeDelete(key(n), "always");
  });
}

interface Turns {
  total: number;
  longest: number;
  times: number[];
}

/** CPU time, not time on the clock: other processes may be running. The collector's threads count as well. */
function timed(turns: Turns, work: () => void): void {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  const took = (user + system) / 1_000;
  turns.total += took;
  turns.longest = Math.max(turns.longest, took);
  turns.times.push(took);
}

function say(name: string, { total, longest, times }: Turns, bytes: number): void {
  const p99 = times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)]!;
  const rate = (bytes / 1e6 / (total / 1e3)).toFixed(0);
  console.log(
    `${name.padEnd(26)} ${rate.padStart(6)} MB/s; ${times.length} turns, 99 % within ${p99.toFixed(2)} ms, the longest ${
      longest.toFixed(2)
    } ms`,
  );
}

function round(quiet: boolean): void {
  const machine = new KvMachine();
  for (let n = 0; n < records; n++) apply(machine, encodePut(key(n * 7_919 % records), "", value, "always"));
  const turns = Math.ceil(records * (size + 40) / pieceBytes) + 1;
  const calm = commands(turns * writesPerTurn);
  const busy = commands(turns * writesPerTurn);
  const none = (): Turns => ({ total: 0, longest: 0, times: [] });
  const [before, opening, drawing, writing, restoring] = [none(), none(), none(), none(), none()];
  for (let at = 0; at < calm.length; at += writesPerTurn) {
    timed(before, () => calm.slice(at, at + writesPerTurn).forEach((command) => apply(machine, command)));
  }
  const position: Position = { major, group: 1, minor: 0 };
  const heldBytes = machine.stats().heldBytes;
  let snapshot!: Cutter;
  timed(opening, () => snapshot = new Cutter(machine.snapshot(position)));
  const pieces: Uint8Array[] = [];
  for (let at = 0;; at += writesPerTurn) {
    let piece: Uint8Array | null = null;
    timed(drawing, () => piece = snapshot.next(pieceBytes));
    if (piece === null) break;
    pieces.push(piece);
    timed(writing, () => busy.slice(at, at + writesPerTurn).forEach((command) => apply(machine, command)));
  }
  const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const restored = new KvMachine();
  const intake = restored.restore(position);
  const assembler = new Assembler(intake);
  for (const piece of pieces) timed(restoring, () => assembler.add(piece));
  timed(restoring, () => {
    assembler.check();
    intake.finish();
  });
  if (quiet) return;
  const micros = ({ total, times }: Turns) => (total * 1e3 / (times.length * writesPerTurn)).toFixed(2);
  console.log(
    `${restored.stats().entries} entries, ${(bytes / 1e6).toFixed(1)} MB, held ${(heldBytes / 1e6).toFixed(1)} MB; opened in ${
      opening.longest.toFixed(2)
    } ms`,
  );
  say("snapshot, written meanwhile", drawing, bytes);
  say("restore", restoring, bytes);
  console.log(`a write: ${micros(before)} µs without a snapshot, ${micros(writing)} µs during one`);
}

// The first only warms the compilers up.
round(true);
round(false);
