/**
 * HTTP/1.1 and HTTP/2 in clear text on one port: Node has a server for each and none for both, so a
 * plain one looks at the first bytes and hands the connection to the right one.
 */
import { Buffer } from "node:buffer";
import { createServer as createHttp1 } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Fetch, HttpServer } from "../runtime.ts";
import { answerWith } from "./fetch_adapter.ts";
import { cannotListen } from "./listen.ts";

/** What every HTTP/2 connection begins with; no HTTP/1.1 method is spelled like it. */
const preface = "PRI * HTTP/2.0";
const windowBytes = 1 << 20;
const firstBytesMs = 10_000;

export function serveHttp(address: { readonly host: string; readonly port: number }, fetch: Fetch): Promise<HttpServer> {
  const answer = answerWith(fetch);
  // A long upload or a stream between nodes has no end to wait for.
  const http1 = createHttp1({ requestTimeout: 0, noDelay: true }, answer);
  const http2 = createHttp2({ settings: { initialWindowSize: windowBytes, maxConcurrentStreams: 256 } }, answer);
  http2.on("session", (session) => session.setLocalWindowSize(windowBytes * 4));
  http2.on("sessionError", () => {});
  const open = new Set<Socket>();

  const server = createServer({ noDelay: true, pauseOnConnect: false }, (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(firstBytesMs, () => socket.destroy());
    peek(socket, (isHttp2) => {
      socket.setTimeout(0);
      (isHttp2 ? http2 : http1).emit("connection", socket);
    });
  });

  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(cannotListen(address, error));
    server.once("error", refuse);
    server.listen(address.port, address.host, () => {
      server.off("error", refuse);
      server.on("error", () => {});
      resolve({
        host: address.host,
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            for (const socket of open) socket.destroy();
          }),
      });
    });
  });
}

/** Calls back when enough has come to tell; the bytes go back to where the protocol's own reader finds them. */
function peek(socket: Socket, told: (isHttp2: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const look = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = seen.byteLength === 0 ? chunk : Buffer.concat([seen, chunk]);
    const start = seen.toString("latin1", 0, preface.length);
    if (start.length < preface.length && preface.startsWith(start)) return;
    socket.off("readable", look);
    socket.unshift(seen);
    told(start === preface);
  };
  socket.on("readable", look);
}
