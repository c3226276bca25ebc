/** carillon kv watch: what happens to keys, until interrupted. One line a change, so that a shell can read it. */
import type { Change } from "../../services/api.ts";
import { onSignals } from "../runtime/system.ts";
import { type Call, exits } from "./command.ts";
import { withNode } from "./connect.ts";
import { payload, preview } from "./content.ts";

export function watch(call: Call): Promise<number> {
  const [prefix] = call.operands;
  const key = call.text("key");
  const start = call.text("start");
  const end = call.text("end");
  const after = call.text("after");
  if (key !== undefined && (prefix ?? start ?? end) !== undefined) call.fail("--key is one key: leave out PREFIX, --start and --end");
  const range = {
    ...(key === undefined ? {} : { key }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
  };
  return withNode(call, async ({ kv }) => {
    let left = call.number("count", { min: 1 }) ?? Infinity;
    const stop = new AbortController();
    let code: number = exits.fine;
    const off = onSignals((signal) => {
      if (signal === "SIGINT") code = exits.interrupted;
      stop.abort();
    });
    try {
      for await (const change of kv.watch(range, { signal: stop.signal, ...(after === undefined ? {} : { after }) })) {
        await show(call, change);
        if (change.kind !== "caught-up" && --left <= 0) break;
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      off();
    }
    return code;
  });
}

async function show({ output }: Call, change: Change): Promise<void> {
  if (change.kind === "caught-up") {
    // What is no change is for programs that asked for documents.
    if (output.format !== "text") await output.json(change);
    return;
  }
  const { kind } = change;
  if (output.format !== "text") {
    if (kind === "delete") return await output.json({ kind, key: change.key, position: change.position });
    const { key, version, type } = change.entry;
    return await output.json({ kind, key, version, type, ...payload(change.entry.bytes()) });
  }
  const row = kind === "put"
    ? [change.entry.version, kind, change.entry.key, preview(change.entry.bytes())]
    : [change.position, kind, change.key];
  const cells = row.map((cell) => cell.replaceAll(/[\t\r\n]/g, " "));
  if (!output.human) return await output.line(cells.join("\t"));
  await output.line([output.paint("dim", cells[0]!), cells[1]!.padEnd(6), ...cells.slice(2)].join("  "));
}
