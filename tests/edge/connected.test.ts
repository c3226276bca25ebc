/** Sockets of their own for peers that much is sent to, as Linux lists them. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { runtime } from "#runtime";
import type { Datagram, DatagramSocket } from "../../edge/runtime.ts";
import { ConnectedSockets } from "../../edge/runtime/connected.ts";

const host = "127.0.0.1";
const opened: DatagramSocket[] = [];
afterEach(async () => {
  for (const socket of opened.splice(0)) await socket.close();
});

async function listen(heard: Datagram[] = []): Promise<DatagramSocket> {
  const socket = await runtime.openDatagrams({ host, port: 0 }, {
    onDatagram: (datagram) => void heard.push(datagram),
    onTrouble: () => {},
  });
  opened.push(socket);
  return socket;
}

const to = (port: number): Datagram => ({ host, port, bytes: new Uint8Array(10) });

/** The ports that sockets at this port are connected to; 0 for the one that is not. */
function connectedTo(port: number): readonly number[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const ends = readFileSync("/proc/net/udp", "utf8").split("\n").slice(1).map((line) => line.trim().split(/\s+/));
  return ends.filter(([, local]) => local?.endsWith(`:${hex}`)).map(([, , remote]) => Number.parseInt(remote!.split(":")[1]!, 16)).sort();
}

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error("Cannot wait longer");
    await Bun.sleep(2);
  }
}

test.if(process.platform === "linux")("who is written to much gets one, and what comes from there goes through it", async () => {
  const heard: Datagram[] = [];
  const [a, b, other] = [await listen(heard), await listen(), await listen()];
  for (let count = 0; count < 99; count++) a.send([to(b.port)]);
  await Bun.sleep(20);
  expect(connectedTo(a.port)).toEqual([0]);
  a.send([to(b.port)]);
  await until(() => connectedTo(a.port).includes(b.port));
  expect(connectedTo(a.port)).toEqual([0, b.port].sort());
  b.send([to(a.port)]);
  other.send([to(a.port)]);
  await until(() => heard.length === 2);
  expect(heard.map(({ port }) => port).sort()).toEqual([b.port, other.port].sort());
});

test("one that refuses to send goes, and its peer gets another if it is written to much again", async () => {
  let refuses = false;
  const made: string[] = [];
  const sockets = new ConnectedSockets((host, port) => {
    made.push(`${host} ${port}`);
    return Promise.resolve({
      send({ length }): number {
        if (refuses) throw new Error("EINVAL");
        return length;
      },
      close: () => void made.push("closed"),
    });
  });
  const batch = Array.from({ length: 100 }, () => to(7));
  expect(sockets.send(batch)).toBe(0);
  await Bun.sleep(0);
  expect(sockets.send(batch)).toBe(100);
  refuses = true;
  expect([sockets.send([to(7)]), sockets.send([to(7)])]).toEqual([0, 0]);
  expect(made).toEqual([`${host} 7`, "closed"]);
  refuses = false;
  expect(sockets.send(batch)).toBe(0);
  await Bun.sleep(0);
  expect(sockets.send(batch)).toBe(100);
  expect(made).toEqual([`${host} 7`, "closed", `${host} 7`]);
});

test("there are 64 at most, and strangers do not count for each other", async () => {
  const open = new Set<number>();
  const sockets = new ConnectedSockets((_, port) => {
    open.add(port);
    return Promise.resolve({ send: ({ length }) => length, close: () => void open.delete(port) });
  });
  for (let port = 1; port <= 100; port++) {
    const batch = Array.from({ length: 50 }, () => to(port));
    expect([sockets.send(batch), sockets.send(batch)]).toEqual([0, 0]);
    await Bun.sleep(0);
    expect(sockets.send(batch)).toBe(50);
  }
  expect([...open]).toEqual(Array.from({ length: 64 }, (_, index) => 37 + index));
  for (let port = 1_000; port < 60_000; port++) expect(sockets.send([to(port)])).toBe(0);
  expect(open.size).toBe(64);
  await sockets.close();
  expect(open.size).toBe(0);
});

test("one that is still being made when all are closed is closed too, and waited for", async () => {
  const closed: string[] = [];
  const sockets = new ConnectedSockets(async () => {
    await Bun.sleep(20);
    return { send: ({ length }) => length, close: () => void closed.push("one") };
  });
  sockets.send(Array.from({ length: 100 }, () => to(7)));
  await sockets.close();
  expect(closed).toEqual(["one"]);
});

test("a socket that gets one while it is closed leaves its port free", async () => {
  for (let round = 0; round < 20; round++) {
    const [a, b] = [await listen(), await listen()];
    for (let count = 0; count < 100; count++) a.send([to(b.port)]);
    a.send([]);
    await a.close();
    const again = await runtime.openDatagrams({ host, port: a.port }, { onDatagram: () => {}, onTrouble: () => {} });
    await again.close();
  }
});
