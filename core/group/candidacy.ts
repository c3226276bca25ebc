/** What a candidate has gathered so far: promises, and then the log it takes over (R1, R2). */
import type { Entry } from "../entry.ts";
import type { Ballot, Instance, Lsn, Millis, NodeId } from "../ids.ts";
import type { Promise1 } from "../message.ts";

/** Where a candidate takes a log from: up to `last`, and only the decided part if it says so. */
export interface Source {
  readonly node: NodeId;
  readonly logBallot: Ballot;
  readonly last: Instance;
  readonly decided: boolean;
  /** It agrees with ours at the end of the decided prefix. */
  readonly agrees: boolean;
  /** Where the last fetch began. */
  readonly asked: Instance;
  /** Undecided entries that came so far, by instance, without a gap. */
  readonly fetched: Map<Instance, Entry>;
}

export interface Candidacy {
  readonly ballot: Ballot;
  readonly trial: boolean;
  readonly released: Ballot;
  /** Our own promise counts once this record is durable. */
  readonly lsn: Lsn;
  readonly deadline: Millis;
  readonly grants: Map<NodeId, Promise1>;
  /** null while promises are gathered. */
  source: Source | null;
}
