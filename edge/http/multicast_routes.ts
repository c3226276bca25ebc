/** /v1/multicast and /v1/deliveries: into the order, and out of it. */
import type { Hono } from "hono";
import type { DeliveryEvent } from "../../services/api.ts";
import { contentType, readBody } from "./body.ts";
import { withinDeadline } from "./deadline.ts";
import type { Front, Reply } from "./endpoint.ts";
import { forward } from "./forward.ts";
import { accepted, envelope, eventData, streamItem } from "./negotiate.ts";
import { checkedPosition, namesParameter, numberParameter, queryOf, refusePromises, writeOptions, writeParameters } from "./params.ts";
import { replayedHeaders } from "./problems.ts";
import { streamFor, streamReply } from "./streams.ts";

export function addMulticastRoutes(app: Hono, front: Front): void {
  front.add(app, "POST", "/v1/multicast", (c) => multicast(front, c.req.raw));
  front.add(app, "GET", "/v1/deliveries", (c) => deliveries(front, c.req.raw));
}

async function multicast(front: Front, request: Request): Promise<Reply | Response> {
  const { context, limits } = front;
  refusePromises(request.headers);
  const query = queryOf(request.url, ["groups", ...writeParameters]);
  const groups = namesParameter(query, "groups", "group");
  const options = writeOptions(request, query, limits);
  const type = contentType(request);
  const urls = context.locate?.("groups", groups.join(",")) ?? null;
  if (urls !== null) return forward(front, request, urls);
  const value = { bytes: await readBody(request, limits.valueBytesMax), type };
  const sent = await context.carillon.multicast(groups, value, withinDeadline(request, options, limits));
  return envelope("json", 201, { position: sent.position }, replayedHeaders(sent));
}

/** Endless, unless `limit` says after how many messages it ends. */
function deliveries(front: Front, request: Request): Promise<Reply | Response> {
  const { context } = front;
  const query = queryOf(request.url, ["groups", "after", "limit"]);
  const groups = namesParameter(query, "groups", "group");
  const format = accepted(request.headers.get("accept"), ["ndjson", "sse", "cbor-seq"]);
  // A browser that reconnects says what it saw last; that is newer than what its URL says.
  const seen = format === "sse" ? request.headers.get("last-event-id") : null;
  const after = seen ?? query.get("after");
  if (after !== undefined && after !== "start") checkedPosition(after, seen === null ? "after" : "Last-Event-ID");
  const limit = numberParameter(query, "limit", 1, Number.MAX_SAFE_INTEGER) ?? Infinity;
  const urls = context.locate?.("groups", groups.join(",")) ?? null;
  if (urls !== null) return forward(front, request, urls);
  let last = after;
  return streamReply({
    ...streamFor(front, request),
    format,
    resume: () => last === undefined ? undefined : { after: last },
    open: async function* (signal) {
      let left = limit;
      for await (const event of context.carillon.deliveries(groups, after === undefined ? { signal } : { after, signal })) {
        last = idOf(event) ?? last;
        yield streamItem(format, eventData(format, event), event.kind, idOf(event));
        if (event.kind === "message" && --left <= 0) return;
      }
    },
  });
}

/** A stall is no place in the order: to resume behind it is to resume behind what came before. */
function idOf(event: DeliveryEvent): string | null {
  return event.kind === "stalled" ? null : event.position;
}
