/** Who is let in under a join token, who is not, and what either costs: one node's door, knocked at by hand. */
import { beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtime } from "#runtime";
import { parseTopology } from "../../core/topology.ts";
import { OwnIdentity } from "../../edge/embedded/identity.ts";
import { OwnJoins } from "../../edge/embedded/joins.ts";
import { headerNames } from "../../edge/link/call.ts";
import { type KeyPair, keyText } from "../../edge/link/identity.ts";
import { Greeter, joinPath } from "../../edge/link/join/greeting.ts";
import type { JoinHappening } from "../../edge/link/join/joins.ts";
import { newToken, parseToken } from "../../edge/link/join/token.ts";
import { keyFileText, newKeyPair, randomBytes } from "../../edge/link/node_key.ts";
import { LinkServer } from "../../edge/link/server.ts";
import type { Disk, Runtime } from "../../edge/runtime.ts";

const { cryptography } = runtime;
const topology = parseTopology({ cluster: "tests", nodes: [{ name: "a" }, { name: "b" }, { name: "c" }, { name: "d" }] });
const pair = (): KeyPair => newKeyPair(cryptography, runtime.entropy);
const inAnHour = (): number => Date.now() + 3_600_000;
const made = (expiresAt = inAnHour()) => {
  const { token, listing } = newToken(runtime, expiresAt);
  return { listing, key: parseToken(token, "test", cryptography) };
};
const a = pair();
const [b, c] = [made(), made()];
const d = pair();

let agreements = 0;
/** The door's clock stands still, so that a slow machine changes nothing, and goes ahead by so much. */
let aheadMs = 0;
const began = runtime.clock.now();
const counting: Runtime = {
  ...runtime,
  clock: {
    ...runtime.clock,
    now: () => ({ mono: began.mono + aheadMs, wall: began.wall + aheadMs * 1_000 }),
  },
  cryptography: {
    ...cryptography,
    agree(privateKey, publicKey) {
      agreements++;
      return cryptography.agree(privateKey, publicKey);
    },
  },
};

interface House {
  readonly server: LinkServer;
  readonly identity: OwnIdentity;
  readonly told: JoinHappening[];
  readonly notices: string[];
}

/** Node a, which knows d by its key, b and c by tokens. */
async function house(listed: Record<string, string> = {}, data?: string): Promise<House> {
  const keys = { a: keyText(a.publicKey), b: b.listing.text, c: c.listing.text, d: keyText(d.publicKey), ...listed };
  const options = { keys, privateKey: keyFileText([a]), ...(data === undefined ? {} : { data }) };
  const identity = await OwnIdentity.of(options, topology, 1);
  const [told, notices]: [JoinHappening[], string[]] = [[], []];
  identity.joins.onHappening = (happening) => told.push(happening);
  const nobody = () => {
    throw new Error("no stream is opened here");
  };
  const server = new LinkServer({ runtime: counting, topology, identity }, {
    onOpen: nobody,
    onFrame: nobody,
    onNotice: (sentence) => notices.push(sentence),
  });
  return { server, identity, told, notices };
}

interface Knock {
  readonly from?: number;
  readonly as?: number;
  readonly to?: number;
  readonly cluster?: string;
  readonly token?: KeyPair;
  readonly remote?: Uint8Array;
  readonly lasting?: Uint8Array;
  readonly word?: Uint8Array | null;
}

/** b, unless it says otherwise. `as`: the number in the header, if it is not the one the greeting is bound to. */
function greeterOf(
  { from = 2, to = 1, cluster = "tests", token = b.key, remote = a.publicKey, lasting = pair().publicKey, word = null }: Knock,
): Greeter {
  return new Greeter({
    cryptography,
    greeting: { cluster, from, to },
    token,
    remote,
    lasting,
    word,
    ephemeral: randomBytes(32, runtime.entropy),
  });
}

async function say(server: LinkServer, from: number | string, said: string, body?: BodyInit): Promise<Response> {
  const headers = { [headerNames.from]: String(from), [headerNames.handshake]: said };
  return await server.fetch(new Request(`http://a${joinPath}`, { method: "POST", headers, ...(body === undefined ? {} : { body }) }));
}

const heardIn = (greeter: Greeter, answer: Response) => greeter.hear(answer.headers.get(headerNames.handshake) ?? "");

/** As a node does: again, with the word of the answer, if that is asked for. */
async function knock({ server }: Pick<House, "server">, how: Knock = {}): Promise<number> {
  const [from, lasting] = [how.as ?? how.from ?? 2, how.lasting ?? pair().publicKey];
  const greeter = greeterOf({ ...how, lasting });
  const answer = await say(server, from, greeter.said!);
  if (answer.status !== 202) return answer.status;
  return (await say(server, from, greeterOf({ ...how, lasting, word: heardIn(greeter, answer)!.word }).said!)).status;
}

beforeEach(() => {
  agreements = 0;
  aheadMs = 0;
});

test("who has the token says its key, hears ours, and is known by it; as often as it likes", async () => {
  const { server, identity, told } = await house();
  const lasting = pair().publicKey;
  const statuses: number[] = [];
  let word: Uint8Array | null = null;
  for (let time = 0; time < 4; time++) {
    const greeter = greeterOf({ lasting, word });
    const answer = await say(server, 2, greeter.said!);
    statuses.push(answer.status);
    const heard = heardIn(greeter, answer)!;
    expect(heard.key).toEqual(a.publicKey);
    // Once it is known, with or without the word.
    word = time < 2 ? heard.word : null;
    expect(identity.roster.keysOf(2)).toEqual(time === 0 ? [] : [lasting]);
  }
  expect(statuses).toEqual([202, 200, 200, 200]);
  expect(told).toEqual([{ kind: "key-learned", peer: "b", key: keyText(lasting) }]);
  // Four secrets each, and never one for nothing.
  expect(agreements).toBe(16);
});

test("a word is good for its key, its token and its node alone", async () => {
  const one = await house();
  const greeter = greeterOf({});
  const { word } = heardIn(greeter, await say(one.server, 2, greeter.said!))!;
  for (const how of [{ from: 2 }, { from: 3, token: c.key }]) {
    expect((await say(one.server, how.from, greeterOf({ ...how, word }).said!)).status).toBe(202);
  }
  expect([one.identity.roster.keysOf(2), one.identity.roster.keysOf(3)]).toEqual([[], []]);
});

test("who has stolen this node's own key, and no token, can make up a greeting and teaches nothing by it", async () => {
  const one = await house();
  const impostor = { publicKey: b.key.publicKey, privateKey: pair().privateKey };
  // What the token and this node's key make of each other can be had from either.
  const forging: typeof cryptography = {
    ...cryptography,
    agree: (privateKey, publicKey) =>
      privateKey === impostor.privateKey ? cryptography.agree(a.privateKey, b.key.publicKey) : cryptography.agree(privateKey, publicKey),
  };
  for (const word of [null, randomBytes(16, runtime.entropy)]) {
    const greeting = { cluster: "tests", from: 2, to: 1 };
    const ephemeral = randomBytes(32, runtime.entropy);
    const lasting = pair().publicKey;
    const greeter = new Greeter({ cryptography: forging, greeting, token: impostor, remote: a.publicKey, lasting, word, ephemeral });
    const answer = await say(one.server, 2, greeter.said!);
    expect(answer.status).toBe(202);
    expect(heardIn(greeter, answer)).toBe(null);
  }
  expect([one.identity.roster.keysOf(2), one.told]).toEqual([[], []]);
});

test("another key under the same token is refused, and the operator is told once, by name", async () => {
  const one = await house();
  const [first, second] = [pair(), pair()];
  expect(await knock(one, { lasting: first.publicKey })).toBe(200);
  for (let time = 0; time < 3; time++) expect(await knock(one, { lasting: second.publicKey })).toBe(409);
  expect(one.identity.roster.keysOf(2)).toEqual([first.publicKey]);
  expect(one.told.slice(1)).toEqual([
    { kind: "join-used-twice", peer: "b", key: keyText(first.publicKey), other: keyText(second.publicKey) },
  ]);
});

test("two at once with different keys: one is let in", async () => {
  const directory = mkdtempSync(join(tmpdir(), "carillon-door-"));
  try {
    // The second comes while the first is being written.
    const one = await house({}, directory);
    const statuses = await Promise.all([knock(one), knock(one)]);
    expect(statuses.sort()).toEqual([200, 409]);
    expect(one.identity.roster.keysOf(2).length).toBe(1);
    expect(one.told.map(({ kind }) => kind)).toEqual(["key-learned", "join-used-twice"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a key that is somebody else's, or a token's, is nobody's under this one", async () => {
  const one = await house();
  expect(await knock(one, { from: 3, token: c.key, lasting: pair().publicKey })).toBe(200);
  const ofC = one.identity.roster.keysOf(3)[0]!;
  for (const lasting of [a.publicKey, d.publicKey, ofC, b.key.publicKey, c.key.publicKey]) expect(await knock(one, { lasting })).toBe(409);
  expect(one.identity.roster.keysOf(2)).toEqual([]);
  expect(one.told.slice(1).map(({ kind, peer }) => [kind, peer])).toEqual([["join-refused", "b"]]);
});

describe("no key agreement is computed for", () => {
  const old = made(Date.now() - 60_000);
  test.each<[string, Knock, Record<string, string>?]>([
    ["a node that is listed by its key", { from: 4 }],
    ["a node that nobody has heard of", { from: 99 }],
    ["this node itself", { from: 1 }],
    ["who means another node", { remote: d.publicKey }],
    ["a token that is not listed", { token: made().key }],
    ["the token of another node", { token: c.key }],
    ["a token that is not listed any more", {}, { b: made().listing.text }],
    ["a token that has expired", { token: old.key }, { b: old.listing.text }],
  ])("%s", async (_, how, listed) => {
    const one = await house(listed);
    expect(await knock(one, how)).toBe(403);
    expect([agreements, one.server.refused]).toEqual([0, 1]);
  });
});

test("a token that has expired is told once, with the node's name; a key that was learned in time counts on", async () => {
  const one = await house();
  const lasting = pair().publicKey;
  expect(await knock(one, { lasting })).toBe(200);
  aheadMs = 3_700_000;
  expect(one.identity.roster.keysOf(2)).toEqual([lasting]);
  // Who was met in time may find out that it is known; nobody else gets in.
  expect(await knock(one, { lasting })).toBe(200);
  expect(await knock(one)).toBe(409);
  for (let time = 0; time < 2; time++) expect(await knock(one, { from: 3, token: c.key })).toBe(403);
  expect(one.told.slice(2)).toEqual([{ kind: "join-expired", peer: "c", of: "c" }]);
});

test("who has read the file but has no token is refused, and after twenty is not even looked at", async () => {
  const one = await house();
  // As b's token would, but without its private half.
  const impostor = { publicKey: b.key.publicKey, privateKey: pair().privateKey };
  for (let time = 0; time < 20; time++) expect(await knock(one, { token: impostor })).toBe(403);
  const before = agreements;
  expect(await knock(one, { token: impostor })).toBe(429);
  expect(agreements).toBe(before);
  // What is no greeting of the file's readers takes nothing from the bucket, nor is it held up by it.
  expect(await knock(one, { remote: d.publicKey })).toBe(403);
});

test("who has read the file and greets under a key of its own is found out by its key, after one agreement", async () => {
  const one = await house();
  const stranger = pair();
  let asked = 0;
  const token: KeyPair = {
    privateKey: stranger.privateKey,
    // Its own in the handshake, b's token in the code.
    get publicKey() {
      return asked++ === 0 ? stranger.publicKey : b.key.publicKey;
    },
  };
  expect((await say(one.server, 2, greeterOf({ token }).said!)).status).toBe(403);
  expect([asked, agreements]).toEqual([2, 1]);
});

test("a greeting for another node number, receiver or cluster does not open", async () => {
  for (const how of [{ from: 3, as: 2 }, { to: 4 }, { cluster: "test" }]) {
    const one = await house();
    expect(await knock(one, how)).toBe(403);
    expect(one.identity.roster.keysOf(2)).toEqual([]);
  }
});

test("a recorded greeting changes nothing while its token is listed, and does nothing after that", async () => {
  const one = await house();
  const lasting = pair().publicKey;
  const first = greeterOf({ lasting });
  const { word } = heardIn(first, await say(one.server, 2, first.said!))!;
  const { said } = greeterOf({ lasting, word });
  // The first alone, once more, is asked to come again.
  expect((await say(one.server, 2, first.said!)).status).toBe(202);
  expect((await say(one.server, 2, said!)).status).toBe(200);
  const keys = one.identity.roster.keysOf(2);
  for (const recorded of [first.said, said]) expect((await say(one.server, 2, recorded!)).status).toBe(200);
  expect([one.identity.roster.keysOf(2), one.told.length]).toEqual([keys, 1]);
  const listed = { a: keyText(a.publicKey), b: made().listing.text, c: c.listing.text, d: keyText(d.publicKey) };
  await one.identity.change(listed);
  expect(one.identity.roster.keysOf(2)).toEqual([]);
  for (const recorded of [first.said, said]) expect((await say(one.server, 2, recorded!)).status).toBe(403);
  expect(one.identity.roster.keysOf(2)).toEqual([]);
});

test("a key is on the disk before it counts; one that cannot be kept does not", async () => {
  const one = await house();
  const steps: string[] = [];
  let full = true;
  const facts = { listed: new Map([["b", [b.listing.text]]]), held: [a], token: null };
  const disk = {
    list: () => Promise.resolve([]),
    replace(file: string, bytes: Uint8Array) {
      steps.push(`write ${file}, known: ${joins.learnedOf(2) !== null}`);
      if (full) return Promise.reject(new Error("no space left"));
      expect(new TextDecoder().decode(bytes)).toEndWith(`\nb ${b.listing.text} ${keyText(lasting)}\n`);
      return Promise.resolve();
    },
  } as unknown as Disk;
  const joins = await OwnJoins.open(topology, disk, facts);
  joins.onLearned = () => steps.push(`known: ${joins.learnedOf(2) !== null}`);
  const server = new LinkServer({ runtime, topology, identity: { ...one.identity, self: 1, cluster: "tests", keys: [a], joins } }, {
    onOpen: () => {},
    onFrame: () => {},
    onNotice: (sentence) => steps.push(sentence),
  });
  const lasting = pair().publicKey;
  const again = async (): Promise<void> => void steps.push(String(await knock({ server }, { lasting })));
  await again();
  full = false;
  await again();
  expect(steps).toEqual([
    "write learned.keys, known: false",
    "Cannot keep the key of node b: no space left",
    "503",
    "write learned.keys, known: false",
    "known: true",
    "200",
  ]);
});

test("garbage of any length, in headers and body, is answered and changes nothing", async () => {
  const one = await house();
  const { said } = greeterOf({});
  const random = (below: number): number => runtime.entropy() % below;
  const seen = new Map<number, number>();
  for (let time = 0; time < 4_000; time++) {
    const kind = time % 4;
    let text = Buffer.from(randomBytes(4 * random(70), runtime.entropy)).toString("base64url");
    if (kind === 1) text = said!.slice(0, random(said!.length));
    if (kind === 2) text = said! + "A".repeat(1 + random(400));
    if (kind === 3) {
      const at = random(said!.length);
      text = `${said!.slice(0, at)}${said![at] === "A" ? "B" : "A"}${said!.slice(at + 1)}`;
    }
    const from = random(3) === 0 ? "x".repeat(random(20)) : random(3) === 0 ? random(1_000_000) : 2;
    const { status } = await say(one.server, from, text, new Blob([randomBytes(4 * random(200), runtime.entropy).slice()]));
    seen.set(status, (seen.get(status) ?? 0) + 1);
  }
  // A damaged code is found out by a hash, whatever it covers.
  expect([...seen.keys()].sort()).toEqual([400, 403]);
  expect([agreements, one.identity.roster.keysOf(2).length, one.told.length]).toEqual([0, 0, 0]);
  expect(await knock(one)).toBe(200);
  const get = await one.server.fetch(new Request(`http://a${joinPath}`));
  expect(get.status).toBe(405);
});
