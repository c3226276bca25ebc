/**
 * The two clocks and the alarms. All alarms share one platform timer: a host sets its deadline anew
 * after every turn, nearly always to a later moment, and that must not cost a timer each time.
 */
import { setImmediate } from "node:timers";
import type { Millis, Now } from "../../core/ids.ts";
import { type Clock, wallMicros } from "../runtime.ts";

/** A longer `setTimeout` fires at once instead of late. */
const timeoutMsMax = 2 ** 31 - 1;
/** How far the wall clock may be from where the monotonic clock puts it before we follow it: its own grain is 1 ms. */
const wallSlackMs = 3;

interface Alarm {
  readonly at: Millis;
  /** When it has to ring, if nothing else rings before. */
  readonly latestAt: Millis;
  readonly callback: () => void;
}

export function newClock(): Clock {
  const alarms = new Set<Alarm>();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let armedFor: Millis = Infinity;
  let wallOffset = performance.timeOrigin;

  const arm = (at: Millis): void => {
    if (timer !== null) clearTimeout(timer);
    armedFor = at;
    timer = at === Infinity ? null : setTimeout(ring, Math.min(Math.max(Math.ceil(at - performance.now()), 0), timeoutMsMax));
  };

  const ring = (): void => {
    timer = null;
    armedFor = Infinity;
    const now = performance.now();
    let first = Infinity;
    for (const { latestAt } of alarms) first = Math.min(first, latestAt);
    // Timers are early now and then (the platform counts whole milliseconds), and a cancelled alarm leaves its timer behind.
    if (first > now) return arm(first);
    let next = Infinity;
    const due: Alarm[] = [];
    for (const alarm of alarms) {
      if (alarm.at <= now) due.push(alarm);
      else next = Math.min(next, alarm.latestAt);
    }
    // After a pause many are due at once: in the order in which they should have rung.
    due.sort((a, b) => a.at - b.at);
    for (const alarm of due) if (alarms.delete(alarm)) alarm.callback();
    if (next < armedFor) arm(next);
  };

  return {
    now(): Now {
      const mono = performance.now();
      const unixMs = Date.now();
      // The wall clock between its ticks; followed when somebody sets it.
      if (Math.abs(unixMs - (wallOffset + mono)) > wallSlackMs) wallOffset = unixMs - mono;
      return { mono, wall: wallMicros(wallOffset + mono) };
    },
    wakeAt(at: Millis, callback: () => void, graceMs: Millis = 0): () => void {
      if (at === Infinity) return nothing;
      const alarm: Alarm = { at, latestAt: at + graceMs, callback };
      alarms.add(alarm);
      if (alarm.latestAt < armedFor) arm(alarm.latestAt);
      return () => {
        alarms.delete(alarm);
        if (alarms.size === 0) arm(Infinity);
      };
    },
    soon(callback: () => void): void {
      setImmediate(callback);
    },
  };
}

function nothing(): void {}
