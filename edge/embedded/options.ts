/** What a node in this process is told, and what it is. */
import type { Durability } from "../../core/node.ts";
import type { TopologyInput } from "../../core/topology.ts";
import type { Carillon } from "../../services/api.ts";
import type { CheckpointLimits } from "../checkpoints/checkpoints.ts";
import type { Address } from "../config/read.ts";
import type { LinkSettings } from "../config.ts";
import type { Happening, NodeEvent } from "../events/event.ts";

export interface NodeOptions {
  /** Directory of the journal; made if it is not there. Without it `durability` must be, and is, `memory`. */
  readonly data?: string;
  /** Default `sync` with `data`, else `memory`. */
  readonly durability?: Durability;
  /** Default: this node alone, with one group `main` that owns every key. */
  readonly topology?: TopologyInput;
  /** This node's name in the topology; may be left out if there is only one. */
  readonly self?: string;
  /** Where users connect over HTTP; default false: nowhere. Port 0 picks one. */
  readonly http?: Address | false;
  /** Where peers connect; default the link address of this node in the topology. */
  readonly link?: Address;
  /** The public keys of all nodes, by name: who is let in. A node with peers needs them. */
  readonly keys?: PublicKeys;
  /** The file with this node's private keys, as `carillon init` makes it; default `node.key` in `data`. */
  readonly keyFile?: string;
  /** Instead of a file: what `newNodeKey` makes. */
  readonly privateKey?: string;
  /** What `newJoinToken` makes; for a node that a token lists in `keys`, instead of a key. */
  readonly joinToken?: string;
  /** Instead: a file that holds it; default `join.token` in `data`. */
  readonly joinFile?: string;
  /** How links are made. Default: over UDP where that works, else over HTTP/2, without traces. */
  readonly links?: Partial<LinkSettings>;
  /** What HTTP users must send as `Authorization: Bearer …`; several while one takes the place of another. */
  readonly token?: string | readonly string[];
  /** Simulated one-way milliseconds by pair of regions (`fra-iad`), in either order. */
  readonly delays?: ReadonlyMap<string, number>;
  /** Wait so long until the node is ready. Default 15 000 for a node alone, 0 (do not wait) for one with peers. */
  readonly readyWithinMs?: number;
  /** How often replicas are written out, and how fast they are taken over. Defaults in edge/checkpoints/checkpoints.ts. */
  readonly checkpoints?: Partial<CheckpointLimits>;
  /** What happens in the node, as it does: the same as `/v1/events` has. Default: nowhere. */
  readonly onEvent?: (event: NodeEvent) => void;
  /** Sentences an operator should read. Default: nowhere. */
  readonly onNotice?: (sentence: string) => void;
  /** The node cannot go on (its disk failed, an invariant broke) and has closed itself. Default: every later call throws `closed`. */
  readonly onCrash?: (error: Error) => void;
}

/** Keys as `ck1_…`; several while one takes the place of another. Instead of any: what a join token lists, `cj1_…`. */
export type PublicKeys = Readonly<Record<string, string | readonly string[]>>;

/** A node in this process. */
export interface LocalCarillon extends Carillon {
  /** `http://localhost:4100` as bound; null if it does not listen. */
  readonly url: string | null;
  /** Where peers connect, as bound; null for a node alone. */
  readonly linkAddress: string | null;
  /** Resolves when the node is ready: every group it has to do with has a coordinator. Throws `joining` after `withinMs`. */
  ready(withinMs: number): Promise<void>;
  /**
   * From now on these nodes have these public keys, and this one holds what its key file has by now. Links of a key that is gone
   * end at once. Throws CarillonError `config`, and changes nothing, for keys that cannot be used.
   */
  changeKeys(keys: PublicKeys): Promise<void>;
  /**
   * From now on these are what HTTP users must send, none: nothing. Whoever uses another is refused, and streams opened with it end at
   * once with `unauthenticated`.
   */
  changeTokens(tokens: readonly string[]): void;
  /** Something an embedding program knows and `/v1/events` should tell. */
  tell(happening: Happening): void;
}
