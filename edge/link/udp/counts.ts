/** What an endpoint has seen of everybody, strangers included. */
import type { LinkCounts } from "../link.ts";

type Writable<Counted> = { -readonly [Name in keyof Counted]: Counted[Name] };

export interface EndpointCounts extends LinkCounts {
  /** Handshakes of others that were looked into, at the cost of agreeing on secrets. */
  readonly agreements: number;
  /** Answers that kept nothing: cookies, versions, and resets. */
  readonly replies: number;
}

export type Counts = Writable<EndpointCounts>;
