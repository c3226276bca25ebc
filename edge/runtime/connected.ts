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

interface Peer {
  readonly host: string;
  readonly port: number;
  /** Null: it is being made. */
  socket: ConnectedSocket | null;
}

export class ConnectedSockets {
  readonly #connect: Connect;
  /** By address: how many datagrams have been sent there without one. */
  readonly #sent = new Map<string, number>();
  /** The oldest first. Found by looking through them: there are few, and to make a key of an address costs more. */
  #peers: Peer[] = [];
  readonly #opening = new Set<Promise<void>>();
  #closed = false;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  /** How many of these, all to one address, have left; the rest is for the socket that was there first. */
  send(datagrams: readonly Datagram[]): number {
    const { host, port } = datagrams[0]!;
    const peer = this.#peers.find((peer) => peer.port === port && peer.host === host);
    if (peer === undefined) this.#count(host, port, datagrams.length);
    if (peer === undefined || peer.socket === null) return 0;
    try {
      return peer.socket.send(datagrams);
    } catch {
      // This machine has another address now, say.
      this.#drop(peer);
      return 0;
    }
  }

  /** Once none is left that holds the port. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const peer of this.#peers) this.#drop(peer);
    await Promise.all(this.#opening);
  }

  #count(host: string, port: number, datagrams: number): void {
    const key = `${host} ${port}`;
    const sent = (this.#sent.get(key) ?? 0) + datagrams;
    if (sent < datagramsBefore) {
      // Whoever is written to much is soon found again.
      if (this.#sent.size >= addressesMax) this.#sent.clear();
      this.#sent.set(key, sent);
      return;
    }
    this.#sent.delete(key);
    if (this.#closed) return;
    // The oldest goes: if its peer is still there, it gets another.
    if (this.#peers.length === socketsMax) this.#drop(this.#peers[0]!);
    const opening = this.#open({ host, port, socket: null }).finally(() => this.#opening.delete(opening));
    this.#opening.add(opening);
  }

  async #open(peer: Peer): Promise<void> {
    this.#peers.push(peer);
    const socket = await this.#connect(peer.host, peer.port).catch(() => null);
    if (socket === null) this.#drop(peer);
    else if (this.#peers.includes(peer)) peer.socket = socket;
    else socket.close();
  }

  #drop(peer: Peer): void {
    this.#peers = this.#peers.filter((other) => other !== peer);
    peer.socket?.close();
  }
}
