/** Strangers at the link's port: whatever they send, they get a refusal or a closed connection, and the nodes go on. */
import { expect, test } from "bun:test";
import { runtime } from "#runtime";
import { connect } from "node:net";
import { parseTopology } from "../../core/topology.ts";
import { openHttp2Link } from "../../edge/link/http2.ts";
import type { Link } from "../../edge/link/link.ts";
import { headerNames } from "../../edge/link/call.ts";
import { streamPath } from "../../edge/link/server.ts";
import { testIdentity } from "../harness/identity.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";

const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const rounds = Number(process.env.FUZZ_ROUNDS ?? 300);
const text = (string: string): Uint8Array => new TextEncoder().encode(string);

const preface = text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const settings = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0);
const post = text(
  `POST ${streamPath} HTTP/1.1\r\nhost: x\r\n${headerNames.from}: 2\r\n${headerNames.lane}: 0\r\n` +
    `${headerNames.nonce}: ${"0".repeat(78)}\r\n${headerNames.handshake}: ${"A".repeat(128)}\r\ncontent-length: 4\r\n\r\nabcd`,
);
const get = text(`GET ${streamPath} HTTP/1.1\r\nhost: x\r\n\r\n`);
const seeds = [new Uint8Array(Buffer.concat([preface, settings])), post, get];

async function open(self: number, heard: () => void): Promise<Link> {
  const topology = parseTopology({ nodes: [{ name: "a" }, { name: "b" }] });
  return await openHttp2Link({
    runtime,
    topology,
    identity: testIdentity(runtime.cryptography, topology, self),
    listen: { host: "127.0.0.1", port: 0 },
  }, {
    onMessage: heard,
    onUnreachable: () => {},
    onNotice: () => {},
  });
}

/** Sends the bytes and hangs up; what came back. */
function intrude(address: string, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const [host, port] = address.split(":");
    let answer = "";
    const socket = connect(Number(port), host!);
    const leave = setTimeout(() => socket.destroy(), 20);
    socket.on("connect", () => socket.write(bytes));
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(leave);
      resolve(answer);
    });
  });
}

test("garbage on the port", async () => {
  console.log(`FUZZ_SEED=${seed} FUZZ_ROUNDS=${rounds}`);
  const random = new Random(seed);
  let heard = 0;
  const [a, b] = [await open(1, () => heard++), await open(2, () => {})];
  b.open(1, a.address);
  a.open(2, b.address);
  const greet = async (times: number): Promise<void> => {
    b.send({ to: [1], message: { kind: "release", group: 1, ballot: 1 } });
    for (let waited = 0; heard < times && waited < 1_000; waited++) await Bun.sleep(2);
    expect(heard).toBe(times);
  };
  try {
    await greet(1);
    const statuses = new Set<string>();
    for (let round = 0; round < rounds; round += 10) {
      // A peer that is never heard would be connected to anew.
      a.send({ to: [2], message: { kind: "release", group: 1, ballot: 1 } });
      const inputs = Array.from(
        { length: 10 },
        () => random.chance(0.2) ? random.bytes(200) : mutate(random, random.pick(seeds), random.pick(seeds)),
      );
      for (const answer of await Promise.all(inputs.map((bytes) => intrude(a.address, bytes)))) {
        const status = /^HTTP\/1.1 (\d+)/.exec(answer);
        if (status !== null) statuses.add(status[1]!);
      }
    }
    expect([...statuses].filter((status) => !/^4|^505$/.test(status))).toEqual([]);
    // The intruders got as far as our own answers.
    expect(statuses).toContain("401");
    await greet(2);
    expect(b.stats()[0]!.reconnects).toBe(0);
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}, 60_000);
