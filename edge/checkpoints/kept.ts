/** What a node knows of its replicas' newest checkpoints, and how far all of them together let the logs be forgotten. */
import type { Resume } from "../../core/effects.ts";
import type { GroupId, Instance, Millis, NodeId } from "../../core/ids.ts";
import { groupById, type Topology } from "../../core/topology.ts";
import type { Replica } from "../../services/replica.ts";
import type { Head } from "./blocks.ts";
import { resumeOf } from "./store.ts";

/** What is known of one replica's checkpoints. */
export interface Kept {
  readonly replica: Replica;
  /** The nodes that replicate the same. */
  readonly members: readonly NodeId[];
  /** Of the newest that is durable here, and of the one before it, which is gone back to if the newest turns out to be damaged. */
  head: Head | null;
  before: Head | null;
  fileBytes: number;
  /** When it was made or taken over, and what the journal had been given by then. */
  madeAt: Millis;
  bytesBefore: number;
  made: number;
  installed: number;
  busy: boolean;
  /** A peer needs a newer one than there is. */
  wanted: boolean;
}

/** How far every replica that hears a group has gone durably twice over: the log behind the older of its two checkpoints is kept. */
export function safeEnds(all: readonly Kept[]): { readonly group: GroupId; readonly instance: Instance }[] {
  return endsOf(all, ({ before }) => before).map(([group, ends]) => ({
    group,
    instance: Math.min(...ends.map((end) => end?.foundation.instance ?? 0)),
  }));
}

/** No further than the replica that is least far: what it needs is not to be forgotten for the others' sake. */
export function leastEnds(all: readonly Kept[]): Resume[] {
  const least: Resume[] = [];
  for (const [, ends] of endsOf(all, ({ head }) => head)) {
    if (ends.some((end) => end === undefined)) continue;
    least.push((ends as Resume[]).reduce((a, b) => b.foundation.instance < a.foundation.instance ? b : a));
  }
  return least;
}

/** Per group that some replica hears: where each of these goes on, by one of its checkpoints. */
function endsOf(all: readonly Kept[], which: (kept: Kept) => Head | null): [GroupId, (Resume | undefined)[]][] {
  const groups = new Set(all.flatMap(({ replica }) => replica.groups));
  return [...groups].map((group) => [
    group,
    all.filter(({ replica }) => replica.groups.includes(group)).map((kept) => resumeOf(which(kept)?.groups ?? [], group)),
  ]);
}

/** Nothing has been ordered in between, not even given up. */
export function sameEnds(a: readonly Resume[], b: readonly Resume[]): boolean {
  return a.every(({ group, foundation }) => resumeOf(b, group)?.foundation.instance === foundation.instance);
}

/** The nodes that replicate the same. */
export function membersOf(topology: Topology, groups: readonly GroupId[]): NodeId[] {
  return topology.nodes.map(({ id }) => id).filter((node) => groups.every((group) => groupById(topology, group).learners.includes(node)));
}
