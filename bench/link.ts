/**
 * One lane of a link between two processes on this machine, over each driver: how long a frame takes there and back, busy and woken
 * from idleness, how many messages and bytes go through, and what a packet and a megabyte cost. `bun bench/link.ts [h2,udp] [mtu]`;
 * also Deno.
 */
import { runtime } from "#runtime";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import type { Message } from "../core/message.ts";
import { parseTopology } from "../core/topology.ts";
import type { Link } from "../edge/link/link.ts";
import { type LinkDriver, openLink } from "../edge/link/open.ts";
import type { Runtime } from "../edge/runtime.ts";
import { testIdentity } from "../tests/harness/identity.ts";

const topology = parseTopology({ nodes: [{ name: "here" }, { name: "there" }] });
const listen = { host: "127.0.0.1", port: 0 };
/** Acknowledged by the other side every so many bytes; four of these may be on the way. */
const stepBytes = 1 << 20;
const aheadSteps = 4;
/** What one turn of a busy host hands over. */
const turnBytes = 64 << 10;
const secondsEach = 2;

/** Sent and received. */
let datagrams = 0;
const counting: Runtime = {
  ...runtime,
  openDatagrams: async (address, events) => {
    const socket = await runtime.openDatagrams(address, {
      ...events,
      onDatagram: (datagram) => {
        datagrams++;
        events.onDatagram(datagram);
      },
    });
    return {
      ...socket,
      send: (batch) => {
        datagrams += batch.length;
        socket.send(batch);
      },
    };
  },
};

const ask = (request: number): Message => ({ kind: "ask", group: 1, request });

const optionsOf = (self: number, mtuBytesMax: number) => ({
  runtime: counting,
  topology,
  identity: testIdentity(runtime.cryptography, topology, self),
  listen,
  mtuBytesMax,
});

if (process.argv[2] === "there") await there(process.argv[3] as LinkDriver, process.argv[4]!, Number(process.argv[5]));
else {
  console.log(`Links on ${runtime.name} ${runtime.version}, two processes, one lane`);
  const mtuBytesMax = Number(process.argv[3] ?? Infinity);
  for (const driver of (process.argv[2] ?? "h2,udp").split(",") as LinkDriver[]) await here(driver, mtuBytesMax);
  process.exit();
}

/** Answers asks, and says after every step of proposals how many bytes have come. */
async function there(driver: LinkDriver, address: string, mtuBytesMax: number): Promise<void> {
  let received = 0;
  let told = 0;
  const link = await openLink(driver, optionsOf(2, mtuBytesMax), {
    onMessage: (_, message) => {
      if (message.kind === "ask") {
        link.send({ to: [1], message: { kind: "answer", group: 1, request: message.request, stamp: 0, slots: 0 } });
      }
      if (message.kind !== "propose") return;
      received += message.batches[0]!.bytes.byteLength;
      const steps = Math.floor(received / stepBytes);
      if (steps > told) link.send({ to: [1], message: { kind: "answer", group: 2, request: told = steps, stamp: 0, slots: 0 } });
    },
    onUnreachable: () => process.exit(),
    onNotice: (sentence) => console.error(sentence),
  });
  link.open(1, address);
  console.log(link.address);
}

async function here(driver: LinkDriver, mtuBytesMax: number): Promise<void> {
  let onAnswer = (_: Message & { readonly kind: "answer" }): void => {};
  const link = await openLink(driver, optionsOf(1, mtuBytesMax), {
    onMessage: (_, message) => {
      if (message.kind === "answer") onAnswer(message);
    },
    onUnreachable: () => {},
    onNotice: (sentence) => console.error(sentence),
  });
  const script = runtime.name === "deno" ? ["run", "-A", process.argv[1]!] : [process.argv[1]!];
  const child = spawn(process.execPath, [...script, "there", driver, link.address, String(mtuBytesMax)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  link.open(2, await firstLine(child));

  const ping = (request: number): Promise<void> =>
    new Promise((resolve) => {
      onAnswer = () => resolve();
      link.send({ to: [2], message: ask(request) });
    });
  while (link.stats()[0]!.connectedSince === null) await sleep(5);
  await sleep(100);
  for (let request = 0; request < 500; request++) await ping(request);

  console.log(`\n${driver}: there and back  p50 µs   p99 µs`);
  console.log(row("busy", await pings(ping, 5_000, 0)));
  console.log(row("idle, every 5 ms", await pings(ping, 300, 5)));
  console.log("one way            messages/s     MB/s   CPU µs/message here   CPU µs/MB here   datagrams/s");
  for (const bytes of [100, 1_024, 65_536]) {
    const before = datagrams;
    const { messages, seconds, cpuMicros } = await flood(link, bytes, (callback) => onAnswer = callback);
    console.log(
      `${`${bytes} B`.padEnd(16)} ${Math.round(messages / seconds).toLocaleString("en").padStart(12)} ${
        (messages * bytes / seconds / 1e6).toFixed(0).padStart(8)
      } ${(cpuMicros / messages).toFixed(2).padStart(12)} ${(cpuMicros / (messages * bytes / 1e6)).toFixed(0).padStart(20)} ${
        Math.round((datagrams - before) / seconds).toLocaleString("en").padStart(16)
      }`,
    );
  }
  const { dropped } = link.stats()[0]!;
  if (dropped > 0) console.log(`\n${dropped} messages were dropped: the figures are wrong`);
  child.kill();
  await link.close();
  if (dropped > 0) process.exit(1);
}

async function pings(ping: (request: number) => Promise<void>, count: number, pauseMs: number): Promise<number[]> {
  const micros: number[] = [];
  for (let request = 0; request < count; request++) {
    if (pauseMs > 0) await sleep(pauseMs);
    const from = performance.now();
    await ping(request);
    micros.push((performance.now() - from) * 1_000);
  }
  return micros.sort((a, b) => a - b);
}

function row(name: string, sorted: readonly number[]): string {
  const at = (share: number): string => sorted[Math.floor(sorted.length * share)]!.toFixed(0).padStart(8);
  return `${name.padEnd(18)} ${at(0.5)} ${at(0.99)}`;
}

/** Sends for a while, never more ahead than allowed; counts what the other side has acknowledged. */
function flood(
  link: Link,
  bytes: number,
  listenTo: (callback: (answer: { readonly group: number; readonly request: number }) => void) => void,
): Promise<{ messages: number; seconds: number; cpuMicros: number }> {
  return new Promise((resolve) => {
    const payload = new Uint8Array(bytes);
    const cpu = process.cpuUsage();
    const from = performance.now();
    let sent = 0;
    let first: number | null = null;
    let acknowledged = 0;
    let sequence = 0;
    const turn = (): void => {
      if (performance.now() - from > secondsEach * 1_000) {
        const { user, system } = process.cpuUsage(cpu);
        const seconds = (performance.now() - from) / 1_000;
        // What is still on the way belongs to nobody's figure.
        setTimeout(() => resolve({ messages: acknowledged / bytes, seconds, cpuMicros: user + system }), 300);
        return;
      }
      for (let turned = 0; turned < turnBytes; turned += bytes) {
        if (sent - acknowledged > aheadSteps * stepBytes) return;
        link.send({
          to: [2],
          message: { kind: "propose", group: 1, batches: [{ origin: 1, sequence: ++sequence, count: 1, bytes: payload }] },
        });
        sent += bytes;
      }
      runtime.clock.soon(turn);
    };
    listenTo(({ group, request }) => {
      if (group !== 2) return;
      first ??= request - 1;
      const waited = sent - acknowledged > aheadSteps * stepBytes;
      acknowledged = (request - first) * stepBytes;
      if (waited) runtime.clock.soon(turn);
    });
    turn();
  });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => createInterface({ input: child.stdout! }).once("line", resolve));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
