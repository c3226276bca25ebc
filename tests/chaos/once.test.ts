/** Real nodes killed under writers that ask again until they are answered: every write is made exactly once. */
import { expect, test } from "bun:test";
import { type Carillon, CarillonError, open, type WriteOptions, type WriteResult } from "../../mod.ts";
import { RealCluster } from "../harness/real_cluster.ts";

const writers = 6;

interface Notes {
  /** Offset of each record, as it was acknowledged. */
  readonly appended: Map<string, number>;
  /** Position of each message, likewise. */
  readonly sent: Map<string, string>;
  /** What each writer's counter must be by now. */
  readonly counters: number[];
  /** Answers that were told again: the first one had been lost. */
  replayed: number;
  /** Calls that ended without an outcome, and were made again. */
  doubts: number;
}

/** The same write, under the same key, until its outcome is known. */
async function surely<T extends { readonly replayed?: true }>(notes: Notes, write: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const result = await write();
      if (result.replayed) notes.replayed++;
      return result;
    } catch (error) {
      if (!(error instanceof CarillonError) || error.outcome === "applied" || error.code === "key-reused") throw error;
      notes.doubts++;
      await Bun.sleep(20);
    }
  }
}

/**
 * Appends records, sends messages and counts a counter up by compare-and-set, each step once; with short time-outs, so that many are in
 * doubt.
 */
async function writer(number: number, client: Carillon, notes: Notes, stopped: () => boolean): Promise<void> {
  let version: string | null = null;
  notes.counters[number] = 0;
  for (let n = 0; !stopped(); n++) {
    const text = `${number}/${n}`;
    const options = { timeoutMs: 150, idempotencyKey: `append ${text}` };
    const appended = await surely(notes, () => client.log("once").append(text, options));
    if (!appended.ok) throw new Error("Cannot go on: an append without a condition was refused");
    notes.appended.set(text, appended.first);
    const message = { timeoutMs: 150, idempotencyKey: `send ${text}` };
    notes.sent.set(text, (await surely(notes, () => client.multicast(["main"], text, message))).position);
    const condition: WriteOptions = { timeoutMs: 150, ifVersion: version, idempotencyKey: `count ${text}` };
    const counted: WriteResult = await surely(notes, () => client.kv.put(`counter/${number}`, `${n + 1}`, condition));
    // Nobody else writes this key: a compare-and-set can be lost only against a first try of itself.
    if (!counted.ok) throw new Error(`Cannot go on: step ${n} of counter ${number} lost against ${counted.current?.text()}`);
    version = counted.version;
    notes.counters[number] = n + 1;
    await Bun.sleep(2);
  }
}

test("kill -9 of one node after the other, coordinator first, under writers that ask again: every write exactly once", async () => {
  await using cluster = await RealCluster.start();
  const urls = cluster.nodes.map(({ url }) => url);
  const notes: Notes = { appended: new Map(), sent: new Map(), counters: [], replayed: 0, doubts: 0 };
  // Listens from the first message to the last, wherever there is a node that it can ask.
  await using listener = await open(urls);
  const heard: (readonly [string, string])[] = [];
  const listening = (async () => {
    for await (const event of listener.deliveries(["main"], { after: "start" })) {
      if (event.kind === "message") heard.push([event.text(), event.position]);
      if (heard.at(-1)?.[0] === "end") return;
    }
  })();
  const clients = await Promise.all(Array.from({ length: writers }, (_, n) => open([...urls.slice(n % 3), ...urls.slice(0, n % 3)])));
  await clients[0]!.log("once").create();
  let stopping = false;
  let fault: unknown = null;
  const running = clients.map((client, n) =>
    writer(n, client, notes, () => stopping || fault !== null).catch((error) => {
      fault ??= error;
    })
  );
  const more = async (count: number): Promise<void> => {
    const goal = notes.appended.size + count;
    for (const until = performance.now() + 20_000; notes.appended.size < goal && fault === null; await Bun.sleep(10)) {
      if (performance.now() > until) {
        throw new Error(`Cannot go on: ${goal - notes.appended.size} of ${count} appends are missing after 20 s`);
      }
    }
  };
  await more(50);
  const coordinator = await cluster.coordinator();
  for (const victim of [coordinator, ...cluster.nodes.filter((node) => node !== coordinator)]) {
    await victim.kill();
    await more(60);
    victim.start();
    await victim.ready();
    await more(30);
  }
  stopping = true;
  await Promise.all(running);
  if (fault !== null) throw fault;

  // Each of them once more, behind everything else: nobody may hear it.
  for (const [text, position] of notes.sent) {
    expect(await clients[0]!.multicast(["main"], text, { idempotencyKey: `send ${text}` })).toEqual({ position, replayed: true });
  }
  await clients[0]!.multicast(["main"], "end");
  await listening;
  const inOrder = [...notes.sent].toSorted(([, a], [, b]) => a < b ? -1 : 1);
  expect(heard.slice(0, -1)).toEqual(inOrder);

  console.log(
    `${notes.appended.size} appends, messages and as many counts; ${notes.replayed} answers told again, ${notes.doubts} calls in doubt`,
  );
  for (const url of urls) {
    await using client = await open(url);
    const texts: string[] = [];
    for (let from = 0, tail = 1; from < tail;) {
      const page = await client.log("once").read({ from });
      texts.push(...page.records.map((record) => record.text()));
      [from, tail] = [page.next, page.tail];
    }
    expect(texts.length).toBe(notes.appended.size);
    for (const [text, offset] of notes.appended) expect(texts[offset]).toBe(text);
    for (const [number, count] of notes.counters.entries()) {
      expect((await client.kv.get(`counter/${number}`))?.text()).toBe(`${count}`);
    }
    // The outcomes outlive their nodes: asked for by nobody's word but the key, at each of them.
    const [text, offset] = [...notes.appended][0]!;
    expect(await client.log("once").append(text, { idempotencyKey: `append ${text}` })).toMatchObject({ first: offset, replayed: true });
    const again: string[] = [];
    for await (const event of client.deliveries(["main"], { after: "start" })) {
      if (event.kind === "message") again.push(event.text());
      if (event.kind === "caught-up") break;
    }
    expect(again).toEqual([...inOrder.map(([text]) => text), "end"]);
  }
  for (const client of clients) await client.close();
}, 120_000);
