/** carillon start: one node of a cluster, as its configuration says. */
import { checkSafety, loudly } from "../config.ts";
import { type LocalCarillon, open } from "../open.ts";
import { sinceStartMs } from "../runtime/system.ts";
import { version } from "../version.ts";
import type { Call } from "./command.ts";
import { holdUntilStopped, nodeHooks } from "./hold.ts";
import { followConfig } from "./reload.ts";
import { configOf } from "./settings.ts";

export async function start(call: Call): Promise<number> {
  const { output } = call;
  const { config, file } = await configOf(call);
  checkSafety(config, call.on("insecure"));
  for (const warning of config.warnings) await output.note(`${output.paint("yellow", "!", "stderr")} ${warning}`);
  for (const line of loudly(config)) await output.note(output.paint("red", `! ${line}`, "stderr"));
  const node = await open({
    ...(config.durability === "memory" ? {} : { data: config.data }),
    durability: config.durability,
    topology: config.topology,
    self: config.self,
    http: config.http,
    ...(config.link === null ? {} : { link: config.link }),
    keys: Object.fromEntries(config.keys),
    keyFile: config.keyFile,
    joinFile: config.joinFile,
    links: config.links,
    token: config.tokens,
    delays: config.delays,
    ...nodeHooks(output, { node: config.self, quiet: false }),
  });
  const facts = {
    node: config.self,
    cluster: config.topology.cluster ?? "carillon",
    http: node.url,
    link: node.linkAddress,
    data: config.durability === "memory" ? null : config.data,
    durability: config.durability,
    config: file,
    version,
    readyMs: Math.round(sinceStartMs()),
  };
  if (output.format !== "text") await output.json(facts);
  else {
    await output.line(
      `carillon ${version}  node ${facts.node} of cluster ${facts.cluster} · HTTP ${facts.http} · link ${facts.link ?? "none"} · ` +
        `data ${facts.data ?? "in memory"} (${facts.durability}) · started in ${facts.readyMs} ms`,
    );
  }
  if (output.format === "text") void sayReady(call, node);
  const forget = file === null ? () => {} : followConfig(call, node, config, file);
  try {
    return await holdUntilStopped(node, output, call.on("stop-with-input"));
  } finally {
    forget();
  }
}

/** However long it takes; a node that is stopped before says nothing. */
async function sayReady({ output }: Call, node: LocalCarillon): Promise<void> {
  await node.ready(Infinity).then(() => output.line(`ready after ${Math.round(sinceStartMs())} ms`), () => {});
}
