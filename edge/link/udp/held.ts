/** The connections of an endpoint, by their ids and by their peers; those that are being given up are among them for a while. */
import type { Millis, NodeId } from "../../../core/ids.ts";
import type { Connection, ConnectionEvents } from "./connection.ts";
import type { Agreement } from "./handshake.ts";

/** Where what a connection brings goes. */
export type ConnectionListener = Pick<ConnectionEvents, "onStream" | "onDatagram" | "onWritable">;

export const nobody: ConnectionListener = { onStream: () => {}, onDatagram: () => {}, onWritable: () => {} };

export interface Held {
  readonly agreement: Agreement;
  readonly connection: Connection;
  listener: ConnectionListener;
  /** When it is told to end, because another has taken its place. */
  retireAt: Millis;
  /** When it is forgotten; until then it says that it is closed. */
  forgetAt: Millis;
}

/** Connections of one peer that are being given up: more than there ever are. */
const oldPerPeerMax = 4;

export class HeldConnections {
  readonly #held = new Map<string, Held>();
  /** The same. Those that have waited longest for their turn come first. */
  readonly #turns = new Set<Held>();

  get size(): number {
    return this.#held.size;
  }

  /** Those that have waited longest for their turn come first. */
  all(): Iterable<Held> {
    return this.#turns;
  }

  of(peer: NodeId): Held[] {
    return [...this.#held.values()].filter(({ agreement }) => agreement.peer === peer);
  }

  /** By the id that begins at `at`. */
  find(bytes: Uint8Array, at: number): Held | null {
    return this.#held.get(textOf(bytes, at)) ?? null;
  }

  /** Of the peer's others only so many are kept, and the current one in any case. */
  add(held: Held, current: Held | null): void {
    this.#held.set(textOf(held.agreement.connectionId), held);
    this.#turns.add(held);
    const old = this.of(held.agreement.peer).filter((other) => other !== held && other !== current);
    for (const oldest of old.slice(0, Math.max(0, old.length - oldPerPeerMax))) this.forget(oldest);
  }

  forget(held: Held): void {
    this.#held.delete(textOf(held.agreement.connectionId));
    this.#turns.delete(held);
  }

  /** It has had its turn. */
  toBack(held: Held): void {
    if (this.#turns.delete(held)) this.#turns.add(held);
  }
}

/** Ids are random and 8 bytes long: no two are the same. */
function textOf(id: Uint8Array, at = 0): string {
  return String.fromCharCode(
    id[at]!,
    id[at + 1]!,
    id[at + 2]!,
    id[at + 3]!,
    id[at + 4]!,
    id[at + 5]!,
    id[at + 6]!,
    id[at + 7]!,
  );
}
