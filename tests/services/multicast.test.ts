/** Multicast and its streams: who hears what in which order, resuming, slow listeners, stalls and endings. */
import { afterEach, expect, test } from "bun:test";
import { commandPosition, formatPosition } from "../../core/position.ts";
import type { Rule } from "../../core/rules.ts";
import type { DeliveryEvent } from "../../services/api.ts";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { eachDelivered } from "../../services/command.ts";
import { createServices } from "../../services/services.ts";
import { failure } from "../harness/failure.ts";
import { settled } from "../harness/sequencer.ts";
import { type ServicesCluster, servicesCluster, twoGroups } from "../harness/services_cluster.ts";

const open: ServicesCluster[] = [];
afterEach(async () => {
  for (const { services } of open.splice(0)) for (const each of services) await each.close();
});

function cluster(...args: Parameters<typeof servicesCluster>): ServicesCluster {
  const made = servicesCluster(...args);
  open.push(made);
  return made;
}

function shown(event: DeliveryEvent): string {
  return event.kind === "message" ? `${event.text()}@${event.groups.join("+")}` : event.kind;
}

/** Reads up to the `caught-up`, or so many events. */
async function take(events: AsyncIterable<DeliveryEvent>, count = Infinity): Promise<DeliveryEvent[]> {
  const seen: DeliveryEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (seen.length === count || event.kind === "caught-up" && count === Infinity) break;
  }
  return seen;
}

test("every listener hears what was sent to its groups, in one order", async () => {
  const { services: [a, b] } = cluster({ topology: twoGroups, seed: 7 });
  const sent = await Promise.all(
    Array.from({ length: 60 }, (_, index) => {
      const groups = [["eu"], ["us"], ["eu", "us"], ["world"]][index % 4]!;
      return (index % 3 ? a! : b!).multicast(groups, `${index}`).then(({ position }) => ({ index, groups, position }));
    }),
  );
  const ordered = sent.sort((x, y) => x.position < y.position ? -1 : 1);
  const heard = async (groups: string[]) => {
    const [atA, atB] = await Promise.all([a!, b!].map((node) => take(node.deliveries(groups, { after: "start" }))));
    expect(atA!.map(shown)).toEqual(atB!.map(shown));
    return atA!.slice(0, -1).map((event) => event.kind === "message" ? [event.text(), event.position] : event.kind);
  };
  const expected = (...names: string[]) =>
    ordered.filter(({ groups }) => groups.some((name) => names.includes(name))).map(({ index, position }) => [`${index}`, position]);
  // What goes through the spanning group by its own name reaches everybody it spans.
  expect(await heard(["eu"])).toEqual(expected("eu", "world"));
  expect(await heard(["us"])).toEqual(expected("us", "world"));
  expect(await heard(["world"])).toEqual(expected("world"));
  expect(await heard(["eu", "us"])).toEqual(expected("eu", "us", "world"));
});

test("a message keeps its type and bytes, and says which groups it was for", async () => {
  const { services: [a] } = cluster({ nodes: 1, topology: twoGroups });
  const { position } = await a!.multicast(["us", "eu", "us"], { bytes: new Uint8Array([1, 2]), type: "image/png" });
  const [event] = await take(a!.deliveries(["us"], { after: "start" }));
  if (event?.kind !== "message") throw new Error("Cannot go on: no message");
  expect([event.position, event.groups, event.type, event.bytes()]).toEqual([position, ["us", "eu"], "image/png", new Uint8Array([1, 2])]);
});

test("a message with a key is heard once, in its first place, by everybody who listens, wherever they begin", async () => {
  const { services: [a, b], sequencer } = cluster({ topology: twoGroups, seed: 5 });
  const waiting = take(b!.deliveries(["eu", "us"]), 22);
  const sent: { readonly groups: string[]; readonly text: string; readonly position: string }[] = [];
  for (let n = 0; n < 20; n++) {
    const [groups, text] = [[["eu"], ["us"], ["eu", "us"]][n % 3]!, `${n}`];
    const call = (at: typeof a) => at!.multicast(groups, text, { idempotencyKey: text });
    const [one, other] = n % 2 ? await Promise.all([call(a), call(b)]) : [await call(b), await call(a)];
    expect([one.replayed, other.replayed].toSorted()).toEqual([true, undefined]);
    expect(one.position).toBe(other.position);
    sent.push({ groups, text, position: one.position });
  }
  // Asked for once more when others have come behind them, and another message under a key that was used.
  for (const { groups, text, position } of sent) {
    expect(await a!.multicast(groups, text, { idempotencyKey: text })).toEqual({ position, replayed: true });
    expect((await failure(b!.multicast(groups, "another", { idempotencyKey: text }))).code).toBe("key-reused");
  }
  await a!.multicast(["eu", "us"], "end");
  const { position: end } = await b!.multicast(["eu", "us"], "end");
  const texts = (events: readonly DeliveryEvent[]) => events.flatMap((event) => event.kind === "message" ? [event.text()] : []);
  const order = sent.toSorted((x, y) => x.position < y.position ? -1 : 1);
  const expected = (groups: string[], after: string) => [
    ...order.filter((one) => one.position > after && one.groups.some((name) => groups.includes(name))).map(({ text }) => text),
    ...["end", "end"].slice(after >= end ? 2 : 0),
  ];
  for (const groups of [["eu"], ["us"], ["eu", "us"]]) {
    for (const at of [a!, b!]) {
      expect(texts(await take(at.deliveries(groups, { after: "start" })))).toEqual(expected(groups, ""));
      for (const { position } of order) {
        expect(texts(await take(at.deliveries(groups, { after: position })))).toEqual(expected(groups, position));
      }
    }
  }
  // Also behind a repetition, which is a place in the order like any other.
  const last = sequencer.ordered.at(-3)!;
  const behind = formatPosition(commandPosition(sequencer.topology.order, last.group, last.entry, 0));
  expect(texts(await take(a!.deliveries(["eu", "us"], { after: behind })))).toEqual(["end", "end"]);
  expect(texts(await waiting).slice(0, 20)).toEqual(order.map(({ text }) => text));
});

test("a listener that is ahead of its node's own replica waits with what has a key until that one can tell", async () => {
  const { services: [a], sequencer, timers } = cluster({ topology: twoGroups });
  for (let n = 0; n < 2; n++) await a!.multicast(["eu"], "once", { idempotencyKey: "1" });
  await a!.multicast(["eu"], "last");
  // A new life whose replicas have not begun to hear anything.
  const restarted = createServices(sequencer.node(1, 2), { after: timers.after, encodeCbor, decodeCbor, held: true });
  const events = restarted.deliveries(["eu"], { after: "start" })[Symbol.asyncIterator]();
  let first: string | null = null;
  const next = events.next().then(({ value }) => first = shown(value!));
  await settled();
  expect(first).toBe(null);
  restarted.start();
  await next;
  expect([first, shown((await events.next()).value!), shown((await events.next()).value!)]).toEqual(["once@eu", "last@eu", "caught-up"]);
  await restarted.close();
});

test("where it has been forgotten which messages came again, a stream says so instead of telling one twice", async () => {
  const { sequencer, timers } = cluster({ nodes: 1 });
  const without = new Set<Rule>(["session-long"]);
  // One is remembered, not a hundred thousand.
  const forgetful = createServices(sequencer.node(1, 2), { after: timers.after, encodeCbor, decodeCbor, without });
  const send = () => forgetful.multicast(["main"], "once", { idempotencyKey: "1" });
  const { position } = await send();
  await send();
  expect(await take(forgetful.deliveries(["main"], { after: "start" }))).toMatchObject([{ kind: "message", position }, {
    kind: "caught-up",
  }]);
  await send();
  await forgetful.multicast(["main"], "without a key");
  const error = await failure(take(forgetful.deliveries(["main"], { after: "start" })));
  expect(error).toMatchObject({ code: "compacted", message: expect.stringContaining("came again has been forgotten") });
  const { oldest } = error.facts as { readonly oldest: string };
  expect(oldest > position).toBe(true);
  expect((await take(forgetful.deliveries(["main"], { after: oldest }))).map(shown)).toEqual(["without a key@main", "caught-up"]);
  await forgetful.close();
});

test("a stream resumes behind any position and misses nothing", async () => {
  const { services: [a], sequencer } = cluster({ nodes: 1, topology: twoGroups });
  for (let n = 0; n < 30; n++) await a!.multicast([n % 2 ? "eu" : "us"], `${n}`);
  const all = await take(a!.deliveries(["eu", "us"], { after: "start" }));
  for (const { group, entry } of sequencer.ordered) {
    const after = formatPosition(commandPosition(sequencer.topology.order, group, entry, 0));
    const rest = await take(a!.deliveries(["eu", "us"], { after }));
    expect(rest.map(shown)).toEqual(
      all.filter(({ kind, ...event }) => kind === "caught-up" || (event as { position: string }).position > after).map(shown),
    );
  }
});

test("from now on means not what was ordered before, and where it caught up is where to resume", async () => {
  const { services: [a, b] } = cluster();
  await a!.multicast(["main"], "before");
  const events = a!.deliveries(["main"])[Symbol.asyncIterator]();
  const first = (await events.next()).value!;
  expect(first.kind).toBe("caught-up");
  await b!.multicast(["main"], "after");
  expect(shown((await events.next()).value!)).toBe("after@main");
  await events.return!();
  if (first.kind !== "caught-up") throw new Error("Cannot go on: not caught up");
  expect((await take(a!.deliveries(["main"], { after: first.position }))).map(shown)).toEqual(["after@main", "caught-up"]);
});

test("commands of other services are passed over without using up the listener's demand", async () => {
  const { services: [a] } = cluster({ nodes: 1, limits: { streamCommands: 2 } });
  await a!.multicast(["main"], "first");
  for (let n = 0; n < 50; n++) await a!.kv.put(`k${n}`, "v");
  await a!.multicast(["main"], "second");
  expect((await take(a!.deliveries(["main"], { after: "start" }))).map(shown)).toEqual(["first@main", "second@main", "caught-up"]);
});

test("a listener that does not read holds up only itself, and no more than its demand waits for it", async () => {
  const { services: [a], orderers } = cluster({ nodes: 1, limits: { streamCommands: 3 } });
  const events = a!.deliveries(["main"])[Symbol.asyncIterator]();
  for (let n = 0; n < 20; n++) await a!.multicast(["main"], `${n}`);
  expect(orderers[0]!.view().map(({ demand }) => demand)).toEqual([Infinity, 0]);
  const seen: string[] = [];
  while (seen.length < 21) seen.push(shown((await events.next()).value!));
  expect(seen.filter((event) => event !== "caught-up")).toEqual(Array.from({ length: 20 }, (_, n) => `${n}@main`));
  await events.return!();
  expect(orderers[0]!.open).toBe(1);
});

test("what waits for a listener is bounded in bytes as well, with room for whatever was asked for to be as large as any", async () => {
  const { services: [a], orderers: [orderer] } = cluster({
    nodes: 1,
    limits: { streamCommands: 1_000, streamBytes: 1_000, valueBytesMax: 300, batchBytesMax: 300 },
  });
  let come = 0;
  const subscribe = orderer!.subscribe.bind(orderer);
  orderer!.subscribe = (groups, after, demand, onDelivery, from) =>
    subscribe(groups, after, demand, (delivery) => {
      eachDelivered(delivery, orderer!.topology.order, () => void come++);
      onDelivery(delivery);
    }, from);
  const events = a!.deliveries(["main"])[Symbol.asyncIterator]();
  const sizes = async (count: number) => {
    const read: number[] = [];
    while (read.length < count) {
      const event = (await events.next()).value!;
      if (event.kind === "message") read.push(event.bytes().byteLength);
    }
    await settled();
    return read;
  };
  const large = Array.from({ length: 20 }, () => 300);
  for (const size of large) await a!.multicast(["main"], "x".repeat(size));
  await settled();
  expect(come).toBe(3);
  expect(await sizes(1)).toEqual([300]);
  expect(come).toBe(4);
  expect(await sizes(19)).toEqual(large.slice(1));
  // Small ones may be many, until there is no room for a large one.
  for (let sent = 0; sent < 100; sent++) await a!.multicast(["main"], "x".repeat(10));
  await settled();
  expect(come).toBe(20 + 71);
  expect(await sizes(100)).toEqual(Array.from({ length: 100 }, () => 10));
  expect(orderer!.view().at(-1)!.demand).toBe(3);
  await events.return!();
});

test("a stream that waits for a silent group says so, again and again", async () => {
  const { services: [a], sequencer, timers } = cluster({ nodes: 1, topology: twoGroups });
  const events = a!.deliveries(["eu", "us"])[Symbol.asyncIterator]();
  expect((await events.next()).value!.kind).toBe("caught-up");
  const next = events.next();
  await timers.advance(5_000);
  sequencer.blocked = { group: 2, forMs: 400 };
  await timers.advance(1_100);
  sequencer.blocked = { group: 2, forMs: 1_500.4 };
  await timers.advance(1_000);
  expect((await next).value).toEqual({ kind: "stalled", group: "us", forMs: 1_500 });
  sequencer.blocked = { group: 2, forMs: 2_500 };
  const again = events.next();
  await timers.advance(1_000);
  expect((await again).value).toEqual({ kind: "stalled", group: "us", forMs: 2_500 });
  // Nobody waits for an event: nothing piles up.
  await timers.advance(60_000);
  sequencer.blocked = null;
  const message = events.next();
  await a!.multicast(["eu"], "at last");
  expect(shown((await message).value!)).toBe("at last@eu");
  await events.return!();
  expect(timers.armed).toBeLessThanOrEqual(1);
});

test("a stream ends when it is cancelled, returned or closed, also while it waits", async () => {
  const { services: [a], orderers } = cluster({ nodes: 1 });
  const abort = new AbortController();
  const [cancelled, returned, closed] = [{ signal: abort.signal }, {}, {}].map((options) =>
    a!.deliveries(["main"], options)[Symbol.asyncIterator]()
  );
  for (const stream of [cancelled, returned, closed]) expect((await stream!.next()).value!.kind).toBe("caught-up");
  const endings = [failure(cancelled!.next()), failure(closed!.next())];
  const quiet = returned!.next();
  abort.abort();
  await returned!.return!();
  await a!.close();
  expect(await quiet).toEqual({ value: undefined, done: true });
  expect((await Promise.all(endings)).map(({ code }) => code)).toEqual(["cancelled", "closed"]);
  expect([orderers[0]!.open, a!.stats().streams]).toEqual([0, 0]);
  expect(() => a!.deliveries(["main"])).toThrow("Cannot stream deliveries: this node is closed");
});

test("groups that are not there, not spanned, not learned or too many are refused", async () => {
  const groups = [{ name: "eu" }, { name: "us" }, { name: "far", learners: ["n2"] }, { name: "west", spans: ["eu"] }];
  const { services: [a], sequencer } = cluster({ topology: { groups }, limits: { groupsMax: 3, valueBytesMax: 5 } });
  const code = (make: () => unknown) => {
    try {
      make();
    } catch (error) {
      return (error as { code: string }).code;
    }
    return "fine";
  };
  const bad: string[][] = [["nope"], [], ["eu", "us", "far", "west"], "eu" as unknown as string[], ["far"]];
  const expected = ["not-found", "bad-request", "too-large", "bad-request", "unreachable"];
  expect((await Promise.all(bad.map((names) => failure(a!.multicast(names, "x"))))).map(({ code }): string => code)).toEqual(expected);
  expect(bad.map((names) => code(() => a!.deliveries(names)))).toEqual(expected);
  expect(code(() => a!.deliveries(["eu"], { after: "soon" }))).toBe("bad-position");
  expect((await failure(a!.multicast(["eu"], "123456"))).code).toBe("too-large");
  expect(await failure(a!.multicast(["eu", "us"], "x"))).toMatchObject({ code: "no-spanning-group", facts: { groups: ["eu", "us"] } });
  await settled();
  expect(sequencer.ordered.length).toBe(0);
});
