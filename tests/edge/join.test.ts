/** Whole nodes and join tokens: what a restart and a changed list keep, what they end, and who is refused. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../edge/runtime/system.ts";
import { type LocalCarillon, newJoinToken, newNodeKey, type NodeEvent, type NodeOptions, open, type PublicKeys } from "../../mod.ts";

const directory = mkdtempSync(join(tmpdir(), "carillon-joins-"));
const hour = 3_600_000;

interface Member {
  readonly node: LocalCarillon;
  readonly events: NodeEvent[];
}

const members = new Set<Member>();
afterEach(async () => {
  await Promise.all([...members].map(stop));
  rmSync(directory, { recursive: true, force: true });
});

async function stop(member: Member): Promise<void> {
  members.delete(member);
  await member.node.close();
}

/** Two nodes: n1 is listed by its key, n2 by a token. */
class Pair {
  readonly first = newNodeKey();
  readonly token = newJoinToken(hour);
  readonly keys: PublicKeys;
  readonly #topology: NonNullable<NodeOptions["topology"]>;

  private constructor(ports: readonly number[], keys: PublicKeys) {
    this.#topology = { nodes: ports.map((port, index) => ({ name: `n${index + 1}`, link: `127.0.0.1:${port}` })) };
    this.keys = { n1: this.first.publicKey, n2: this.token.join, ...keys };
  }

  static async of(keys: PublicKeys = {}): Promise<Pair> {
    return new Pair(await freePorts(2), keys);
  }

  start1(options: NodeOptions = {}): Promise<Member> {
    return this.#start({ self: "n1", privateKey: this.first.privateKey, ...options });
  }

  start2(options: NodeOptions = {}): Promise<Member> {
    return this.#start({ self: "n2", joinToken: this.token.token, ...options });
  }

  async #start(options: NodeOptions): Promise<Member> {
    const events: NodeEvent[] = [];
    const node = await open({ topology: this.#topology, keys: this.keys, onEvent: (event) => void events.push(event), ...options });
    const member = { node, events };
    members.add(member);
    return member;
  }
}

const kinds = ({ events }: Member, pattern: RegExp): string[] => events.map(({ kind }) => kind).filter((kind) => pattern.test(kind));
const learned = ({ events }: Member): string[] => events.flatMap((event) => event.kind === "key-learned" ? event.key : []);

async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!await holds()) {
    if (performance.now() > end) throw new Error(`Waited ${withinMs} ms in vain until ${what}`);
    await Bun.sleep(10);
  }
}

interface LinkSeen {
  readonly peer: string;
  readonly connected: boolean;
  readonly learnedKey: string | null;
}

async function linkOf({ node }: Member): Promise<LinkSeen> {
  const { links } = await (await node.fetch(new Request("http://localhost/v1/links"))).json() as { links: LinkSeen[] };
  return links[0]!;
}

const isConnected = async (member: Member): Promise<boolean> => (await linkOf(member)).connected;

test("a node with a token alone makes its key at its first start, and what it shows lasts as long as the token is listed", async () => {
  const two = await Pair.of();
  const [data1, data2] = [join(directory, "lasting1"), join(directory, "lasting2")];
  let first = await two.start1({ data: data1 });
  let second = await two.start2({ data: data2 });
  await Promise.all([first.node.ready(20_000), second.node.ready(20_000)]);
  await second.node.kv.put("k", "v");
  const key = /ck1_\S+/.exec(readFileSync(join(data2, "node.key"), "utf8"))![0];
  expect(learned(first)).toEqual([key]);
  expect((await linkOf(first)).learnedKey).toBe(key);
  expect((await linkOf(second)).learnedKey).toBe(null);
  expect(readFileSync(join(data1, "learned.keys"), "utf8")).toEndWith(`\nn2 ${two.token.join} ${key}\n`);
  expect(existsSync(join(data2, "learned.keys"))).toBe(false);
  expect(statSync(join(data2, "node.key")).mode & 0o777).toBe(0o600);

  // The lists are read again each second: what was learned stays.
  await first.node.changeKeys(two.keys);
  expect(await isConnected(first)).toBe(true);
  expect(kinds(first, /keys|joi|learned/)).toEqual(["key-learned"]);

  // Both start anew: nothing has to be learned again.
  await stop(second);
  await stop(first);
  first = await two.start1({ data: data1 });
  second = await two.start2({ data: data2 });
  await Promise.all([first.node.ready(20_000), second.node.ready(20_000)]);
  expect((await first.node.kv.get("k"))!.text()).toBe("v");
  expect(learned(first)).toEqual([]);

  // Its key is listed instead: nothing ends, and what was learned is not needed any more.
  const listed = { ...two.keys, n2: key };
  await first.node.changeKeys(listed);
  await second.node.changeKeys(listed);
  expect([await isConnected(first), await isConnected(second)]).toEqual([true, true]);
  expect((await linkOf(first)).learnedKey).toBe(null);
  await second.node.kv.put("k", "w");
}, 60_000);

test("a node whose token is not listed any more is out at once, with another token as well", async () => {
  const two = await Pair.of();
  const [first, second] = [await two.start1(), await two.start2({ privateKey: newNodeKey().privateKey })];
  for (const instead of [[], newJoinToken(hour).join]) {
    await until("they are linked", async () => await isConnected(first) && await isConnected(second), 20_000);
    await first.node.changeKeys({ ...two.keys, n2: instead });
    await until("the link has ended", async () => !await isConnected(first) && !await isConnected(second), 5_000);
    await until("it asks in vain", () => kinds(second, /^join-refused$/).length > 0);
    expect([await isConnected(first), learned(first).length]).toEqual([false, 1]);
    // The same token again: what was learned under it counts again.
    await first.node.changeKeys(two.keys);
  }
}, 60_000);

test("a second node with the same token is refused, and both operators are told", async () => {
  const two = await Pair.of();
  const first = await two.start1();
  const second = await two.start2({ privateKey: newNodeKey().privateKey });
  await until("the first to come is in", () => isConnected(first), 20_000);
  await stop(second);
  const other = newNodeKey();
  const thief = await two.start2({ privateKey: other.privateKey });
  await until("it is told here", () => kinds(first, /^join-used-twice$/).length > 0);
  expect(first.events.find(({ kind }) => kind === "join-used-twice")).toMatchObject({
    peer: "n2",
    key: learned(first)[0]!,
    other: other.publicKey,
  });
  await until("and there", () => kinds(thief, /^join-refused$/).length > 0);
  expect([await isConnected(thief), learned(first).length]).toEqual([false, 1]);
}, 60_000);

test("an expired token lets nobody in, and both operators are told", async () => {
  const old = newJoinToken(-60_000);
  const two = await Pair.of({ n2: old.join });
  const first = await two.start1();
  const second = await two.start2({ privateKey: newNodeKey().privateKey, joinToken: old.token });
  await until("it is told", () => [first, second].every((member) => kinds(member, /^join-expired$/).length > 0));
  expect([await isConnected(second), learned(first)]).toEqual([false, []]);
  expect(second.events.find(({ kind }) => kind === "join-expired")).toMatchObject({ peer: "n1", of: "n2" });
}, 60_000);

test("what cannot be is said before anything starts", async () => {
  const two = await Pair.of();
  const key = newNodeKey().privateKey;
  const complaint = (starting: Promise<Member>): Promise<string> => starting.then(() => "none", (error: Error) => error.message);
  expect(await complaint(two.start2({ privateKey: key, joinToken: newJoinToken(hour).token }))).toStartWith(
    `Cannot be node "n2": its join token is for another listing than ${two.token.join}`,
  );
  expect(await complaint(two.start1({ self: "n2" }))).toBe(
    'Cannot be node "n2": a join token lists it, and it has none; say joinToken, joinFile or data',
  );
  expect(await complaint(two.start1({ links: { driver: "udp" } }))).toContain("a node joins over HTTP/2");
  const data = join(directory, "damaged");
  await Bun.write(join(data, "learned.keys"), "# keys\nn2 cj1_abc\n");
  expect(await complaint(two.start1({ data }))).toBe(
    `Cannot read learned keys from ${data}/learned.keys, line 2: a line is a node, its join token's listing and its key; ` +
      "move the file away, and list the keys of the nodes it names in the cluster's file",
  );
}, 60_000);
