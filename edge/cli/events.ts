/** carillon events: what has happened in a node, and with --follow what does. A line each, so that a shell can read it. */
import { CarillonError } from "../../core/errors.ts";
import type { Carillon } from "../../services/api.ts";
import { problemOf } from "../client/failure.ts";
import { asDocument, type Document, documentsOf, misshapen, parseDocument, textOf } from "../client/items.ts";
import { eventsOf } from "../client/lines.ts";
import { pause } from "../client/pause.ts";
import { onSignals } from "../runtime/system.ts";
import { isTroubleKind } from "../events/event.ts";
import { type Call, exits } from "./command.ts";
import { withNode } from "./connect.ts";

/** A node that is followed may be started anew: it is asked again this often, and so many times. */
const againMs = 500;
const againMax = 120;

export function events(call: Call): Promise<number> {
  return withNode(call, (carillon) => call.on("follow") ? follow(call, carillon) : page(call, carillon));
}

async function page(call: Call, carillon: Carillon): Promise<number> {
  const document = asDocument(await (await ask(carillon, behind(call.text("after") ?? null), "application/json")).json());
  // The newest are what is wanted of many.
  const shown = documentsOf(document, "events").slice(-(call.number("count", { min: 1 }) ?? Infinity));
  if (call.output.format === "json") await call.output.json({ ...document, events: shown });
  else for (const event of shown) await show(call, event);
  return exits.fine;
}

async function follow(call: Call, carillon: Carillon): Promise<number> {
  let left = call.number("count", { min: 1 }) ?? Infinity;
  let after = call.text("after") ?? null;
  let code: number = exits.fine;
  const stop = new AbortController();
  const off = onSignals((signal) => {
    if (signal === "SIGINT") code = exits.interrupted;
    stop.abort();
  });
  try {
    for (let failures = 0; !stop.signal.aborted;) {
      try {
        const { body } = await ask(carillon, behind(after), "text/event-stream", stop.signal);
        for await (const { event, data, id } of eventsOf(body!)) {
          if (event === "problem") throw problemOf(data, false) ?? misshapen("its last word was no problem document");
          await show(call, parseDocument(data));
          after = id;
          failures = 0;
          if (--left <= 0) return code;
        }
        throw new CarillonError("unreachable", "Cannot go on with the events: the node ended them", { retryable: true });
      } catch (error) {
        const passes = !(error instanceof CarillonError) || error.retryable || error.code === "closed";
        if (stop.signal.aborted) break;
        if (!passes || (after === null && failures === 0) || ++failures > againMax) throw error;
      }
      await pause(againMs, stop.signal);
    }
  } finally {
    off();
  }
  return code;
}

function behind(after: string | null): string {
  return after === null ? "" : `?after=${encodeURIComponent(after)}`;
}

async function ask(carillon: Carillon, query: string, accept: string, signal?: AbortSignal): Promise<Response> {
  const init = { headers: { accept }, ...(signal === undefined ? {} : { signal }) };
  const answer = await carillon.fetch(new Request(`http://node/v1/events${query}`, init));
  if (answer.ok) return answer;
  throw problemOf(await answer.text(), false) ?? misshapen(`status ${answer.status} without a problem document`);
}

async function show({ output }: Call, event: Document): Promise<void> {
  if (output.format !== "text") return await output.json(event);
  const [at, node, kind, text] = ["at", "node", "kind", "text"].map((name) => textOf(event, name)) as [string, string, string, string];
  if (!output.human) return await output.line([at, node, kind, text].join("\t"));
  await output.line(`${output.paint("dim", at.slice(11, 23))}  ${node} ${isTroubleKind(kind) ? output.paint("yellow", text) : text}`);
}
