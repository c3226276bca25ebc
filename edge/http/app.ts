/**
 * The HTTP API of a node as one `fetch` function: the same app embedded, served and tested. It knows `fetch` types and
 * Hono, and no runtime. What it offers is written down in docs/http.md.
 */
import { type Context, Hono } from "hono";
import { CarillonError } from "../../core/errors.ts";
import { addClusterRoutes } from "./cluster_routes.ts";
import type { AppContext } from "./context.ts";
import { Front, type Reply } from "./endpoint.ts";
import { addEventRoutes } from "./event_routes.ts";
import { addHealthRoutes } from "./health_routes.ts";
import { addKvRoutes } from "./kv_routes.ts";
import { addLogRoutes } from "./log_routes.ts";
import { addMulticastRoutes } from "./multicast_routes.ts";
import { quote } from "./params.ts";
import { problemReply } from "./problems.ts";
import { addWatchRoutes } from "./watch_routes.ts";

export type { AppContext, HttpLimits, JournalStats, LinkStats, MetricsSources, Place, ProcessStats, Service } from "./context.ts";
export { defaultHttpLimits } from "./context.ts";
export { Histogram, type HistogramView } from "./histogram.ts";
export { locator } from "./locate.ts";

export type App = Hono;

/** `app.fetch` answers every request; it never rejects. */
export function createApp(context: AppContext): App {
  const front = new Front(context);
  const app = new Hono({ getPath: rawPath });
  addKvRoutes(app, front);
  addWatchRoutes(app, front);
  addLogRoutes(app, front);
  addMulticastRoutes(app, front);
  addClusterRoutes(app, front);
  addEventRoutes(app, front);
  addHealthRoutes(app, front);
  const routed = app.fetch;
  app.fetch = (request, ...rest) => {
    const refusal = front.admission.full ? front.turnedAway(request, rawPath(request)) : null;
    return refusal ?? routed(request, ...rest);
  };
  app.notFound(front.endpoint("unmatched", (c) => unmatched(front, c), { always: true }));
  return app;
}

/** Still encoded: a key may hold an encoded slash or newline, which are no part of a route. */
function rawPath({ url }: Request): string {
  const from = url.indexOf("/", url.indexOf("://") + 3);
  if (from === -1) return "/";
  const query = url.indexOf("?", from);
  const to = query === -1 ? url.indexOf("#", from) : query;
  return to === -1 ? url.slice(from) : url.slice(from, to);
}

/** No such path, or a path that is not answered to this method. */
function unmatched(front: Front, c: Context): Reply {
  const path = rawPath(c.req.raw);
  const routes = front.routes.filter(({ pattern }) => pattern.test(path));
  if (routes.length === 0) {
    return problemReply(new CarillonError("not-found", `Cannot answer ${quote(path)}: there is no such path`));
  }
  const methods = [...new Set(routes.flatMap(({ method }) => method === "GET" ? ["GET", "HEAD"] : [method])), "OPTIONS"];
  const allow = { allow: methods.join(", ") };
  if (c.req.method === "OPTIONS") return { status: 204, headers: allow };
  const error = new CarillonError("bad-request", `Cannot ${quote(c.req.method)} here: this path answers ${methods.join(", ")}`, {
    facts: { allowed: methods },
  });
  return problemReply(error, allow, { status: 405, title: "Method not allowed" });
}
