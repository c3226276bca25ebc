/** Deno: its own server and client for HTTP; its node:http2 ends the process when a peer says goodbye at the wrong moment. */
import { getRandomValues } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Fetch, HttpServer, Runtime } from "../runtime.ts";
import { resolve } from "./addresses.ts";
import { newClock } from "./clock.ts";
import { cryptography } from "./cryptography.ts";
import { openDatagrams } from "./deno_datagrams.ts";
import { openDisk } from "./disk.ts";
import { openFetchStream } from "./fetch_stream.ts";
import { cannotListen } from "./listen.ts";

interface Address {
  readonly host: string;
  readonly port: number;
}

// deno-lint-ignore require-await
async function serveHttp(address: Address, fetch: Fetch): Promise<HttpServer> {
  const stop = new AbortController();
  try {
    const server = Deno.serve({
      hostname: address.host,
      port: address.port,
      signal: stop.signal,
      onListen: () => {},
      onError: () => new Response("Cannot answer: internal error\n", { status: 500 }),
    }, fetch);
    const close = async (): Promise<void> => {
      stop.abort();
      await server.finished;
    };
    return { host: address.host, port: server.addr.port, close };
  } catch (error) {
    throw cannotListen(address, error);
  }
}

export const runtime: Runtime = {
  name: "deno",
  version: Deno.version.deno,
  clock: newClock(),
  // Its node:fs drops the flags it does not know, and says nothing.
  openDisk: (directory) => openDisk(directory, { flags: false }),
  serveHttp,
  openStream(url, headers, events) {
    // A client of its own is a connection of its own: a link that is stuck then holds up nobody else's.
    const client = Deno.createHttpClient({ http1: false, http2: true, poolMaxIdlePerHost: 0 });
    return openFetchStream(url, headers, {
      onAnswer: (status, header) => events.onAnswer?.(status, header),
      onOpen: () => events.onOpen(),
      onDrain: () => events.onDrain(),
      onClose(reason: string): void {
        client.close();
        events.onClose(reason);
      },
    }, { client });
  },
  openDatagrams,
  resolve,
  cryptography,
  entropy: () => getRandomValues(new Uint32Array(1))[0]!,
  crc32: (bytes, seed) => crc32(bytes, seed),
  // Only with a V8 flag that nobody sets in production.
  collectGarbage: () => {},
};
