/**
 * Every record of a log from some offset on, for as long as somebody listens. Nothing is queued for
 * a slow listener: it reads on in the machine from where it is, and if the log was trimmed beyond
 * that, it is told.
 */
import type { LogRecord } from "../api.ts";
import { ready } from "../context.ts";
import { Feed } from "../feed.ts";
import type { Logs } from "./logs.ts";
import type { LogMachine } from "./machine.ts";
import { place, trimmed, type Wanted } from "./offsets.ts";
import { OneRecord } from "./record.ts";
import type { StoredRecord } from "./segments.ts";

/** What is fetched from the machine at a time. */
const recordsAtOnce = 256;
const bytesAtOnce = 256 << 10;

export function tailFeed(logs: Logs, name: string, from: Wanted, signal: AbortSignal | undefined): Feed<LogRecord> {
  const { context } = logs;
  let machine: LogMachine | null = null;
  let unwatch = () => {};
  let stopped = false;
  let next = 0;
  let page: StoredRecord[] = [];
  let taken = 0;

  const feed = new Feed<LogRecord>(
    {
      take() {
        if (machine === null) return null;
        if (taken === page.length) {
          const { first } = machine.extent(name);
          if (next < first) throw trimmed(name, next, first);
          page = machine.read(name, next, recordsAtOnce, bytesAtOnce);
          taken = 0;
          next += page.length;
          if (page.length === 0) return null;
        }
        return new OneRecord(page[taken++]!, context.cbor);
      },
      stop() {
        stopped = true;
        unwatch();
      },
    },
    context.feeds,
    signal,
  );

  const begin = async (): Promise<void> => {
    const options = signal === undefined ? undefined : { signal };
    const { home } = await logs.find(name, options);
    const hosted = context.replicas.log(home);
    await ready(context, hosted.replica, options, () => `tail log "${name}"`);
    if (stopped) return;
    next = place(name, hosted.machine.extent(name), from, false);
    machine = hosted.machine;
    // Called from inside apply; reading waits until that is over.
    unwatch = machine.watch(name, () => {
      if (feed.hungry) Promise.resolve().then(() => feed.wake());
    });
    feed.wake();
  };
  begin().catch((error: unknown) => feed.fail(error));
  return feed;
}
