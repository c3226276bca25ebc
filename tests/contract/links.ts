/** What a link between nodes promises, on this runtime's own server and client. */
import type { Message } from "../../core/message.ts";
import { parseTopology } from "../../core/topology.ts";
import { keyText } from "../../edge/link/identity.ts";
import type { Link } from "../../edge/link/link.ts";
import { type LinkDriver, openLink } from "../../edge/link/open.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { testIdentity, testKey } from "../harness/identity.ts";
import { equal, eventually, ok, test } from "./check.ts";

export function links(runtime: Runtime): void {
  test("links: a key that is not listed is refused, and both sides say so", () => refused(runtime));
  for (const driver of ["h2", "udp", "auto"] satisfies LinkDriver[]) {
    test(`links: over ${driver} messages cross both ways, small ones and large ones`, () => crossing(runtime, driver));
    test(`links: over ${driver} a peer that comes back is found again`, () => returning(runtime, driver));
  }
}

const topology = parseTopology({ nodes: [{ name: "a" }, { name: "b" }] });
const ask: Message = { kind: "ask", group: 1, request: 7 };

interface End {
  readonly link: Link;
  readonly heard: Message[];
  readonly unreachable: number[];
  readonly notices: string[];
}

interface EndOptions {
  readonly driver?: LinkDriver;
  readonly key?: number;
  readonly port?: number;
}

async function end(runtime: Runtime, self: number, options: EndOptions = {}): Promise<End> {
  const heard: Message[] = [];
  const unreachable: number[] = [];
  const notices: string[] = [];
  const { cryptography } = runtime;
  const identity = { ...testIdentity(cryptography, topology, self), keys: [testKey(cryptography, options.key ?? self)] };
  const link = await openLink(options.driver ?? "h2", {
    runtime,
    topology,
    identity,
    listen: { host: "127.0.0.1", port: options.port ?? 0 },
  }, {
    onMessage: (_, message) => heard.push(message),
    onUnreachable: (peer) => unreachable.push(peer),
    onNotice: (sentence) => notices.push(sentence),
  });
  return { link, heard, unreachable, notices };
}

async function crossing(runtime: Runtime, driver: LinkDriver): Promise<void> {
  const [a, b] = [await end(runtime, 1, { driver }), await end(runtime, 2, { driver })];
  a.link.open(2, b.link.address);
  b.link.open(1, a.link.address);
  const sizes = [0, 100, 70_000, 3_000_000, 1];
  const messages = sizes.map((bytes, index): Message => ({
    kind: "propose",
    group: 1,
    batches: [{ origin: 2 ** 32 + 1, sequence: index + 1, count: 1, bytes: new Uint8Array(bytes).fill(index) }],
  }));
  for (const message of messages) a.link.send({ to: [2], message });
  b.link.send({ to: [1], message: ask });
  await eventually("all have come", () => b.heard.length === messages.length && a.heard.length === 1);
  equal(b.heard, messages);
  equal(a.heard, [ask]);
  await Promise.all([a.link.close(), b.link.close()]);
}

async function refused(runtime: Runtime): Promise<void> {
  const [a, b] = [await end(runtime, 1, { key: 9 }), await end(runtime, 2)];
  a.link.open(2, b.link.address);
  await eventually("both have said it", () => a.notices.length > 0 && b.notices.length > 0);
  ok(a.notices[0]!.startsWith(`Cannot reach node b at ${b.link.address}: the peer answered 403`), a.notices[0]!);
  equal(b.notices, [
    `Cannot let in who says to be node 1: its key ${keyText(testKey(runtime.cryptography, 9).publicKey)} is not listed for it`,
  ]);
  await Promise.all([a.link.close(), b.link.close()]);
}

async function returning(runtime: Runtime, driver: LinkDriver): Promise<void> {
  const a = await end(runtime, 1, { driver });
  let b = await end(runtime, 2, { driver });
  a.link.open(2, b.link.address);
  a.link.send({ to: [2], message: ask });
  await eventually("it has come", () => b.heard.length === 1);
  const port = Number(b.link.address.split(":")[1]);
  await b.link.close();
  await eventually("the host is told", () => a.unreachable.length === 1);
  b = await end(runtime, 2, { driver, port });
  await eventually("it is connected again", () => a.link.stats()[0]!.connectedSince !== null);
  a.link.send({ to: [2], message: ask });
  await eventually("it has come again", () => b.heard.length === 1);
  equal(a.link.stats()[0]!.reconnects, driver === "auto" ? 2 : 1);
  await Promise.all([a.link.close(), b.link.close()]);
}
