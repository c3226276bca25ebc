/** What the link is told of nodes that are listed by a join token, and tells of them. */
import type { NodeId } from "../../../core/ids.ts";
import type { Happening } from "../../events/event.ts";
import type { KeyPair } from "../identity.ts";
import type { JoinListing } from "./token.ts";

/** What became of a key that was shown under a token. */
export type Lesson =
  /** It is kept, durably where there is a disk, and lets the node in. */
  | "learned"
  | "known"
  /** Another was shown under this token before: somebody else has the token as well, or the node has lost its key. */
  | "another"
  /** It is another node's, or a token's. */
  | "taken"
  /** The token is not what lists the node any more. */
  | "unlisted";

export interface Joins {
  /** The token that lists this node, while one does. */
  readonly token: KeyPair | null;
  /** Null for a node that is listed by keys. */
  listingOf(node: NodeId): JoinListing | null;
  /** The key that was learned under the token that lists the node now; null before. */
  learnedOf(node: NodeId): Uint8Array | null;
  /** Rejects, and has learned nothing, if it cannot be kept. */
  learn(node: NodeId, listing: JoinListing, key: Uint8Array): Promise<Lesson>;
  tell(happening: JoinHappening): void;
}

export type JoinHappening = Extract<
  Happening,
  { readonly kind: "joined" | "key-learned" | "join-refused" | "join-expired" | "join-used-twice" }
>;
