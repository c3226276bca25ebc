/** Bun: its own server speaks HTTP/1.1 and HTTP/2 on one port at a fraction of the cost of node:http2's. */
import { getRandomValues } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Fetch, HttpServer, Runtime } from "../runtime.ts";
import { resolve } from "./addresses.ts";
import { newClock } from "./clock.ts";
import { cryptography } from "./cryptography.ts";
import { openDatagrams } from "./datagrams.ts";
import { openDisk } from "./disk.ts";
import { openStream } from "./http2_stream.ts";
import { cannotListen } from "./listen.ts";

interface Address {
  readonly host: string;
  readonly port: number;
}

function listen({ host, port }: Address, fetch: Fetch): Bun.Server<undefined> {
  return Bun.serve({
    hostname: host,
    port,
    http2: true,
    // Streams between nodes and to tailing clients are silent for longer than any timeout would be worth.
    idleTimeout: 0,
    // Bodies are bounded where they are read; a stream between nodes has no end.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch,
    error: () => new Response("Cannot answer: internal error\n", { status: 500 }),
  });
}

// deno-lint-ignore require-await
async function serveHttp(address: Address, fetch: Fetch): Promise<HttpServer> {
  try {
    const server = listen(address, fetch);
    return { host: address.host, port: server.port!, close: () => server.stop(true) };
  } catch (error) {
    throw cannotListen(address, error);
  }
}

export const runtime: Runtime = {
  name: "bun",
  version: Bun.version,
  clock: newClock(),
  openDisk: (directory) => openDisk(directory, { flags: true }),
  serveHttp,
  openStream,
  openDatagrams,
  resolve,
  cryptography,
  entropy: () => getRandomValues(new Uint32Array(1))[0]!,
  crc32: (bytes, seed) => crc32(bytes, seed),
  collectGarbage: () => void Bun.gc(true),
};
