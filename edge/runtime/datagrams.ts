/**
 * UDP sockets through node:dgram. On Bun, what lies beneath it sends many datagrams in one call to the system, which halves
 * the cost of each; Bun's own sockets do too, but keep the system's small buffers and lose what comes in bursts.
 *
 * There is no way to forbid that a datagram is fragmented: one that is longer than the way to its receiver allows goes in
 * pieces where the system knows that, and is put together again at the other end.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { platform } from "node:process";
import type { Datagram, DatagramEvents, DatagramSocket } from "../runtime.ts";
import { mappedAddress, ownAddress, plainAddress } from "./addresses.ts";
import { type ConnectedSocket, ConnectedSockets } from "./connected.ts";
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
  const nameOf = isIPv6(address) ? mappedAddress : (host: string): string => host;
  try {
    // Nobody else has the port, or this throws.
    let socket = await bind(address, port, false);
    const bound = socket.address().port;
    let sendAll = singly(socket, nameOf);
    let connected: ConnectedSockets | null = null;
    const beneath = socketBeneath(socket);
    if (beneath !== null) sendAll = batches(beneath, nameOf);
    if (beneath !== null && platform === "linux") {
      // The others are bound to the same port: all of them have to agree to that.
      await closed(socket);
      socket = await bind(address, bound, true);
      connected = new ConnectedSockets((host, port) => connect(address, bound, { host: nameOf(host), port }, events));
      sendAll = preferring(connected, batches(socketBeneath(socket)!, nameOf));
    }
    hear(socket, events);
    let closing: Promise<void> | null = null;
    return {
      host,
      port: bound,
      datagramBytesMax,
      send(datagrams): void {
        if (closing === null) sendAll(datagrams);
      },
      close(): Promise<void> {
        return closing ??= Promise.all([connected?.close(), closed(socket)]).then(() => {});
      },
    };
  } catch (error) {
    throw cannotListen({ host, port }, error);
  }
}

/** `shared`: with others of this process and this user that say the same. */
function bind(address: string, port: number, shared: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const type = isIPv6(address) ? "udp6" : "udp4";
    const socket = createSocket({
      type,
      recvBufferSize: bufferBytes,
      sendBufferSize: bufferBytes,
      lookup: asItIs,
      ...(shared ? { reusePort: true } : {}),
    });
    const refused = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once("error", refused);
    socket.bind({ address, port }, () => {
      socket.off("error", refused);
      resolve(socket);
    });
  });
}

function hear(socket: Socket, events: DatagramEvents): void {
  // A peer's system that says it does not listen is no failure of this socket.
  socket.on("error", (error) => events.onTrouble(error.message));
  socket.on("message", (bytes: Uint8Array, { address, port }: RemoteInfo) => {
    deliver(events, { host: plainAddress(address), port, bytes });
  });
}

function closed(socket: Socket): Promise<void> {
  return new Promise((done) => socket.close(() => done()));
}

/** Null if it cannot be. */
async function connect(
  address: string,
  port: number,
  peer: { readonly host: string; readonly port: number },
  events: DatagramEvents,
): Promise<ConnectedSocket | null> {
  const socket = await bind(address, port, true);
  // Until it is connected, what comes for the other one may come here.
  hear(socket, events);
  const failure = await new Promise<unknown>((resolve) => socket.connect(peer.port, peer.host, resolve as (failure?: Error) => void));
  const beneath = socketBeneath(socket);
  if (beneath === null || failure instanceof Error) {
    await closed(socket);
    return null;
  }
  return {
    send: (datagrams) =>
      datagrams.length === 1 ? Number(beneath.send(datagrams[0]!.bytes)) : beneath.sendMany(datagrams.map(({ bytes }) => bytes)),
    close: () => void socket.close(),
  };
}

type Send = (datagrams: readonly Datagram[]) => void;

function singly(socket: Socket, nameOf: (host: string) => string): Send {
  return (datagrams) => {
    for (const { host, port, bytes } of datagrams) socket.send(bytes, port, nameOf(host), ignore);
  };
}

/** Through a connected socket what goes to one address, as most batches do. */
function preferring(connected: ConnectedSockets, others: Send): Send {
  return (datagrams) => {
    if (datagrams.length === 0) return;
    const { host, port } = datagrams[0]!;
    const sent = datagrams.every((one) => one.port === port && one.host === host) ? connected.send(datagrams) : 0;
    if (sent < datagrams.length) others(sent === 0 ? datagrams : datagrams.slice(sent));
  };
}

function batches(beneath: SocketBeneath, nameOf: (host: string) => string): Send {
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
  /** Whether it has left. Without port and host if it is connected. */
  send(bytes: Uint8Array, port?: number, host?: string): boolean;
  /** Bytes, port and host of each in turn, or the bytes alone if it is connected; how many of them have left. */
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
