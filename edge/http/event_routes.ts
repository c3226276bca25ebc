/** /v1/events: what has happened in this node, and what does. */
import type { Hono } from "hono";
import { CarillonError } from "../../core/errors.ts";
import { describe, type NodeEvent } from "../events/event.ts";
import type { Front, Reply } from "./endpoint.ts";
import { accepted, envelope, type Format, streamItem } from "./negotiate.ts";
import { flagParameter, numberParameter, queryOf, quote } from "./params.ts";
import { badRequest } from "./problems.ts";
import { streamFor, streamReply } from "./streams.ts";

/** They are let in also in a full house, so they have a bound of their own. */
const followersMax = 256;

export function addEventRoutes(app: Hono, front: Front): void {
  front.add(app, "GET", "/v1/events", (c) => events(front, c.req.raw), { always: true });
}

/** A page, or a stream: of what there is, or with `follow` and as server-sent events of what happens from then on too. */
function events(front: Front, request: Request): Reply | Promise<Reply> {
  const { events } = front;
  const query = queryOf(request.url, ["after", "limit", "follow"]);
  const format = accepted(request.headers.get("accept"), ["json", "cbor", "ndjson", "cbor-seq", "sse"]);
  // A browser that reconnects says what it saw last; that is newer than what its URL says.
  const seen = format === "sse" ? request.headers.get("last-event-id") : null;
  const after = seen ?? query.get("after") ?? null;
  if (after !== null && !/^[0-9a-z]{1,12}-\d{1,15}$/.test(after)) {
    throw badRequest(`Cannot use ${seen === null ? "after" : "Last-Event-ID"} ${quote(after)}: it is the id of an event`, {
      parameter: "after",
    });
  }
  const limit = numberParameter(query, "limit", 1, Number.MAX_SAFE_INTEGER) ?? Infinity;
  const follow = flagParameter(query, "follow") || format === "sse";
  if (format === "json" || format === "cbor") {
    if (follow) {
      throw badRequest('Cannot use "follow" with a page: ask for application/x-ndjson, application/cbor-seq or text/event-stream', {
        parameter: "follow",
      });
    }
    const page = events.after(after).slice(0, limit);
    return envelope(format, 200, { events: page.map(eventData), next: page.at(-1)?.id ?? events.last });
  }
  if (follow && events.listeners >= followersMax) {
    throw new CarillonError("overloaded", `Cannot follow the events: ${followersMax} others do already`, { retryable: true });
  }
  let last = after;
  return streamReply({
    ...streamFor(front, request),
    format,
    resume: () => last === null ? undefined : { after: last },
    open: async function* (signal) {
      let left = limit;
      for await (const event of follow ? events.follow(after, signal) : events.after(after)) {
        last = event.id;
        yield item(format, event);
        if (--left <= 0) return;
      }
    },
  });
}

function item(format: Format, event: NodeEvent): Uint8Array {
  return streamItem(format, eventData(event), event.kind, event.id);
}

/** With the sentence, so that nobody has to know every kind. */
function eventData(event: NodeEvent): Record<string, unknown> {
  return { ...event, text: describe(event) };
}
