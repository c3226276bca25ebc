/** The machine through node: builtins only: complete, and what the other two start from. */
import { getRandomValues } from "node:crypto";
import { versions } from "node:process";
import { crc32 } from "node:zlib";
import type { Runtime } from "../runtime.ts";
import { resolve } from "./addresses.ts";
import { newClock } from "./clock.ts";
import { cryptography } from "./cryptography.ts";
import { openDatagrams } from "./datagrams.ts";
import { openDisk } from "./disk.ts";
import { openStream } from "./http2_stream.ts";
import { serveHttp } from "./serve_node.ts";

export const runtime: Runtime = {
  name: "node",
  version: versions.node,
  clock: newClock(),
  openDisk: (directory) => openDisk(directory, { flags: true }),
  serveHttp,
  openStream,
  openDatagrams,
  resolve,
  cryptography,
  entropy: () => getRandomValues(new Uint32Array(1))[0]!,
  crc32: (bytes, seed) => crc32(bytes, seed),
  // Only with a V8 flag that nobody sets in production.
  collectGarbage: () => {},
};
