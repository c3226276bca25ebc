/**
 * A stream that outlives its connections: when one breaks, the next goes on behind the last event that was handed out,
 * at the same node or another. Only what the nodes themselves refuse, and a long silence of all of them, ends it.
 */
import { CarillonError } from "../../core/errors.ts";
import { problemOf } from "./failure.ts";
import { misshapen } from "./items.ts";
import { eventsOf, type ServerEvent } from "./lines.ts";
import { pause } from "./pause.ts";
import type { Transport } from "./transport.ts";

/** Of trying again: the first pause, doubled up to the longest; and how long nobody may answer. */
const pauseMs = 50;
const pauseMsMax = 2_000;
const patienceMs = 30_000;

export interface FollowOptions {
  /** From `/v1` on, for what comes behind `last` (null at first); null if there is no going on. */
  readonly path: (last: string | null) => string | null;
  readonly signal: AbortSignal | undefined;
}

export async function* follow(transport: Transport, { path, signal }: FollowOptions): AsyncGenerator<ServerEvent> {
  let last: string | null = null;
  let quietSince: number | null = null;
  for (let nextMs = pauseMs;;) {
    const next = path(last);
    let broken: CarillonError;
    try {
      if (next === null) throw new CarillonError("unreachable", "Cannot go on with the stream: it broke before it said where it was");
      const answer = await transport.open({ method: "GET", path: next, headers: { accept: "text/event-stream" }, signal });
      for await (const event of eventsOf(answer.chunks())) {
        if (event.event === "problem") throw problemOf(event.data, false) ?? misshapen("its last word was no problem document");
        nextMs = pauseMs;
        quietSince = null;
        if (event.id !== "") last = event.id;
        yield event;
      }
      broken = new CarillonError("unreachable", "Cannot go on with the stream: the node ended it", { retryable: true });
    } catch (error) {
      if (!(error instanceof CarillonError) || !mayPass(error)) throw error;
      broken = error;
    }
    quietSince ??= performance.now();
    if (next === null || performance.now() - quietSince > patienceMs) throw broken;
    await pause(nextMs, signal);
    nextMs = Math.min(nextMs * 2, pauseMsMax);
  }
}

/** A node that stops ends its streams with `closed`; another one, or the same one later, goes on. */
function mayPass(error: CarillonError): boolean {
  if (error.code === "cancelled") return false;
  if (error.code === "closed") return !error.message.includes("this client");
  return error.retryable || error.code === "unreachable" || error.code === "draining" || error.code === "joining";
}
