/** What a socket for datagrams promises, whichever of the runtime's it is. */
import type { Datagram, DatagramSocket, Runtime } from "../../edge/runtime.ts";
import { equal, eventually, ok, rejects, test } from "./check.ts";

export function datagrams(runtime: Runtime): void {
  test("datagrams: what is sent arrives whole, from whom it came, and is the receiver's to keep", () => crossing(runtime));
  test("datagrams: a burst of a thousand is not lost", () => burst(runtime));
  test("datagrams: who is written to much is heard, goes, comes back, and gets none of what others are sent", () => much(runtime));
  test("datagrams: one that is too long or refused takes no other with it", () => troubled(runtime));
  test("datagrams: a socket for both kinds of address calls IPv4 by its plain name", () => bothKinds(runtime));
  test("datagrams: a port that is taken cannot be bound", () => taken(runtime));
  test("datagrams: a socket can be bound by name", () => named(runtime));
  test("datagrams: names become addresses, or nothing", () => names(runtime));
}

interface Ear {
  readonly socket: DatagramSocket;
  readonly heard: Datagram[];
  readonly troubles: string[];
}

async function listen(runtime: Runtime, host = "127.0.0.1", port = 0): Promise<Ear> {
  const heard: Datagram[] = [];
  const troubles: string[] = [];
  const socket = await runtime.openDatagrams({ host, port }, {
    onDatagram: (datagram) => heard.push(datagram),
    onTrouble: (reason) => troubles.push(reason),
  });
  return { socket, heard, troubles };
}

function filled(bytes: number, value: number): Uint8Array {
  return new Uint8Array(bytes).fill(value);
}

async function crossing(runtime: Runtime): Promise<void> {
  const [a, b] = [await listen(runtime), await listen(runtime)];
  const host = "127.0.0.1";
  const { port } = b.socket;
  const sizes = [1, 100, 1_200, 1_452, Math.min(32_768, b.socket.datagramBytesMax)];
  for (const [index, size] of sizes.entries()) {
    // A view: what is around it stays at home.
    a.socket.send([{ host, port, bytes: filled(size + 20, index).subarray(10, size + 10) }]);
    await eventually(`the one of ${size} bytes has come`, () => b.heard.length === index + 1);
  }
  equal(b.heard, sizes.map((size, index) => ({ host, port: a.socket.port, bytes: filled(size, index) })));
  b.socket.send([{ host, port: a.socket.port, bytes: filled(3, 9) }]);
  await eventually("the answer has come", () => a.heard.length === 1);
  equal(a.heard, [{ host, port, bytes: filled(3, 9) }]);
  await Promise.all([a.socket.close(), b.socket.close()]);
  // Nothing happens any more.
  a.socket.send([{ host, port, bytes: filled(1, 1) }]);
  await a.socket.close();
}

async function burst(runtime: Runtime): Promise<void> {
  const [a, b] = [await listen(runtime), await listen(runtime)];
  // The system's own buffers hold a hundred or so of these at a time.
  const perTurn = runtime.name === "deno" ? 50 : 1_000;
  for (let sent = 0; sent < 1_000; sent += perTurn) {
    const bytes = filled(1_200, sent & 255);
    a.socket.send(Array.from({ length: perTurn }, () => ({ host: "127.0.0.1", port: b.socket.port, bytes })));
    await eventually("all have come", () => b.heard.length === sent + perTurn);
  }
  ok(b.heard.every(({ bytes }) => bytes.byteLength === 1_200), "all are whole");
  await Promise.all([a.socket.close(), b.socket.close()]);
}

/** A runtime may give such a peer a socket of its own. */
async function much(runtime: Runtime): Promise<void> {
  const host = "127.0.0.1";
  const [a, other] = [await listen(runtime), await listen(runtime)];
  let b = await listen(runtime);
  const { port } = b.socket;
  const exchange = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      const [mine, others] = [b.heard.length, other.heard.length];
      a.socket.send([5, 6, 7].map((bytes) => ({ host, port, bytes: filled(bytes, 1) })));
      b.socket.send([{ host, port: a.socket.port, bytes: filled(4, 2) }]);
      other.socket.send([{ host, port: a.socket.port, bytes: filled(4, 3) }]);
      a.socket.send([{ host, port: other.socket.port, bytes: filled(8, 4) }]);
      await eventually("all have heard", () => b.heard.length >= mine + 3 && other.heard.length === others + 1);
    }
  };
  await exchange(100);
  ok(b.heard.every((one) => one.port === a.socket.port && one.bytes[0] === 1), "the one hears what is for it, from one port");
  ok(other.heard.every((one) => one.port === a.socket.port && one.bytes[0] === 4), "and so does the other");
  await eventually("both have been heard", () => a.heard.length === 200);
  equal(a.heard.filter((one) => one.port === port && one.bytes[0] === 2).length, 100);

  await b.socket.close();
  for (let count = 0; count < 5; count++) a.socket.send([{ host, port, bytes: filled(5, 9) }]);
  b = await listen(runtime, host, port);
  await eventually("it is reached again", () => {
    a.socket.send([{ host, port, bytes: filled(5, 1) }]);
    return b.heard.length > 0;
  });
  await exchange(10);
  await Promise.all([a, b, other].map(({ socket }) => socket.close()));
  // Nobody holds the port any more.
  await (await listen(runtime, host, a.socket.port)).socket.close();
}

async function troubled(runtime: Runtime): Promise<void> {
  const [a, b, gone] = [await listen(runtime), await listen(runtime), await listen(runtime)];
  await gone.socket.close();
  const to = (port: number, bytes: number, value: number): Datagram => ({ host: "127.0.0.1", port, bytes: filled(bytes, value) });
  const { port } = b.socket;
  for (let round = 0; round < 3; round++) {
    a.socket.send([to(port, 5, 1), to(gone.socket.port, 5, 2), to(port, 5, 3), to(port, 70_000, 4), to(port, 5, 5), to(port, 5, 6)]);
    await eventually("the four have come", () => b.heard.length === 4 * (round + 1));
  }
  equal(b.heard.map(({ bytes }) => bytes[0]).sort(), [1, 1, 1, 3, 3, 3, 5, 5, 5, 6, 6, 6]);
  b.socket.send([to(a.socket.port, 5, 7)]);
  await eventually("it still hears", () => a.heard.length === 1);
  await Promise.all([a.socket.close(), b.socket.close()]);
}

async function bothKinds(runtime: Runtime): Promise<void> {
  const [both, four, six] = [await listen(runtime, "::"), await listen(runtime), await listen(runtime, "::1")];
  const { port } = both.socket;
  four.socket.send([{ host: "127.0.0.1", port, bytes: filled(1, 4) }]);
  six.socket.send([{ host: "::1", port, bytes: filled(1, 6) }]);
  await eventually("both have come", () => both.heard.length === 2);
  equal(both.heard.map(({ host }) => host).sort(), ["127.0.0.1", "::1"]);
  both.socket.send(both.heard);
  await eventually("both are answered", () => four.heard.length === 1 && six.heard.length === 1);
  equal([four.heard, six.heard], [[{ host: "127.0.0.1", port, bytes: filled(1, 4) }], [{ host: "::1", port, bytes: filled(1, 6) }]]);
  await Promise.all([both, four, six].map(({ socket }) => socket.close()));
}

async function taken(runtime: Runtime): Promise<void> {
  const { socket } = await listen(runtime);
  const error = await rejects(listen(runtime, "127.0.0.1", socket.port), "config");
  equal(error.message, `Cannot listen on 127.0.0.1:${socket.port}: the port is in use`);
  await socket.close();
  const again = await listen(runtime, "127.0.0.1", socket.port);
  await again.socket.close();
}

async function named(runtime: Runtime): Promise<void> {
  const [a, b] = [await listen(runtime, "localhost"), await listen(runtime, "localhost")];
  const host = await runtime.resolve("localhost");
  a.socket.send([{ host: host!, port: b.socket.port, bytes: filled(3, 1) }]);
  await eventually("it has come", () => b.heard.length === 1);
  await Promise.all([a.socket.close(), b.socket.close()]);
  const error = await rejects(listen(runtime, "nobody.invalid"), "config");
  equal(error.message, "Cannot listen on nobody.invalid:0: no host of that name is known");
}

async function names(runtime: Runtime): Promise<void> {
  equal(await runtime.resolve("127.0.0.1"), "127.0.0.1");
  ok(["127.0.0.1", "::1"].includes(await runtime.resolve("localhost") ?? ""), "localhost is this machine");
  equal(await runtime.resolve("nobody.invalid"), null);
}
