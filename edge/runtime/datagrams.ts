/**
 * UDP sockets through node:dgram. On Bun, what lies beneath it sends many datagrams in one call to the system, which halves
 * the cost of each; Bun's own sockets do too, but keep the system's small buffers and lose what comes in bursts.
 *
 * There is no way to forbid that a datagram is fragmented: one that is longer than the way to its receiver allows goes in
 * pieces where the system knows that, and is put together again at the other end.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { Datagram, DatagramEvents, DatagramSocket } from "../runtime.ts";
import { mappedAddress, ownAddress, plainAddress } from "./addresses.ts";
import { deliver } from "./deliver.ts";
import { cannotListen } from "./listen.ts";

/** The system's default of about 200 KiB loses what comes while a turn of the event loop takes long. */
const bufferBytes = 4 << 20;
/** What UDP over IPv4 holds. */
const datagramBytesMax = 65_507;

export async function openDatagrams(
  { host, port }: { readonly host: string; readonly port: number },
  events: DatagramEvents,
): Promise<DatagramSocket> {
  const address = await ownAddress({ host, port });
  return await new Promise((resolve, reject) => {
    const type = isIPv6(address) ? "udp6" : "udp4";
    const socket = createSocket({ type, recvBufferSize: bufferBytes, sendBufferSize: bufferBytes, lookup: asItIs });
    const refused = (error: Error): void => reject(cannotListen({ host, port }, error));
    socket.once("error", refused);
    socket.bind({ address, port }, () => {
      socket.off("error", refused);
      // A peer's system that says it does not listen is no failure of this socket.
      socket.on("error", (error) => events.onTrouble(error.message));
      const nameOf = type === "udp6" ? mappedAddress : (host: string): string => host;
      const sendAll = batches(socket, nameOf) ?? singly(socket, nameOf);
      let closed: Promise<void> | null = null;
      resolve({
        host,
        port: socket.address().port,
        datagramBytesMax,
        send(datagrams): void {
          if (closed === null) sendAll(datagrams);
        },
        close: () => closed ??= new Promise((done) => socket.close(() => done())),
      });
    });
    socket.on("message", (bytes: Uint8Array, { address, port }: RemoteInfo) => {
      deliver(events, { host: plainAddress(address), port, bytes });
    });
  });
}

type Send = (datagrams: readonly Datagram[]) => void;

function singly(socket: Socket, nameOf: (host: string) => string): Send {
  return (datagrams) => {
    for (const { host, port, bytes } of datagrams) socket.send(bytes, port, nameOf(host), ignore);
  };
}

/** Null where the runtime has no such call. */
function batches(socket: Socket, nameOf: (host: string) => string): Send | null {
  const beneath = socketBeneath(socket);
  if (beneath === null) return null;
  return (datagrams) => {
    let from = 0;
    let failedAt = -1;
    while (from < datagrams.length) {
      // One that goes alone, as most do, needs no list: an eighth of what its sending costs.
      const sent = from === datagrams.length - 1 ? sendOne(beneath, datagrams[from]!, nameOf) : sendMany(beneath, datagrams, from, nameOf);
      from += sent;
      if (sent > 0) continue;
      // That an earlier one was refused is reported in place of sending; at the second try it goes, or is itself the reason.
      if (failedAt === from) from++;
      else failedAt = from;
    }
  };
}

function sendOne(beneath: SocketBeneath, { host, port, bytes }: Datagram, nameOf: (host: string) => string): 0 | 1 {
  try {
    return beneath.send(bytes, port, nameOf(host)) ? 1 : 0;
  } catch {
    return 0;
  }
}

/** How many have left: it stops at the first that does not. */
function sendMany(beneath: SocketBeneath, datagrams: readonly Datagram[], from: number, nameOf: (host: string) => string): number {
  const parts: (Uint8Array | number | string)[] = [];
  for (let at = from; at < datagrams.length; at++) {
    const { host, port, bytes } = datagrams[at]!;
    parts.push(bytes, port, nameOf(host));
  }
  try {
    return beneath.sendMany(parts);
  } catch {
    return 0;
  }
}

interface SocketBeneath {
  /** Whether it has left. */
  send(bytes: Uint8Array, port: number, host: string): boolean;
  /** Bytes, port and host of each in turn; how many of them have left. */
  sendMany(parts: readonly (Uint8Array | number | string)[]): number;
}

/** Not part of what node:dgram promises: found by its shape, and done without where it is not. */
function socketBeneath(socket: Socket): SocketBeneath | null {
  for (const symbol of Object.getOwnPropertySymbols(socket)) {
    const state = Reflect.get(socket, symbol) as { readonly handle?: { readonly socket?: Partial<SocketBeneath> } } | undefined;
    const beneath = state?.handle?.socket;
    if (typeof beneath?.send === "function" && typeof beneath.sendMany === "function") return beneath as SocketBeneath;
  }
  return null;
}

/** Peers are addressed by number: nothing is looked up on the way out. */
function asItIs(host: string, _: unknown, callback: (error: null, address: string, family: number) => void): void {
  callback(null, host, isIPv6(host) ? 6 : 4);
}

function ignore(): void {}
