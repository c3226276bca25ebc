/** After the load: is everything that was acknowledged there, at every node, and nothing that cannot be? */
import { findRegisterViolation } from "../harness/register.ts";
import type { RealNode } from "../harness/real_cluster.ts";
import { logName, type Notes } from "./load.ts";
import { request } from "./request.ts";

/** Throws with a sentence per fault. All nodes must be up. */
export async function checkNotes(nodes: readonly RealNode[], notes: Notes): Promise<void> {
  const faults: string[] = [];
  for (const node of nodes) {
    await readRegisters(node, notes);
    faults.push(...await checkOnce(node, notes));
  }
  for (const [key, history] of notes.registers) {
    const violation = findRegisterViolation(history);
    if (violation !== null) faults.push(`${key}: ${violation}`);
  }
  faults.push(...await checkLog(nodes, notes));
  if (faults.length > 0) throw new Error(`Cannot accept this run:\n${faults.slice(0, 20).join("\n")}`);
}

/** One linearizable read of each register at this node becomes part of its history: a lost write makes it impossible. */
async function readRegisters(node: RealNode, notes: Notes): Promise<void> {
  for (const [key, history] of notes.registers) {
    const calledAt = performance.now();
    const { status, body } = await read(node, `/v1/kv/${key}`);
    const value = status === 404 ? null : body;
    history.push({
      client: `final read at ${node.name}`,
      request: { kind: "get" },
      answer: { kind: "value", value },
      calledAt,
      answeredAt: performance.now(),
    });
  }
}

/** Keys written once: each acknowledged one is there, each certainly refused one is not. */
async function checkOnce(node: RealNode, notes: Notes): Promise<string[]> {
  const found = new Map<string, string>();
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page = JSON.parse((await read(node, `/v1/kv?prefix=once/&limit=1000${query}`)).body) as {
      entries: { key: string; text?: string; base64?: string }[];
      cursor: string | null;
    };
    for (const entry of page.entries) found.set(entry.key, textOf(entry));
    cursor = page.cursor;
  } while (cursor !== null);
  const faults: string[] = [];
  for (const [key, value] of notes.onceAcknowledged) {
    if (found.get(key) !== value) faults.push(`${node.name} has ${JSON.stringify(found.get(key))} at ${key}: acknowledged was "${value}"`);
  }
  for (const key of found.keys()) {
    if (notes.onceDenied.has(key)) faults.push(`${node.name} has ${key}, of which it was said that it had not been written`);
    else if (!notes.onceAcknowledged.has(key) && !notes.onceUnknown.has(key)) faults.push(`${node.name} has ${key}, which nobody wrote`);
  }
  return faults;
}

/** Offsets are dense, acknowledged records are at their offsets, nothing is there twice, and all nodes have the same. */
async function checkLog(nodes: readonly RealNode[], notes: Notes): Promise<string[]> {
  const faults: string[] = [];
  let first: readonly string[] | null = null;
  for (const node of nodes) {
    const records = await readLog(node, faults);
    for (const [offset, text] of notes.appended) {
      if (records[offset] !== text) faults.push(`${node.name} has "${records[offset]}" at offset ${offset}: acknowledged was "${text}"`);
    }
    const acknowledged = new Set(notes.appended.values());
    const seen = new Set<string>();
    for (const text of records) {
      if (seen.has(text)) faults.push(`${node.name} has "${text}" twice in the log`);
      seen.add(text);
      if (!acknowledged.has(text) && !notes.appendsUnknown.has(text)) faults.push(`${node.name} has "${text}", which nobody appended`);
    }
    if (first !== null && records.join("\n") !== first.join("\n")) faults.push(`${node.name} and ${nodes[0]!.name} have different logs`);
    first ??= records;
  }
  return faults;
}

async function readLog(node: RealNode, faults: string[]): Promise<string[]> {
  const records: string[] = [];
  for (;;) {
    const page = JSON.parse((await read(node, `/v1/logs/${logName}/records?from=${records.length}&limit=1000&clamp=1`)).body) as {
      /** Not with a 404. */
      records?: { offset: number; text?: string; base64?: string }[];
      tail: number;
    };
    if (page.records === undefined) throw new Error(`Cannot read the log at ${node.name}: it says there is none`);
    for (const record of page.records) {
      if (record.offset !== records.length) faults.push(`${node.name} has offset ${record.offset} after ${records.length - 1}`);
      records.push(textOf(record));
    }
    if (records.length >= page.tail) return records;
    if (page.records.length === 0) {
      faults.push(`${node.name} ends at ${records.length}, its tail is ${page.tail}`);
      return records;
    }
  }
}

function textOf(item: { text?: string; base64?: string }): string {
  return item.text ?? atob(item.base64 ?? "");
}

/** The cluster is whole again, but may still be settling: try for some seconds. */
async function read(node: RealNode, path: string): Promise<{ status: number; body: string }> {
  let reason = "";
  for (let attempt = 0; attempt < 20; attempt++) {
    const reply = await request(node.url + path);
    if (reply.kind === "answer") {
      if (reply.status === 200 || reply.status === 404) return reply;
      throw new Error(`Cannot read ${path} at ${node.name}: ${reply.status} ${reply.body}`);
    }
    reason = reply.reason;
    await Bun.sleep(250);
  }
  throw new Error(`Cannot read ${path} at ${node.name}: ${reason}`);
}
