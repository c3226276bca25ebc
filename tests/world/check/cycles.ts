/**
 * Transactions that append to lists and read them (Elle's idea): where each element lies and how long each list was when it
 * was read says who came before whom, and so do the times of calls and answers. A cycle is an order nobody can have seen.
 */
import type { Millis } from "../../../core/ids.ts";
import { demand } from "../../sim/oracle/violation.ts";

export interface Transaction {
  readonly who: string;
  /** One element each: where it lies. */
  readonly appends: readonly { readonly list: string; readonly at: number }[];
  /** How long the list was. */
  readonly reads: readonly { readonly list: string; readonly length: number }[];
  readonly calledAt: Millis;
  /** Infinity: nobody was told. */
  readonly answeredAt: Millis;
}

/** Throws a violation if no order of the transactions explains what they saw and when. */
export function demandAcyclic(transactions: readonly Transaction[], what: string): void {
  const graph = new Graph(transactions);
  const cycle = graph.cycle();
  demand(
    cycle === null,
    "cycle",
    () => `${what} happened in no order: ${cycle!.map((index) => tell(transactions[index]!)).join(" before ")} before the first again`,
  );
}

class Graph {
  readonly #count: number;
  readonly #next: number[][] = [];

  constructor(transactions: readonly Transaction[]) {
    this.#count = transactions.length;
    this.#next = transactions.map(() => []);
    this.#addLists(transactions);
    this.#addTimes(transactions);
  }

  /** Transactions of one cycle in order, or null. */
  cycle(): number[] | null {
    // 0 new, 1 on the path, 2 done.
    const state = new Uint8Array(this.#next.length);
    for (let root = 0; root < this.#next.length; root++) {
      if (state[root] !== 0) continue;
      const path = [root];
      const at = [0];
      state[root] = 1;
      while (path.length > 0) {
        const node = path.at(-1)!;
        const target = this.#next[node]![at[at.length - 1]!++];
        if (target === undefined) {
          state[node] = 2;
          path.pop();
          at.pop();
        } else if (state[target] === 1) {
          return path.slice(path.indexOf(target)).filter((index) => index < this.#count);
        } else if (state[target] === 0) {
          state[target] = 1;
          path.push(target);
          at.push(0);
        }
      }
    }
    return null;
  }

  #edge(from: number, to: number): void {
    if (from !== to) this.#next[from]!.push(to);
  }

  /** Elements in their order, readers behind the last element they saw and before the next. */
  #addLists(transactions: readonly Transaction[]): void {
    const writers = new Map<string, number[]>();
    transactions.forEach(({ appends }, index) => {
      for (const { list, at } of appends) {
        const places = writers.get(list) ?? [];
        writers.set(list, places);
        places[at] = index;
      }
    });
    for (const places of writers.values()) {
      for (let at = 1; at < places.length; at++) {
        if (places[at] !== undefined && places[at - 1] !== undefined) this.#edge(places[at - 1]!, places[at]!);
      }
    }
    transactions.forEach(({ reads }, index) => {
      for (const { list, length } of reads) {
        const places = writers.get(list) ?? [];
        const last = places[length - 1];
        const following = places[length];
        if (last !== undefined) this.#edge(last, index);
        if (following !== undefined) this.#edge(index, following);
      }
    });
  }

  /** A chain of moments: whoever was answered at one comes before whoever calls after it. */
  #addTimes(transactions: readonly Transaction[]): void {
    const events = transactions.flatMap(({ calledAt, answeredAt }, index) => [
      { at: calledAt, answer: false, index },
      ...(answeredAt === Infinity ? [] : [{ at: answeredAt, answer: true, index }]),
    ]);
    // At the same moment calls come first, which allows more.
    events.sort((a, b) => a.at - b.at || Number(a.answer) - Number(b.answer));
    let moment = -1;
    for (const { answer, index } of events) {
      if (!answer) {
        if (moment >= 0) this.#edge(moment, index);
        continue;
      }
      const next = this.#next.push([]) - 1;
      if (moment >= 0) this.#edge(moment, next);
      this.#edge(index, next);
      moment = next;
    }
  }
}

function tell({ who, appends, reads, calledAt, answeredAt }: Transaction): string {
  const parts = [...appends.map(({ list, at }) => `${list}[${at}]=`), ...reads.map(({ list, length }) => `|${list}|=${length}`)];
  return `${who} (${parts.join(" ")}, ${calledAt.toFixed(2)}–${answeredAt.toFixed(2)})`;
}
