/** carillon multicast …: messages to groups, and their deliveries in merged order. */
import type { DeliveryEvent } from "../../services/api.ts";
import { onSignals } from "../runtime/system.ts";
import { type Call, exits } from "./command.ts";
import { valueOf, withNode, writingOf } from "./connect.ts";
import { payload, preview } from "./content.ts";

export async function send(call: Call): Promise<number> {
  const [groups, operand] = call.operands as [string, string];
  const value = await valueOf(call, operand);
  return await withNode(call, async (carillon) => {
    const sent = await carillon.multicast(namesOf(call, groups), value, writingOf(call));
    if (call.output.format !== "text") await call.output.json(sent);
    else await call.output.line(sent.position);
    return exits.fine;
  });
}

export function listen(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const after = call.text("after");
    let left = call.number("count", { min: 1 }) ?? Infinity;
    const stop = new AbortController();
    let code: number = exits.fine;
    const off = onSignals((signal) => {
      if (signal === "SIGINT") code = exits.interrupted;
      stop.abort();
    });
    try {
      const options = { signal: stop.signal, ...(after === undefined ? {} : { after }) };
      for await (const event of carillon.deliveries(namesOf(call, call.operands[0]!), options)) {
        await show(call, event);
        if (event.kind === "message" && --left <= 0) break;
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      off();
    }
    return code;
  });
}

async function show(call: Call, event: DeliveryEvent): Promise<void> {
  const { output } = call;
  if (event.kind !== "message") {
    // What is no message is for people, or for programs that asked for documents.
    if (output.format !== "text") await output.json(event);
    else if (event.kind === "stalled") {
      await output.note(output.paint("yellow", `waiting for group ${event.group} since ${(event.forMs / 1_000).toFixed(1)} s`, "stderr"));
    }
    return;
  }
  const { kind, position, groups, type } = event;
  if (output.format !== "text") return await output.json({ kind, position, groups, type, ...payload(event.bytes()) });
  if (output.human) return await output.line(`${output.paint("dim", position)}  ${groups.join(",")}  ${preview(event.bytes())}`);
  await output.bytes(event.bytes());
  await output.line();
}

function namesOf(call: Call, text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) call.fail(`GROUPS must be names separated by commas, not "${text}"`);
  return names;
}
