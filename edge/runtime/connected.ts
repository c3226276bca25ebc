/**
 * Sockets of their own for peers that much is sent to: bound to the same port, and connected. The system then need not look
 * for the way of each datagram, which halves what sending one takes when caches are cold (docs/decisions/0020). Everything else
 * goes on through the socket that was there first, and what such a socket refuses as well: losing one loses nothing.
 */
import type { Datagram } from "../runtime.ts";

/** So many datagrams tell a peer from somebody who is answered once or twice. */
const datagramsBefore = 100;
const addressesMax = 256;
const socketsMax = 64;

export interface ConnectedSocket {
  /** All to where it is connected. How many have left: it stops at the first that does not. Throws what the system reports of earlier ones. */
  send(datagrams: readonly Datagram[]): number;
  close(): void;
}

/** Null if there can be none. */
export type Connect = (host: string, port: number) => Promise<ConnectedSocket | null>;

export class ConnectedSockets {
  readonly #connect: Connect;
  /** How many have been sent to each address without one. */
  readonly #sent = new Map<string, number>();
  /** Null: it is being made. */
  readonly #sockets = new Map<string, ConnectedSocket | null>();
  #closed = false;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  /** How many of these, all to one address, have left; the rest is for the socket that was there first. */
  send(datagrams: readonly Datagram[]): number {
    const { host, port } = datagrams[0]!;
    const key = `${host} ${port}`;
    const socket = this.#sockets.get(key);
    if (socket === undefined) this.#count(key, host, port, datagrams.length);
    if (socket === undefined || socket === null) return 0;
    try {
      return socket.send(datagrams);
    } catch {
      // This machine has another address now, say.
      this.#sockets.delete(key);
      socket.close();
      return 0;
    }
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets.values()) socket?.close();
    this.#sockets.clear();
  }

  #count(key: string, host: string, port: number, datagrams: number): void {
    const sent = (this.#sent.get(key) ?? 0) + datagrams;
    if (sent < datagramsBefore) {
      // Whoever is written to much is soon found again.
      if (this.#sent.size >= addressesMax) this.#sent.clear();
      this.#sent.set(key, sent);
      return;
    }
    this.#sent.delete(key);
    if (!this.#closed && this.#makeRoom()) void this.#open(key, host, port);
  }

  async #open(key: string, host: string, port: number): Promise<void> {
    this.#sockets.set(key, null);
    const socket = await this.#connect(host, port).catch(() => null);
    if (this.#closed) socket?.close();
    else if (socket === null) this.#sockets.delete(key);
    else this.#sockets.set(key, socket);
  }

  /** The oldest goes: if its peer is still there, it gets another. */
  #makeRoom(): boolean {
    if (this.#sockets.size < socketsMax) return true;
    const [key, socket] = this.#sockets.entries().next().value!;
    if (socket === null) return false;
    this.#sockets.delete(key);
    socket.close();
    return true;
  }
}
