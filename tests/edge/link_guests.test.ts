/** Who gets in over HTTP/2, who does not, what a stranger on the way sees and can do, and how keys are replaced. */
import { describe, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { runtime } from "#runtime";
import { messageVersion } from "../../edge/codec/message.ts";
import { type Caller, headerNames } from "../../edge/link/call.ts";
import { FrameWriter } from "../../edge/link/frames.ts";
import { type Identity, keyText, Roster } from "../../edge/link/identity.ts";
import type { Sealer } from "../../edge/link/records.ts";
import { streamPath } from "../../edge/link/server.ts";
import type { OutgoingStream } from "../../edge/runtime.ts";
import { testKey } from "../harness/identity.ts";
import { ask, closing, type Ear, joinUp, node, paced, prepare, propose, release, until } from "./link_kit.ts";

const key = (number: number) => testKey(runtime.cryptography, number);
const listing = (...numbers: readonly (readonly number[])[]): Map<number, Uint8Array[]> =>
  new Map(numbers.map((keys, index) => [index + 1, keys.map((number) => key(number).publicKey)]));
/** Node `self`, holding some keys and believing in some listing. */
const identity = (self: number, keys = [self], listed = listing([1], [2], [3])): Identity => ({
  self,
  cluster: "tests",
  roster: new Roster(listed),
  keys: keys.map(key),
});

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
}

async function answerOf(pending: Promise<Response>): Promise<Answer> {
  const response = await pending;
  if (response.status === 200) {
    await response.body?.cancel();
    return { status: 200, code: "", detail: "" };
  }
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const { status, code, detail } = await response.json() as Answer;
  expect(status).toBe(response.status);
  return { status, code, detail };
}

const post = (ear: Ear, headers: Readonly<Record<string, string>>): Promise<Answer> =>
  answerOf(fetch(`http://${ear.link.address}${streamPath}`, { method: "POST", headers, body: "x" }));

/** A stream made by hand, that says what it is told to say. */
interface Handmade {
  readonly stream: OutgoingStream;
  readonly sealer: Sealer;
  closed: string;
}

async function handmade(caller: Caller, headers: Readonly<Record<string, string>>): Promise<Handmade> {
  let sealer: Sealer | null = null;
  let open = false;
  const made = { closed: "" };
  const stream = runtime.openStream(caller.url, headers, {
    onAnswer: (status, header) => sealer = status === 200 ? caller.accept(header) : null,
    onOpen: () => open = true,
    onDrain: () => {},
    onClose: (reason) => made.closed = reason,
  });
  closing(() => Promise.resolve(stream.close()));
  await until("it is open", () => open);
  return Object.assign(made, { stream, sealer: sealer! });
}

/** Everything that passes between a caller and `address`, and a way to send the callers' half once more. */
async function tapped(address: string): Promise<{ readonly address: string; readonly up: Buffer[][]; readonly down: Buffer[] }> {
  const [host, port] = address.split(":");
  const up: Buffer[][] = [];
  const down: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), host!);
    const mine: Buffer[] = [];
    up.push(mine);
    for (const [from, to, record] of [[near, far, mine], [far, near, down]] as const) {
      sockets.add(from);
      from.on("data", (chunk) => {
        record.push(chunk);
        to.write(chunk);
      });
      from.on("error", () => {});
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { address: `127.0.0.1:${(server.address() as { port: number }).port}`, up, down };
}

function replay(address: string, bytes: Buffer): Promise<Buffer> {
  const [host, port] = address.split(":");
  return new Promise((resolve) => {
    const answer: Buffer[] = [];
    const socket = connect(Number(port), host!, () => socket.write(bytes));
    socket.on("data", (chunk) => answer.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(answer)));
    closing(() => Promise.resolve(void socket.destroy()));
    setTimeout(() => socket.destroy(), 100);
  });
}

describe("who gets in", () => {
  test("the nodes that the cluster lists, under their keys, and nobody else", async () => {
    const a = await node(1);
    const stranger = { status: 403, code: "forbidden", detail: "this node does not let you in" };
    const notKnown = (claimed: number, held: number) =>
      `Cannot let in who says to be node ${claimed}: its key ${keyText(key(held).publicKey)} is not listed for it`;
    const notMeant = "Cannot let in who says to be node 2: it means another node, a key we do not have, or another cluster";
    const cases: readonly (readonly [string, Identity, { to?: number; lane?: number }, Answer, string | null])[] = [
      ["a member", identity(2), {}, { status: 200, code: "", detail: "" }, null],
      ["somebody with a key of their own", identity(2, [9]), {}, stranger, notKnown(2, 9)],
      ["a member that says it is another", identity(3, [2]), {}, stranger, notKnown(3, 2)],
      ["a node that is not in the cluster", identity(4, [9]), {}, stranger, notKnown(4, 9)],
      ["one that says it is ourselves", identity(1, [2]), {}, stranger, notKnown(1, 2)],
      ["a member of another cluster", { ...identity(2), cluster: "other" }, {}, stranger, notMeant],
      ["one that looks for node 3", identity(2), { to: 3 }, stranger, notMeant],
      ["one that has another key for us", identity(2, [2], listing([9], [2], [3])), {}, stranger, notMeant],
      ["one that wants a lane there is not", identity(2), { lane: 99 }, {
        status: 403,
        code: "forbidden",
        detail: "there is no group for lane 99",
      }, "Cannot let in who says to be node 2: there is no group for lane 99"],
    ];
    for (const [who, as, call, answer, notice] of cases) {
      const { headers } = await prepare(as, a, call);
      const told = new Set(a.notices);
      expect([who, await post(a, headers)]).toEqual([who, answer]);
      if (notice !== null) await until(`it is said: ${notice}`, () => a.notices.includes(notice) || told.has(notice));
    }
    expect(a.link.counts().handshakesRefused).toBe(cases.length - 1);
    expect(a.heard).toEqual([]);
    expect(new Set(a.notices).size).toBe(a.notices.length);
  });

  test("what a handshake says is bound to the lane and the sender it is for, and to its nonce", async () => {
    const a = await node(1);
    const { headers } = await prepare(identity(2), a);
    const { headers: later } = await prepare(identity(2), a);
    for (
      const altered of [
        { ...headers, [headerNames.lane]: "2" },
        { ...headers, [headerNames.from]: "3" },
        { ...headers, [headerNames.nonce]: later[headerNames.nonce]! },
        { ...headers, [headerNames.handshake]: headers[headerNames.handshake]!.slice(0, -1) + "!" },
        { ...headers, [headerNames.handshake]: "A".repeat(128) },
        { ...headers, [headerNames.handshake]: "A".repeat(4_000) },
      ]
    ) expect((await post(a, altered)).status).toBe(403);
    expect((await post(a, { ...headers, [headerNames.lane]: "x" })).status).toBe(400);
    expect((await post(a, headers)).status).toBe(200);
    expect(await post(a, headers)).toEqual({ status: 401, code: "unauthenticated", detail: "the nonce is spent, too old or not ours" });
  });

  test("both sides of a refusal say so, once, and the caller keeps trying", async () => {
    const [a, b] = [await node(1, { identity: identity(1, [9]) }), await node(2)];
    a.link.open(2, b.link.address);
    await until("both have said it", () => a.notices.length > 0 && b.notices.length > 0);
    await until("it tries again", () => b.link.counts().handshakesRefused > 3);
    expect(a.notices).toEqual([
      `Cannot reach node b at ${b.link.address}: the peer answered 403 (our key is not listed there, or its key here; or it is of another cluster)`,
    ]);
    expect(b.notices).toEqual([`Cannot let in who says to be node 1: its key ${keyText(key(9).publicKey)} is not listed for it`]);
    expect([a.unreachable, b.heard]).toEqual([[], []]);
  });

  test("whoever answers in a node's place, without its key, gets nothing", async () => {
    let came = 0;
    let bytes = 0;
    const server = await runtime.serveHttp({ host: "127.0.0.1", port: 0 }, async (request) => {
      came++;
      if (came === 1) return new Response("", { status: 401, headers: { [headerNames.nonce]: "n" } });
      const [reader, first] = [request.body!.getReader(), new Uint8Array(1)];
      const answer = new ReadableStream({ start: (controller) => controller.enqueue(first) });
      reader.read().then(({ value }) => bytes += value?.byteLength ?? 0, () => {});
      const message = { [headerNames.handshake]: request.headers.get(headerNames.handshake) ?? "" };
      return await Promise.resolve(new Response(answer, { headers: message }));
    });
    closing(() => server.close());
    const a = await node(1);
    a.link.open(2, `127.0.0.1:${server.port}`);
    a.link.send({ to: [2], message: release });
    await until("it has tried some times", () => came >= 4);
    expect([bytes, a.link.stats()[0]!.connectedSince, a.link.stats()[0]!.sent]).toEqual([0, null, 0]);
  });

  test("a flood of handshakes that lead nowhere is cut off, and disturbs nobody who is in", async () => {
    // So slow a clock that nothing is allowed anew meanwhile, however long it takes.
    const [a, b] = [await node(1, { runtime: paced(0.01) }), await node(2)];
    joinUp(a, b);
    await until("they are connected", () => a.link.stats()[0]!.connectedSince !== null && b.link.stats()[0]!.connectedSince !== null);
    const { headers } = await prepare(identity(2, [9]), a);
    const statuses = new Map<number, number>();
    for (let round = 0; round < 30; round++) {
      for (const { status } of await Promise.all(Array.from({ length: 50 }, () => post(a, headers)))) {
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    }
    expect([...statuses.keys()].sort()).toEqual([403, 429]);
    b.link.send({ to: [1], message: release });
    await until("it has come", () => a.heard.length === 1);
    expect(b.link.stats()[0]!.reconnects).toBe(0);
  });

  test("a member that sends nonsense loses its stream, not the node", async () => {
    const [a, b] = [await node(1), await node(2)];
    joinUp(a, b);
    b.link.send({ to: [1], message: release });
    await until("it has come", () => a.heard.length === 1);
    const sealed = (bytes: Uint8Array) => ({ sealer }: Handmade) => sealer.seal(bytes);
    for (
      const [record, sentence] of [
        [sealed(Uint8Array.of(5, 0, 0, 0, messageVersion, 99, 0, 0, 0)), "99 is no kind of message"],
        [sealed(Uint8Array.of(0xff, 0xff, 0xff, 0xff)), "a frame claims 4294967295 bytes"],
        [
          sealed(new FrameWriter().write(release).map((byte, index) => index === 4 ? 77 : byte)),
          `the message has version 77 and this node speaks ${messageVersion}`,
        ],
        [() => new FrameWriter().write(release), "a record was not sealed by the peer, or not as the next one"],
        [() => Uint8Array.of(0xff, 0xff, 0xff, 0xff), "a frame claims 4294967295 bytes"],
      ] as const
    ) {
      const { caller, headers } = await prepare(identity(3), a);
      const made = await handmade(caller, headers);
      made.stream.write(record(made));
      await until("the stream is ended", () => made.closed !== "");
      await until("it is said", () => a.notices.includes(`Cannot read the link stream of node 3: Cannot decode: ${sentence}`));
    }
    b.link.send({ to: [1], message: release });
    await until("the others go on", () => a.heard.length === 2);
  });
});

describe("somebody on the way", () => {
  const canary = new TextEncoder().encode("a canary that must not be heard");
  const withCanary = (sequence: number) => ({
    ...propose(sequence, 0),
    batches: [{ origin: 1, sequence, count: 1, bytes: canary }],
  } as ReturnType<typeof propose>);

  test("sees no byte of a message", async () => {
    const [a, b] = [await node(1), await node(2)];
    const tap = await tapped(a.link.address);
    b.link.open(1, tap.address);
    for (let sequence = 1; sequence <= 50; sequence++) b.link.send({ to: [1], message: withCanary(sequence) });
    await until("all have come", () => a.heard.length === 50);
    const seen = Buffer.concat([...tap.up.flat(), ...tap.down]);
    expect(seen.byteLength).toBeGreaterThan(50 * canary.byteLength);
    // Two bytes of it would be chance; eight are not.
    for (let at = 0; at + 8 <= canary.byteLength; at++) expect(seen.includes(Buffer.from(canary.subarray(at, at + 8)))).toBe(false);
    const [held] = b.identity.keys;
    for (const secret of [held!.privateKey, held!.publicKey]) expect(seen.includes(Buffer.from(secret))).toBe(false);
  });

  test("can play everything again, and nothing happens: nothing is heard twice, no stream ends", async () => {
    const [a, b] = [await node(1), await node(2)];
    const tap = await tapped(a.link.address);
    b.link.open(1, tap.address);
    for (let request = 0; request < 10; request++) b.link.send({ to: [1], message: ask(request) });
    await until("all have come", () => a.heard.length === 10);
    const before = a.link.counts().handshakes;
    expect(before).toBe(1);
    // The connection that asked for a nonce, and the one that had the handshake and the messages.
    const recorded = tap.up.map((chunks) => Buffer.concat(chunks));
    expect(recorded.length).toBe(2);
    for (const bytes of [...recorded, ...recorded]) {
      const answer = await replay(a.link.address, bytes);
      expect(answer.byteLength).toBeGreaterThan(0);
    }
    b.link.send({ to: [1], message: release });
    await until("the running stream goes on", () => a.heard.length === 11);
    expect(b.link.stats()[0]!.reconnects).toBe(0);
    expect(a.link.counts().handshakes).toBe(before);

    // Nor at a node that remembers nothing.
    const [host, port] = a.link.address.split(":");
    await a.link.close();
    const again = await node(1, { listen: { host: host!, port: Number(port) } });
    for (const bytes of recorded) await replay(again.link.address, bytes);
    expect(again.heard).toEqual([]);
  });

  test("can keep a request back and send it later: it takes nobody's place without a record, and is forgotten", async () => {
    // Twenty times as fast, so that it gives up waiting after a quarter of a second.
    const [a, b] = [await node(1, { runtime: paced(20) }), await node(2)];
    joinUp(a, b);
    b.link.send({ to: [1], message: release });
    await until("it has come", () => a.heard.length === 1);
    const chatter = setInterval(() => b.link.send({ to: [1], message: release }), 5);
    closing(() => Promise.resolve(clearInterval(chatter)));
    const kept = await prepare(identity(2), a);
    const silent = await handmade(kept.caller, kept.headers);
    await until("it is ended", () => silent.closed !== "");
    const garbled = await prepare(identity(2), a);
    const talking = await handmade(garbled.caller, garbled.headers);
    talking.stream.write(new Uint8Array(64).fill(20));
    await until("it is ended", () => talking.closed !== "");
    const heard = a.heard.length;
    await until("the running stream goes on", () => a.heard.length > heard + 5);
    expect(b.link.stats()[0]!.reconnects).toBe(0);

    // With a record it is the peer itself, which has begun anew.
    const { caller, headers } = await prepare(identity(2), a);
    const renewed = await handmade(caller, headers);
    renewed.stream.write(renewed.sealer.seal(new Uint8Array(0)));
    await until("the older one is ended", () => b.link.stats()[0]!.reconnects > 0);
  });
});

describe("when keys change", () => {
  class CountedRoster extends Roster {
    listeners = 0;
    override onChange(listener: () => void): () => void {
      this.listeners++;
      const stop = super.onChange(listener);
      return () => {
        this.listeners--;
        return stop();
      };
    }
  }

  const both = async (first: Identity, second: Identity): Promise<readonly [Ear, Ear]> => {
    const [a, b] = [await node(1, { identity: first }), await node(2, { identity: second })];
    joinUp(a, b);
    await connected(a, b);
    return [a, b];
  };
  const connected = (...ears: readonly Ear[]): Promise<void> =>
    until("they are connected", () => ears.every(({ link }) => link.stats()[0]!.connectedSince !== null));

  test("streams of a node that is not listed any more end at once, both ways, and it is let in when it is listed again", async () => {
    const [a, b] = await both(identity(1), identity(2));
    a.identity.roster.replace(listing([1], [], [3]));
    await until(
      "both ways are lost",
      () => a.link.stats()[0]!.connectedSince === null && b.link.stats()[0]!.connectedSince === null,
      3_000,
    );
    await until("it is refused", () => b.notices.some((notice) => notice.includes("the peer answered 403")));
    b.link.send({ to: [1], message: release });
    await until("nothing is sent", () => b.link.stats()[0]!.dropped === 1);
    expect(a.heard).toEqual([]);
    a.identity.roster.replace(listing([1], [2], [3]));
    await connected(a, b);
    b.link.send({ to: [1], message: release });
    await until("it has come", () => a.heard.length === 1);
  });

  test("a node whose own key is replaced in the listing goes over to the new one by itself", async () => {
    const roster = listing([1], [2], [3]);
    const [a, b] = await both(identity(1, [1], roster), identity(2, [2, 12]));
    b.identity.roster.replace(listing([1], [12], [3]));
    await until("it is refused where the new key is not known yet", () => a.link.counts().handshakesRefused > 0);
    a.identity.roster.replace(listing([1], [12], [3]));
    await connected(a, b);
    expect(a.link.stats()[0]!.reconnects).toBeGreaterThan(0);
  });

  test("adding a key ends nothing, and any pair of listed keys will do while nodes learn of it one by one", async () => {
    const [a, b] = await both(identity(1), identity(2, [2, 12]));
    for (const each of [a, b]) each.identity.roster.replace(listing([1], [2, 12], [3]));
    b.link.send({ to: [1], message: release });
    await until("it has come", () => a.heard.length === 1);
    expect([a, b].map(({ link }) => link.stats()[0]!.reconnects)).toEqual([0, 0]);
    // One lists the new key only, the other both, the old one first: the old one is refused, the new one tried.
    a.identity.roster.replace(listing([1], [12], [3]));
    await until("the old key's stream is ended", () => b.link.stats()[0]!.reconnects > 0);
    await connected(a, b);
    b.link.send({ to: [1], message: release });
    await until("it has come", () => a.heard.length === 2);
  });

  test("of several keys listed for a peer, the one it has is found", async () => {
    const [a] = await both(identity(1, [1], listing([1], [22, 23, 2], [3])), identity(2));
    expect(a.link.stats()[0]!.connectedSince).not.toBe(null);
  });

  test("a link that is closed has nothing more to do with them", async () => {
    const roster = new CountedRoster(listing([1], [2], [3]));
    const a = await node(1, { identity: { ...identity(1), roster } });
    expect(roster.listeners).toBe(1);
    await a.link.close();
    expect(roster.listeners).toBe(0);
  });
});
