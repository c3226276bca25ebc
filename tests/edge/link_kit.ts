/** Links of this process to itself, for tests: three nodes that know each other, and ears that note what they hear. */
import { afterEach } from "bun:test";
import { runtime } from "#runtime";
import type { NodeId } from "../../core/ids.ts";
import type { Message } from "../../core/message.ts";
import { parseTopology } from "../../core/topology.ts";
import { Caller, headerNames } from "../../edge/link/call.ts";
import type { Identity } from "../../edge/link/identity.ts";
import type { Lane, Link, LinkOptions } from "../../edge/link/link.ts";
import { type LinkDriver, openLink } from "../../edge/link/open.ts";
import { streamPath } from "../../edge/link/server.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { testIdentity } from "../harness/identity.ts";

export const topology = parseTopology({ cluster: "tests", nodes: [{ name: "a" }, { name: "b" }, { name: "c" }] });

export interface Ear {
  readonly link: Link;
  readonly identity: Identity;
  readonly heard: { readonly from: number; readonly message: Message }[];
  readonly unreachable: number[];
  readonly notices: string[];
}

const closers: (() => Promise<void>)[] = [];

/** To be done after the test. */
export function closing(close: () => Promise<void>): void {
  closers.push(close);
}

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Over HTTP/2 if no driver is named. */
export async function node(
  self: NodeId,
  { driver, ...options }: Partial<LinkOptions> & { readonly driver?: LinkDriver } = {},
): Promise<Ear> {
  const ear: Omit<Ear, "link" | "identity"> = { heard: [], unreachable: [], notices: [] };
  const identity = options.identity ?? testIdentity(runtime.cryptography, topology, self);
  const link = await openLink(driver ?? "h2", { runtime, topology, listen: { host: "127.0.0.1", port: 0 }, ...options, identity }, {
    onMessage: (from, message) => ear.heard.push({ from, message }),
    onUnreachable: (peer) => ear.unreachable.push(peer),
    onNotice: (sentence) => ear.notices.push(sentence),
  });
  closing(() => link.close());
  return { link, identity, ...ear };
}

export function joinUp(...ears: readonly Ear[]): void {
  ears.forEach((ear, index) => {
    ears.forEach((other, at) => {
      if (at !== index) ear.link.open(at + 1, other.link.address);
    });
  });
}

export async function until(what: string, holds: () => boolean, withinMs = 5_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`Waited ${withinMs} ms: ${what}`);
    await Bun.sleep(2);
  }
}

/** This machine, with a clock that runs so many times as fast. */
export function paced(times: number): Runtime {
  const { clock } = runtime;
  return {
    ...runtime,
    clock: {
      now: () => ({ mono: clock.now().mono * times, wall: 0 }),
      wakeAt: (at, callback, graceMs = 0) => clock.wakeAt(at / times, callback, graceMs / times),
      soon: clock.soon,
    },
  };
}

export const ask = (request: number): Message => ({ kind: "ask", group: 1, request });
export const propose = (sequence: number, bytes: number): Message => ({
  kind: "propose",
  group: 1,
  batches: [{ origin: 2 ** 32 + 1, sequence, count: 1, bytes: new Uint8Array(bytes).fill(sequence) }],
});
export const release: Message = { kind: "release", group: 1, ballot: 65_537 };

/** Somebody who calls `ear` by hand: asks for a nonce, and has what a request would say. */
export async function prepare(
  identity: Identity,
  ear: Ear,
  { to = 1, lane = 0 }: { readonly to?: NodeId; readonly lane?: Lane } = {},
): Promise<{ readonly caller: Caller; readonly headers: Readonly<Record<string, string>> }> {
  const url = `http://${ear.link.address}${streamPath}`;
  const caller = new Caller(runtime, identity, { to, lane, url });
  const challenge = await fetch(url, { method: "POST", headers: caller.headers(null)!, body: "x" });
  return { caller, headers: caller.headers(challenge.headers.get(headerNames.nonce))! };
}
