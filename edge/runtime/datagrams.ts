/** UDP sockets through node:dgram: on Bun it sends and receives many datagrams in one call to the system. */
import { createSocket, type RemoteInfo } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";
import type { DatagramEvents, DatagramSocket } from "../runtime.ts";
import { cannotListen } from "./listen.ts";

/** The system's default of about 200 KiB loses what comes while a turn of the event loop takes long. */
const bufferBytes = 4 << 20;

export function openDatagrams(
  { host, port }: { readonly host: string; readonly port: number },
  events: DatagramEvents,
): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: isIPv6(host) ? "udp6" : "udp4", recvBufferSize: bufferBytes, sendBufferSize: bufferBytes });
    const refused = (error: Error): void => reject(cannotListen({ host, port }, error));
    socket.once("error", refused);
    socket.bind({ address: host, port }, () => {
      socket.off("error", refused);
      // A peer's system that says it does not listen is no failure of this socket.
      socket.on("error", (error) => events.onTrouble(error.message));
      let closed: Promise<void> | null = null;
      resolve({
        host,
        port: socket.address().port,
        send(datagrams): void {
          if (closed !== null) return;
          for (const { host, port, bytes } of datagrams) socket.send(bytes, port, host, ignore);
        },
        close: () => closed ??= new Promise((done) => socket.close(() => done())),
      });
    });
    socket.on("message", (bytes: Uint8Array, { address, port }: RemoteInfo) => events.onDatagram({ host: address, port, bytes }));
  });
}

/** Null if there is no such name now. */
export async function resolve(host: string): Promise<string | null> {
  return await lookup(host).then(({ address }) => address, () => null);
}

function ignore(): void {}
