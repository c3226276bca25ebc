/**
 * Snapshots of each kind of state: handed out in pieces of any size while commands go on, several at once, against a twin with another
 * past; and back from pieces of any size. Bytes that make no sense are refused, and nothing else comes of them.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { CarillonError } from "../../core/errors.ts";
import { type Position, start } from "../../core/position.ts";
import { Prng } from "../../core/prng.ts";
import { Reader } from "../../services/bytes.ts";
import { Catalog, encodeCreate } from "../../services/catalog.ts";
import { headerBytes } from "../../services/command.ts";
import { Hash } from "../../services/hash.ts";
import { encodeDelete, encodePut } from "../../services/kv/command.ts";
import { KvMachine } from "../../services/kv/machine.ts";
import { encodeAppend, encodeTrim } from "../../services/log/command.ts";
import { LogMachine } from "../../services/log/machine.ts";
import type { Machine, State } from "../../services/machine.ts";
import { Repeats } from "../../services/multicast/repeats.ts";
import { Assembler, type Intake } from "../../services/restore.ts";
import { Sessions } from "../../services/sessions.ts";
import { Cutter, type Snapshot } from "../../services/snapshot.ts";
import { mutate } from "../fuzz/mutate.ts";
import { Random } from "../fuzz/random.ts";

const at = (major: number): Position => ({ major, group: 1, minor: 0 });
const reader = new Reader();

/** One kind of state under commands made of chance: equal seeds make equal commands. */
interface Subject {
  readonly state: State;
  digest(): string;
  apply(position: Position, random: Prng): void;
  /** Leaves nothing behind but a different memory. */
  disturb(): void;
}

function command(machine: Machine, position: Position, bytes: Uint8Array): void {
  machine.apply(position, reader.reset(bytes, headerBytes), false);
}

function value(random: Prng): Uint8Array {
  // Mostly of one size, so that values are overwritten where they are.
  const size = random.unit() < 0.7 ? 100 : random.unit() < 0.97 ? random.below(3_000) : 300_000 + random.below(400_000);
  return new Uint8Array(size).fill(random.below(256));
}

function kv(): Subject {
  const machine = new KvMachine({ historyBytes: 4_096 });
  const key = (random: Prng) => `${["", "k/", "k/\xff", "z"][random.below(4)]}${random.below(60)}`;
  return {
    state: machine,
    digest: () => `${machine.digest()} ${machine.stats().entries} ${machine.stats().bytes}`,
    apply(position, random) {
      const chance = random.unit();
      if (chance < 0.6) command(machine, position, encodePut(key(random), "", value(random), "always"));
      else if (chance < 0.7) command(machine, position, encodePut(key(random), "text/x", value(random), "absent"));
      else command(machine, position, encodeDelete(key(random), "always"));
    },
    disturb() {
      for (let n = 0; n < 300; n++) command(machine, at(n + 1), encodePut(`junk${n * 7 % 300}`, "", new Uint8Array(3_000), "always"));
      for (let n = 0; n < 300; n++) command(machine, at(n + 301), encodeDelete(`junk${n}`, "always"));
    },
  };
}

function log(): Subject {
  const machine = new LogMachine(1);
  const home = (random: Prng) => ({ name: `log-${random.below(12)}`, home: 1 });
  return {
    state: machine,
    digest: () => `${machine.digest()} ${machine.stats().records} ${machine.stats().bytes}`,
    apply(position, random) {
      const one = home(random);
      if (random.unit() < 0.75) {
        const records = Array.from(
          { length: 1 + random.below(5) },
          () => ({ type: ["", "text/x"][random.below(2)]!, bytes: value(random) }),
        );
        command(machine, position, encodeAppend(random.unit() < 0.2 ? [one, { name: "every", home: 1 }] : [one], records, null));
      } else {
        const { first, next } = machine.extent(one.name);
        command(machine, position, encodeTrim(one, random.unit() < 0.2 ? next : first + random.below(next - first + 1)));
      }
    },
    disturb() {},
  };
}

function catalog(): Subject {
  const machine = new Catalog();
  return {
    state: machine,
    digest: () => machine.digest(),
    apply: (position, random) => command(machine, position, encodeCreate(`log-${random.below(500)}`, 1 + random.below(65_535), false)),
    disturb() {},
  };
}

function sessions(): Subject {
  const table = new Sessions({ countMax: 30, ageMax: 60 });
  return {
    state: table,
    digest() {
      const hash = new Hash();
      table.addTo(hash);
      return hash.digest();
    },
    apply(position, random) {
      const key = `${random.below(200)}`;
      if (table.find(key, position) !== undefined) return;
      table.keep(key, { fingerprint: "0123456789abcdef", position, outcome: "\xff".repeat(random.below(20)) });
    },
    disturb() {},
  };
}

function repeats(): Subject {
  const positions = new Repeats(30);
  return {
    state: positions,
    digest() {
      const hash = new Hash();
      positions.addTo(hash);
      return hash.digest();
    },
    apply: (position, random) => random.unit() < 0.5 ? positions.add(position) : undefined,
    disturb() {},
  };
}

const kinds = { kv, log, catalog, sessions, repeats };

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}

/** All there is left of it. */
function drawn(snapshot: Snapshot, bytesWanted: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let piece = snapshot.next(bytesWanted); piece !== null; piece = snapshot.next(bytesWanted)) pieces.push(piece);
  return joined(pieces);
}

function restore(intake: Intake, bytes: Uint8Array, size: () => number): void {
  const assembler = new Assembler(intake);
  for (let at = 0; at < bytes.byteLength;) {
    const piece = bytes.slice(at, at + size());
    assembler.add(piece);
    at += piece.byteLength;
    // What was given is the giver's again.
    piece.fill(0xee);
  }
  assembler.check();
  intake.finish();
}

/** From a byte to a megabyte. */
function anySize(random: Prng): number {
  return 1 + random.below(2 ** random.below(21));
}

test.each(Object.entries(kinds))("the state behind one command comes out whole, and goes on as if nothing had been (%s)", (_, make) => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new Prng(seed);
      const commands = 40 + random.below(200);
      const whole = make();
      const open: { readonly major: number; readonly digest: string; readonly snapshot: Snapshot; readonly pieces: Uint8Array[] }[] = [];
      for (let major = 601; major <= 600 + commands; major++) {
        whole.apply(at(major), new Prng(seed + major));
        // By then something has changed, and what the twin did before is not its last change.
        if (major > 630 && random.unit() < 0.05 && open.length < 3) {
          open.push({ major, digest: whole.digest(), snapshot: new Cutter(whole.state.snapshot(at(major))), pieces: [] });
        }
        if (open.length === 0 || random.unit() < 0.5) continue;
        const { snapshot, pieces } = open[random.below(open.length)]!;
        const size = anySize(random);
        const piece = snapshot.next(size);
        if (piece !== null) pieces.push(piece);
        expect(piece?.byteLength ?? 0).toBeLessThanOrEqual(size);
      }
      for (const { major, digest, snapshot, pieces } of open) {
        const bytes = joined([...pieces, drawn(snapshot, anySize(random) + 100)]);
        // Another replica, with another past of its memory, in large pieces.
        const twin = make();
        twin.disturb();
        for (let each = 601; each <= major; each++) twin.apply(at(each), new Prng(seed + each));
        const other = drawn(new Cutter(twin.state.snapshot(at(major))), 4 << 20);
        expect(Buffer.compare(bytes, other)).toBe(0);
        // In place of something else.
        const restored = make();
        for (let each = 1; each < 30; each++) restored.apply(at(each), new Prng(seed - each));
        const size = random.unit() < 0.5 ? () => anySize(random) + 100 : () => bytes.byteLength;
        restore(restored.state.restore(at(major)), bytes, size);
        expect(restored.digest()).toBe(digest);
        expect(Buffer.compare(drawn(new Cutter(restored.state.snapshot(at(major))), 10_000), bytes)).toBe(0);
        for (let each = major + 1; each <= 600 + commands; each++) restored.apply(at(each), new Prng(seed + each));
        expect(restored.digest()).toBe(whole.digest());
      }
    }),
    { numRuns: 40 },
  );
}, 30_000);

test.each(Object.entries(kinds))("what comes in pieces of one byte is the same (%s)", (_, make) => {
  const whole = make();
  for (let major = 1; major < 20; major++) whole.apply(at(major), new Prng(major));
  const bytes = drawn(new Cutter(whole.state.snapshot(at(20))), 1 << 20).slice(0, 40_000);
  expect(Buffer.compare(drawn(new Cutter(whole.state.snapshot(at(20))), 1).subarray(0, 40_000), bytes)).toBe(0);
  const small = make();
  for (let major = 1; major < 4; major++) small.apply(at(major), new Prng(major));
  const few = drawn(new Cutter(small.state.snapshot(at(4))), 1 << 20);
  const restored = make();
  restore(restored.state.restore(at(4)), few, () => 1);
  expect(restored.digest()).toBe(small.digest());
});

test("no piece is larger than wanted, however large a value, and a value half handed out is the old one", () => {
  const machine = new KvMachine();
  const large = new Uint8Array(2 << 20).fill(1);
  command(machine, at(1), encodePut("k", "", large, "always"));
  const snapshot = new Cutter(machine.snapshot(at(1)));
  const pieces: Uint8Array[] = [];
  for (let piece = snapshot.next(65_536), major = 2; piece !== null; piece = snapshot.next(65_536), major++) {
    pieces.push(piece);
    command(machine, at(major), encodePut("k", "", large.fill(major), "always"));
  }
  const sizes = pieces.map(({ byteLength }) => byteLength);
  // The last change, the key, its length, the length of the value, its version and type, and the end.
  expect(sizes).toEqual([...new Array(32).fill(65_536), 10 + 1 + 2 + 4 + 11 + 2]);
  expect(joined(pieces).subarray(28, -2).every((byte) => byte === 1)).toBe(true);
});

test.each(["overwritten", "deleted", "left alone"] as const)("what has been found but not handed out, when it is %s", (what) => {
  const [machine, twin] = [new KvMachine(), new KvMachine()];
  for (const each of [machine, twin]) {
    for (const [index, key] of ["a", "b", "c"].entries()) {
      command(each, at(index + 1), encodePut(key, "", new Uint8Array(9).fill(index), "always"));
    }
  }
  const snapshot = new Cutter(machine.snapshot(at(3)));
  command(machine, at(4), encodePut("a", "", new Uint8Array(9).fill(9), "always"));
  // The old "a" is kept and comes first; to know that, the snapshot has looked for what is next in the tree: "b".
  const first = snapshot.next(30)!;
  if (what === "overwritten") command(machine, at(5), encodePut("b", "", new Uint8Array(9).fill(9), "always"));
  if (what === "deleted") command(machine, at(5), encodeDelete("b", "always"));
  expect(joined([first, drawn(snapshot, 20)])).toEqual(drawn(new Cutter(twin.snapshot(at(3))), 1_000));
});

test.each([1, 40, 151, 4_096])("%i bytes at a time lie in the room that is given for them", (bytesWanted) => {
  const machine = new KvMachine();
  for (let n = 0; n < 100; n++) command(machine, at(n + 1), encodePut(`${n}`, "", new Uint8Array(100).fill(n), "always"));
  const room = new Uint8Array(bytesWanted + 9);
  const snapshot = new Cutter(machine.snapshot(at(100)));
  const pieces: Uint8Array[] = [];
  for (let piece = snapshot.next(bytesWanted, room); piece !== null; piece = snapshot.next(bytesWanted, room)) {
    expect([piece.buffer, piece.byteOffset]).toEqual([room.buffer, 0]);
    expect(piece.byteLength).toBeLessThanOrEqual(bytesWanted);
    pieces.push(piece.slice());
  }
  expect(joined(pieces)).toEqual(drawn(new Cutter(machine.snapshot(at(100))), 1 << 20));
  expect(new Cutter(machine.snapshot(at(100))).next(50, new Uint8Array(49))!.byteLength).toBe(50);
});

test("a snapshot that is closed holds nothing and hands out nothing", () => {
  const machine = new KvMachine();
  for (let n = 0; n < 100; n++) command(machine, at(n + 1), encodePut(`${n}`, "", new Uint8Array(100), "always"));
  const snapshot = new Cutter(machine.snapshot(at(100)));
  expect(snapshot.next(150)!.byteLength).toBe(150);
  snapshot.close();
  expect([snapshot.next(150), snapshot.next(150)]).toEqual([null, null]);
  snapshot.close();
});

test("many new entries ahead of a snapshot are passed over in several turns", () => {
  const machine = new KvMachine();
  const twin = new KvMachine();
  for (const each of [machine, twin]) {
    command(each, at(1), encodePut("a", "", new Uint8Array(9), "always"));
    command(each, at(2), encodePut("z", "", new Uint8Array(9), "always"));
  }
  const snapshot = new Cutter(machine.snapshot(at(2)));
  for (let n = 0; n < 25_000; n++) command(machine, at(3 + n), encodePut(`m${n}`, "", new Uint8Array(9), "always"));
  const pieces: Uint8Array[] = [];
  for (let piece = snapshot.next(1_000); piece !== null; piece = snapshot.next(1_000)) pieces.push(piece);
  expect(pieces.map(({ byteLength }) => byteLength)).toEqual([37, 0, 29]);
  expect(joined(pieces)).toEqual(drawn(new Cutter(twin.snapshot(at(2))), 1_000));
});

test("a snapshot under way survives the restore of what it is of", () => {
  for (const make of Object.values(kinds)) {
    const subject = make();
    for (let major = 1; major < 100; major++) subject.apply(at(major), new Prng(major));
    const bytes = drawn(new Cutter(subject.state.snapshot(at(100))), 1 << 20);
    const snapshot = new Cutter(subject.state.snapshot(at(100)));
    const first = snapshot.next(20)!;
    restore(subject.state.restore(at(200)), drawn(new Cutter(make().state.snapshot(start)), 100), () => 100);
    for (let major = 201; major < 300; major++) subject.apply(at(major), new Prng(major));
    expect(Buffer.compare(joined([first, drawn(snapshot, 1 << 20)]), bytes)).toBe(0);
  }
});

test.each(Object.entries(kinds))("bytes that make no sense are corrupt, and change nothing (%s)", (_, make) => {
  const good = make();
  // Small ones only, so that damage meets structure and not only content.
  for (let major = 1; major <= 12; major++) good.apply(at(major), new Prng(major * 31));
  const bytes = drawn(new Cutter(good.state.snapshot(at(12))), 1 << 20);
  const target = make();
  for (let major = 1; major <= 5; major++) target.apply(at(major), new Prng(major));
  const before = target.digest();
  /** Whether it was taken. */
  const attempt = (damaged: Uint8Array, size: () => number): boolean => {
    const subject = make();
    try {
      restore(subject.state.restore(at(12)), damaged, size);
    } catch (error) {
      if (!(error instanceof CarillonError) || error.code !== "corrupt") throw error;
      expect(() => restore(target.state.restore(at(12)), damaged, size)).toThrow("Cannot restore a checkpoint: ");
      expect(target.digest()).toBe(before);
      return false;
    }
    // What was taken is served, whatever it is.
    subject.digest();
    for (let major = 13; major < 20; major++) subject.apply(at(major), new Prng(major));
    return true;
  };
  expect(attempt(bytes, () => bytes.byteLength)).toBe(true);
  for (let length = 0; length < bytes.byteLength; length += length < 300 ? 1 : 997) {
    expect(attempt(bytes.slice(0, length), () => bytes.byteLength)).toBe(false);
  }
  expect(attempt(joined([bytes, new Uint8Array(1)]), () => bytes.byteLength)).toBe(false);
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new Random(seed);
      attempt(mutate(random, bytes, random.bytes(50)), () => 1 + random.below(bytes.byteLength));
      attempt(random.bytes(random.below(60)), () => 1 + random.below(10));
    }),
    { numRuns: 250 },
  );
});

test("what cannot be at a position, or in that order, or so often, is corrupt", () => {
  const refused = (state: State, position: number, bytes: Uint8Array) => {
    expect(() => restore(state.restore(at(position)), bytes, () => 1_000)).toThrow("Cannot restore a checkpoint: ");
  };
  for (const make of [kv, log, sessions, repeats]) {
    const subject = make();
    for (let major = 1; major <= 30; major++) subject.apply(at(major), new Prng(major));
    refused(make().state, 2, drawn(new Cutter(subject.state.snapshot(at(30))), 1 << 20));
  }
  const [many, few] = [100, 10].map((countMax) => new Sessions({ countMax, ageMax: 1_000 }));
  for (let n = 1; n <= 20; n++) many!.keep(`${n}`, { fingerprint: "0123456789abcdef", position: at(n), outcome: "" });
  refused(few!, 20, drawn(new Cutter(many!.snapshot()), 1 << 20));
  const again = new Repeats(100);
  for (let n = 1; n <= 20; n++) again.add(at(n));
  refused(new Repeats(10), 20, drawn(new Cutter(again.snapshot()), 1 << 20));
  const two = drawn(new Cutter(twoEntries().snapshot(at(2))), 1_000);
  const middle = 10 + (two.byteLength - 12) / 2;
  const [head, first, second, end] = [two.slice(0, 10), two.slice(10, middle), two.slice(middle, -2), two.slice(-2)];
  restore(new KvMachine().restore(at(2)), joined([head, first, second, end]), () => 9);
  refused(new KvMachine(), 2, joined([head, second, first, end]));
  refused(new KvMachine(), 2, joined([head, first, first, end]));
});

function twoEntries(): KvMachine {
  const machine = new KvMachine();
  for (const [major, key] of [[1, "a"], [2, "b"]] as const) command(machine, at(major), encodePut(key, "", new Uint8Array(3), "always"));
  return machine;
}

test("an item that says it is larger than any can be is refused before memory is taken for it", () => {
  const lie = new Uint8Array([...new Array(10).fill(0), 1, 0, 97, 255, 255, 255, 127]);
  expect(() => new Assembler(new KvMachine().restore(at(1))).add(lie)).toThrow(
    "Cannot restore a checkpoint: it says that something in it has 2147483654 bytes",
  );
});
