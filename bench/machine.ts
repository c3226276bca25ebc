/**
 * What the state machines cost by themselves: CPU time per operation and memory per record, without order, disk or
 * network. `bun bench/machine.ts [kv|log|replica] [records] [bytes]`; defaults kv, 100 000 records of 1 024 bytes. `replica`
 * is the KV machine behind its replica, with idempotency keys and without.
 */
import type { Delivery } from "../core/effects.ts";
import { type Entry, packCommands } from "../core/entry.ts";
import { origin } from "../core/ids.ts";
import { parseTopology } from "../core/topology.ts";
import { Reader } from "../services/bytes.ts";
import { headerBytes, keyedBit, kvService, stamp, withKey } from "../services/command.ts";
import { encodeDelete, encodePut } from "../services/kv/command.ts";
import { KvMachine } from "../services/kv/machine.ts";
import { encodeAppend } from "../services/log/command.ts";
import { LogMachine } from "../services/log/machine.ts";
import type { Orderer } from "../services/orderer.ts";
import { Replica } from "../services/replica.ts";
import { Requests } from "../services/requests.ts";

const which = process.argv[2] ?? "kv";
const records = Number(process.argv[3] ?? 100_000);
const size = Number(process.argv[4] ?? 1_024);
const reader = new Reader();
const value = new Uint8Array(size).fill(7);
const utf8 = new TextEncoder();
let major = 0;
/** The first round only warms the compilers up. */
let quiet = true;

function residentBytes(): number {
  (globalThis as { Bun?: { gc(force: boolean): void } }).Bun?.gc(true);
  return process.memoryUsage().rss;
}

/** CPU time, not time on the clock: other processes may be running. */
function measure(name: string, count: number, work: (n: number) => void): void {
  const before = process.cpuUsage();
  for (let n = 0; n < count; n++) work(n);
  const { user, system } = process.cpuUsage(before);
  if (quiet) return;
  const micros = (user + system) / count;
  console.log(`${name.padEnd(40)} ${micros.toFixed(2).padStart(7)} µs ${Math.round(1e6 / micros).toLocaleString("en").padStart(12)}/s`);
}

function memory(name: string, before: number, held: number): void {
  if (quiet) return;
  const each = ((residentBytes() - before) / records - size).toFixed(0);
  console.log(
    `${name.padEnd(40)} ${each.padStart(7)} B resident per record beside its value; slabs or segments ${(held / 1e6).toFixed(1)} MB`,
  );
}

/** Scattered over the key space, always 16 bytes. */
const key = (n: number) => `user/${String(n * 7_919 % records).padStart(11, "0")}`;

/** One command made over and over with another key, so that making it leaves nothing behind to be counted as the machine's. */
function withKeys(command: Uint8Array): (n: number) => Uint8Array {
  const at = command.findIndex((_, i) => key(0).split("").every((char, j) => command[i + j] === char.charCodeAt(0)));
  return (n) => {
    utf8.encodeInto(key(n), command.subarray(at, at + 16));
    return command;
  };
}

const round = which === "kv" ? measureKv : which === "log" ? measureLog : measureReplica;
round();
quiet = false;
round();

function measureKv(): void {
  const kv = new KvMachine();
  const put = withKeys(encodePut(key(0), "", value, "always"));
  const insert = withKeys(encodePut(key(0), "", value, "absent"));
  const remove = withKeys(encodeDelete(key(0), "always"));
  const apply = (command: Uint8Array) => kv.apply({ major: ++major, group: 1, minor: 0 }, reader.reset(command, headerBytes), false);
  const page = { from: key(1), to: null, reverse: false, keysOnly: false, limit: 100, bytes: Infinity };

  measure("making a key and a command, for nothing", records, put);
  const before = residentBytes();
  measure("kv put, new keys", records, (n) => apply(put(n)));
  memory("kv", before, kv.stats().heldBytes);
  measure("kv put, over old values", records * 3, (n) => apply(put(n)));
  memory("kv, every value overwritten three times", before, kv.stats().heldBytes);
  measure("kv insert, refused", records, (n) => apply(insert(n)));
  measure("kv read", records, (n) => kv.read(key(n)));
  measure("kv scan of 100", records / 100, () => kv.scan(page));
  measure("kv delete", records, (n) => apply(remove(n)));
}

function measureLog(): void {
  const logs = new LogMachine(1);
  const apply = (command: Uint8Array) => logs.apply({ major: ++major, group: 1, minor: 0 }, reader.reset(command, headerBytes), false);
  const one = encodeAppend([{ name: "audit", home: 1 }], [{ type: "", bytes: value }], null);
  const hundred = encodeAppend([{ name: "bulk", home: 1 }], new Array(100).fill({ type: "", bytes: value }), null);

  const before = residentBytes();
  measure("log append", records, () => apply(one));
  memory("log", before, logs.stats().heldBytes);
  measure("log append of 100", records / 100, () => apply(hundred));
  measure("log read of 100", records / 100, (n) => logs.read("audit", n * 100, 100, Infinity));
}

/** Commands of another node, one a delivery, so that nobody waits for the answer. */
function measureReplica(): void {
  let deliver: (delivery: Delivery) => void = () => {};
  const orderer: Orderer = {
    self: 1,
    topology: parseTopology({ nodes: [{ name: "n1" }] }),
    origin: origin(1, 1),
    propose() {},
    subscribe(_groups, _after, _demand, onDelivery) {
      deliver = onDelivery;
      return { more() {}, close() {} };
    },
    confirm: () => () => {},
  };
  const requests = new Requests(() => () => {}, { timeoutMs: 1, timeoutMsMax: 1 });
  new Replica({ name: "main", orderer, requests, home: 1, groups: [1], machines: [new KvMachine()] }).start();
  const from = origin(2, 1);
  const apply = (bytes: Uint8Array) => {
    const entry: Entry = {
      instance: 1,
      ballot: 1,
      stamp: ++major,
      count: 1,
      slotBase: 0,
      slots: 1,
      kind: "batch",
      batches: [{ origin: from, sequence: major, count: 1, bytes }],
    };
    deliver({ subscription: 1, group: 1, entry, from: 0, to: 1, repeated: null });
  };
  const put = encodePut(key(0), "", value, "always");
  const plain = withKeys(packCommands([stamp(put.slice(), kvService, 1)]));
  // The same place holds the idempotency key here, and the KV key stays what it is.
  const keyed = withKeys(packCommands([stamp(withKey(encodePut("one", "", value, "always"), kvService, key(0)), kvService + keyedBit, 1)]));
  measure("making a key and a command, for nothing", records, plain);
  measure("put, no idempotency key", records, (n) => apply(plain(n)));
  measure("put again, no idempotency key", records * 5, (n) => apply(plain(n)));
  measure("put, a new idempotency key", records, (n) => apply(keyed(n)));
  measure("put, a key of before", records, (n) => apply(keyed(n)));
}
