/**
 * Everything known about keys, by position. A version is the position of a write, so all that users were told of a key
 * must fit one line of versions: each has one content, reads show the newest at their position, and what was told before
 * a call began lies below what the call tells. Cheap enough for any number of calls; it trusts positions, the
 * linearizability search in registers.ts does not.
 */
import type { Millis } from "../../../core/ids.ts";
import { demand } from "../../sim/oracle/violation.ts";

export interface Told {
  readonly key: string;
  /** null: there is nothing. */
  readonly value: string | null;
  /** Of the write; "" for nothing. */
  readonly version: string;
  /** Where in the order that was so. */
  readonly position: string;
  readonly calledAt: Millis;
  readonly answeredAt: Millis;
  /** Sees everything acknowledged before the call. */
  readonly linearizable: boolean;
  readonly who: string;
}

interface Written {
  readonly value: string | null;
  readonly who: string;
}

export class Versions {
  readonly #written = new Map<string, Map<string, Written>>();
  readonly #told = new Map<string, Told[]>();
  /** When deletions were asked for of which nobody knows whether they happened: unlike values, they cannot be recognised. */
  readonly #doubts = new Map<string, Millis>();
  /** Values of writes that certainly did not happen. */
  readonly #refused = new Map<string, string>();

  get keys(): Iterable<string> {
    return this.#written.keys();
  }

  /** A write took place: its answer, a read or a watch says so. `value` null: it was a deletion. */
  write(key: string, version: string, value: string | null, who: string): void {
    const versions = this.#written.get(key) ?? new Map<string, Written>();
    this.#written.set(key, versions);
    const before = versions.get(version);
    if (before === undefined) versions.set(version, { value, who });
    else {
      demand(
        before.value === value,
        "versions",
        () => `${JSON.stringify(key)} at ${version} is ${tell(value)} says ${who}, and ${tell(before.value)} said ${before.who}`,
      );
    }
  }

  tell(told: Told): void {
    if (told.value !== null) this.write(told.key, told.version, told.value, told.who);
    const all = this.#told.get(told.key);
    if (all === undefined) this.#told.set(told.key, [told]);
    else all.push(told);
  }

  refused(value: string, why: string): void {
    this.#refused.set(value, why);
  }

  /** Somebody asked for a deletion then, and was not told whether it happened. */
  doubt(key: string, calledAt: Millis): void {
    this.#doubts.set(key, Math.min(this.#doubts.get(key) ?? Infinity, calledAt));
  }

  /** Whether a deletion nobody was told of may explain that the key is gone by then. */
  mayBeDeleted(key: string, by: Millis): boolean {
    return (this.#doubts.get(key) ?? Infinity) < by;
  }

  /** Known writes to keys of a range, ascending. */
  writes(inRange: (key: string) => boolean): { readonly key: string; readonly version: string; readonly value: string | null }[] {
    const all = [...this.#written].filter(([key]) => inRange(key))
      .flatMap(([key, versions]) => [...versions].map(([version, { value }]) => ({ key, version, value })));
    return all.sort((a, b) => a.version < b.version ? -1 : 1);
  }

  check(): void {
    for (const [key, told] of this.#told) this.#checkKey(key, told);
    for (const [key, versions] of this.#written) {
      for (const { value, who } of versions.values()) {
        const why = value === null ? undefined : this.#refused.get(value);
        demand(
          why === undefined,
          "outcome",
          () => `${who} has seen ${tell(value)} in ${JSON.stringify(key)}, whose write certainly had no effect (${why})`,
        );
      }
    }
  }

  #checkKey(key: string, told: readonly Told[]): void {
    const versions = [...(this.#written.get(key) ?? new Map<string, Written>())].sort(([a], [b]) => a < b ? -1 : 1);
    for (const one of told) {
      const [version, newest] = newestUpTo(versions, one.position);
      demand(
        version === one.version || one.value === null && (newest?.value === null || this.mayBeDeleted(key, one.answeredAt)),
        "stale",
        () =>
          `${one.who} was told ${tell(one.value)} (${one.version || "nothing"}) at ${one.position} for ${JSON.stringify(key)}, where ${
            tell(newest?.value ?? null)
          } was written at ${version} (${newest?.who})`,
      );
    }
    // What was told to anybody before a call began is a lower bound for what the call may tell.
    const byEnd = [...told].sort((a, b) => a.answeredAt - b.answeredAt);
    const byCall = told.filter(({ linearizable }) => linearizable).sort((a, b) => a.calledAt - b.calledAt);
    let least: Told | null = null;
    let next = 0;
    for (const one of byCall) {
      for (; next < byEnd.length && byEnd[next]!.answeredAt < one.calledAt; next++) {
        const shown = shownBy(byEnd[next]!);
        if (least === null || shown > shownBy(least)) least = byEnd[next]!;
      }
      const bound = least;
      demand(
        bound === null || one.position >= shownBy(bound),
        "stale",
        () =>
          `${one.who} asked for ${JSON.stringify(key)} at ${one.calledAt.toFixed(2)} and was told of ${one.position}, after ${
            bound!.who
          } had been told of ${shownBy(bound!)} at ${bound!.answeredAt.toFixed(2)}`,
      );
    }
  }
}

/** The position a reply vouches for: of the write it shows. */
function shownBy(told: Told): string {
  return told.version;
}

function newestUpTo(versions: readonly (readonly [string, Written])[], position: string): readonly [string, Written | null] {
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (versions[middle]![0] <= position) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? ["", null] : versions[low - 1]!;
}

function tell(value: string | null): string {
  return value === null ? "nothing" : JSON.stringify(value.length > 30 ? `${value.slice(0, 30)}…` : value);
}
