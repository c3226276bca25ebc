/**
 * Where listed peers are, as far as this life of the node knows: what it has dialled, and where connections were that a peer has shown its
 * keys in. Only there anybody is told that a connection is forgotten; everybody else is left to guess whether a node is here.
 */
import type { NodeId } from "../../../core/ids.ts";
import type { Roster } from "../identity.ts";
import { sameAddress } from "./address.ts";
import type { Address } from "./paths.ts";

/** Of one peer, the newest: where its name leads to, and where a translator has made it seem to be since. */
const perPeerMax = 4;

export class Whereabouts {
  readonly #roster: Roster;
  readonly #places = new Map<NodeId, readonly Address[]>();

  constructor(roster: Roster) {
    this.#roster = roster;
  }

  note(peer: NodeId, address: Address): void {
    const others = (this.#places.get(peer) ?? []).filter((other) => !sameAddress(other, address));
    this.#places.set(peer, [...others, address].slice(-perPeerMax));
  }

  /**
   * With its port. A node sends from the port it listens on, so that of a peer it is known; whatever else runs on the peer's
   * machine, or behind the same translator, is a stranger.
   */
  knows(address: Address): boolean {
    for (const [peer, places] of this.#places) {
      if (places.some((place) => sameAddress(place, address)) && this.#roster.keysOf(peer).length > 0) return true;
    }
    return false;
  }
}
