/**
 * Messages of which only the newest matters: they go as datagrams, are never sent again when lost, and twice where loss is
 * likely and an answer far away.
 */
import type { Millis, NodeId } from "../../../core/ids.ts";
import type { Message } from "../../../core/message.ts";
import type { Clock } from "../../runtime.ts";

/** A vote is good for as long as nobody has sent it again in a heartbeat. */
const voteMs = 1_000;
const againMs = 3;
const farMs = 40;
const lossyRatio = 0.0005;

export interface Word {
  /** A newer word of the same key says all that this one does. */
  readonly key: string;
  readonly goodForMs: Millis;
}

/** Null: it must arrive, or wait for what was sent before. */
export function wordOf(message: Message): Word | null {
  switch (message.kind) {
    case "heartbeat":
      return { key: "heartbeat", goodForMs: message.nextInMs };
    case "vote":
      // Votes are cumulative, each for its group and ballot; in a ring one message carries those of several acceptors.
      return { key: `vote ${message.group} ${message.ballot} ${votersOf(message.votes)}`, goodForMs: voteMs };
    default:
      return null;
  }
}

function votersOf(votes: readonly { readonly node: NodeId }[]): string | number {
  return votes.length === 1 ? votes[0]!.node : votes.map(({ node }) => node).join();
}

export function isWorthRepeating({ rttMs, lossRatio }: { readonly rttMs: number | null; readonly lossRatio: number }): boolean {
  return (rttMs ?? 0) > farMs && lossRatio > lossyRatio;
}

/** Says words a second time, a little later: what loses one packet often loses its neighbours too. */
export class Repeats {
  readonly #clock: Clock;
  /** By key, the newest. */
  readonly #words = new Map<string, () => void>();
  #cancel: (() => void) | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(key: string, say: () => void): void {
    this.#words.set(key, say);
    this.#cancel ??= this.#clock.wakeAt(this.#clock.now().mono + againMs, () => {
      const words = [...this.#words.values()];
      this.close();
      for (const say of words) say();
    });
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#words.clear();
  }
}
