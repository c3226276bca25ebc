/** /livez, /readyz, /version, /metrics, and the page behind a problem's `type`. */
import type { Hono } from "hono";
import { CarillonError, type ErrorCode } from "../../core/errors.ts";
import type { ClusterStatus } from "../../services/api.ts";
import { didYouMean } from "../suggest.ts";
import { withoutCoordinator } from "../readiness.ts";
import type { AppContext, HttpLimits } from "./context.ts";
import type { Front, Reply } from "./endpoint.ts";
import { metricsText } from "./metrics.ts";
import { envelope } from "./negotiate.ts";
import { flagParameter, queryOf, quote } from "./params.ts";
import { badRequest, problemReply, problems } from "./problems.ts";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** Why not; "" when ok. */
  readonly reason: string;
}

const readyChecks = ["joined", "quorum", "lag", "journal", "disk", "draining"];

export function addHealthRoutes(app: Hono, front: Front): void {
  const { context, limits } = front;
  front.add(app, "GET", "/livez", (c) => {
    const query = queryOf(c.req.raw.url, ["verbose"]);
    // Nothing about peers: a partition must not make an orchestrator kill a healthy node.
    return checked("live", [journalCheck(context)], flagParameter(query, "verbose") ? {} : null, "internal");
  }, { always: true });
  front.add(app, "GET", "/readyz", async (c) => {
    const query = queryOf(c.req.raw.url, ["verbose", "exclude"]);
    const excluded = (query.get("exclude") ?? "").split(",").filter((name) => name !== "");
    for (const name of excluded) {
      if (!readyChecks.includes(name)) {
        throw badRequest(
          `Cannot exclude check ${quote(name)}: known are ${readyChecks.join(", ")}${didYouMean(name.slice(0, 64), readyChecks)}`,
        );
      }
    }
    const verbose = flagParameter(query, "verbose");
    const status = await context.carillon.status();
    const checks = readiness(context, limits, status).filter(({ name }) => !excluded.includes(name));
    return checked("ready", checks, verbose ? factsOf(context, status) : null, context.draining?.() ? "draining" : "joining");
  }, { always: true });
  front.add(app, "GET", "/version", (c) => {
    queryOf(c.req.raw.url, []);
    const { version, nodeName: node, runtime = "" } = context;
    return envelope("json", 200, { name: "carillon", version, api: "v1", node, runtime });
  }, { always: true });
  front.add(app, "GET", "/metrics", (c) => {
    queryOf(c.req.raw.url, []);
    return { status: 200, headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" }, body: metricsText(front) };
  }, { always: true });
  front.add(app, "GET", "/problems/:code", (c) => {
    queryOf(c.req.raw.url, []);
    const code = c.req.param("code") ?? "";
    if (!Object.hasOwn(problems, code)) throw new CarillonError("not-found", `Cannot explain ${quote(code)}: there is no such problem`);
    return envelope("json", 200, { code, ...problems[code as ErrorCode] });
  }, { always: true });
}

/** `facts`: what a person wants to know beside the checks; null if it is no person who asks. */
function checked(what: "live" | "ready", checks: readonly Check[], facts: Record<string, unknown> | null, code: ErrorCode): Reply {
  const failed = checks.filter(({ ok }) => !ok);
  if (failed.length === 0) return envelope("json", 200, facts === null ? { status: what } : { status: what, checks, ...facts });
  const reasons = failed.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  const error = new CarillonError(code, `Cannot call this node ${what}: ${reasons}`, { retryable: true, facts: { checks, ...facts } });
  return problemReply(error, {}, { status: 503, title: `Not ${what}` });
}

function check(name: string, reason: string): Check {
  return { name, ok: reason === "", reason };
}

function journalCheck({ metrics }: AppContext): Check {
  return check("journal", metrics?.journal?.().failed ?? "");
}

function readiness(context: AppContext, limits: HttpLimits, status: ClusterStatus): Check[] {
  const view = context.view();
  const headless = withoutCoordinator(status, view);
  const lag = view.subscriptions.reduce((most, subscription) => Math.max(most, subscription.lag), 0);
  const disk = context.health?.disk?.();
  return [
    check("joined", status.notReady.filter((reason) => !headless.includes(reason)).join(", ")),
    check("quorum", headless.join(", ")),
    check("lag", lag <= limits.readyLagEntries ? "" : `${lag} entries behind, more than ${limits.readyLagEntries}`),
    journalCheck(context),
    ...(disk === undefined ? [] : [check("disk", disk.full ? "writes are refused: the disk is full" : "")]),
    check("draining", context.draining?.() ? "the node has been told to stop" : ""),
  ];
}

/** Who waits for whom, how far behind, how much is kept: no reason to send requests elsewhere, and the first thing to look at. */
function factsOf({ health }: AppContext, { waits, groups, journalBytes }: ClusterStatus): Record<string, unknown> {
  const checkpoints = health?.checkpoints?.();
  const repairs = health?.repairs?.();
  return {
    waits,
    lag: groups.filter(({ roles }) => roles.length > 0).map(({ name, lag, lagMs }) => ({ group: name, entries: lag, ms: lagMs })),
    journalBytes,
    ...(checkpoints === undefined ? {} : { checkpoints }),
    ...(repairs === undefined ? {} : { repairs }),
  };
}
