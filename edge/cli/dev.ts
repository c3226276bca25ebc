/** carillon dev: one node with nothing to set up, and the lines to paste next. */
import { CarillonError } from "../../core/errors.ts";
import { isLoopback } from "../config/read.ts";
import { type LocalCarillon, open } from "../open.ts";
import { sinceStartMs } from "../runtime/system.ts";
import { version } from "../version.ts";
import type { Call } from "./command.ts";
import { holdUntilStopped, nodeHooks } from "./hold.ts";

export async function dev(call: Call): Promise<number> {
  const data = call.text("data");
  const port = call.number("port", { max: 65_535 }) ?? 4_100;
  const host = call.text("host") ?? "127.0.0.1";
  if (!isLoopback(host) && !call.on("insecure")) {
    throw new CarillonError(
      "config",
      `Cannot listen on ${host}: anybody who reaches it could read and write everything; say --insecure, or use "carillon start" with a token`,
    );
  }
  const node = await open({
    ...(data === undefined ? { durability: "memory" } : { data }),
    self: "dev",
    http: { host, port },
    ...nodeHooks(call.output, { node: "dev", quiet: true }),
  });
  await banner(call, node, data);
  return await holdUntilStopped(node, call.output, false);
}

async function banner({ output }: Call, node: LocalCarillon, data: string | undefined): Promise<void> {
  const url = node.url!;
  const short = url.replace("http://", "");
  const kept = data === undefined
    ? `in memory — everything is gone when it stops (keep it: --data ./data)`
    : `everything is kept in ${data}`;
  if (output.format !== "text") {
    await output.json({ url, data: data ?? null, version, readyMs: Math.round(sinceStartMs()) });
    return;
  }
  const lines = [
    `${output.paint("bold", `carillon ${version}`)}  dev node, ${kept}`,
    "",
    `  HTTP     ${output.paint("cyan", url)}`,
    `  Health   ${url}/readyz   ${url}/metrics`,
    "",
    `  curl -X PUT ${short}/v1/kv/hello -d world`,
    `  curl ${short}/v1/kv/hello`,
    `  curl '${short}/v1/kv?prefix='`,
    `  curl -X PUT ${short}/v1/logs/audit`,
    `  curl -X POST ${short}/v1/logs/audit/records -d 'first record'`,
    `  curl '${short}/v1/logs/audit/records?from=0'`,
    `  curl -N '${short}/v1/watch?prefix='   # changes as they come, until Ctrl-C`,
    "",
    `ready in ${Math.round(sinceStartMs())} ms`,
  ];
  await output.line(lines.join("\n"));
}
