/** carillon config …: what a node would start with, and whether it could. */
import { checkSafety, loudly } from "../config.ts";
import { formatAddress } from "../config/read.ts";
import { type Call, exits } from "./command.ts";
import { configOf } from "./settings.ts";

export async function check(call: Call): Promise<number> {
  const { config, file } = await configOf(call);
  checkSafety(config, call.on("insecure"));
  const { output } = call;
  const warnings = [...config.warnings, ...loudly(config)];
  if (output.format !== "text") {
    await output.json({ ok: true, file, warnings });
    return exits.fine;
  }
  for (const warning of warnings) await output.note(`${output.paint("yellow", "!", "stderr")} ${warning}`);
  const nodes = config.topology.nodes.length;
  const groups = config.topology.groups?.length ?? 1;
  await output.line(
    `${output.paint("green", "✓")} ${file ?? "no file, only defaults,"} makes node "${config.self}" of ${nodes} with ${groups} group${
      groups === 1 ? "" : "s"
    }, HTTP on ${formatAddress(config.http)}`,
  );
  return exits.fine;
}

export async function show(call: Call): Promise<number> {
  const { config } = await configOf(call);
  const { output } = call;
  const origin = call.on("origin");
  if (output.format !== "text") {
    await output.json({
      settings: config.origins,
      nodes: config.topology.nodes,
      groups: config.topology.groups ?? [],
      delays: Object.fromEntries(config.delays),
    });
    return exits.fine;
  }
  await output.table(
    origin ? ["SETTING", "VALUE", "FROM"] : ["SETTING", "VALUE"],
    config.origins.map((one) => origin ? [one.key, one.value, one.origin] : [one.key, one.value]),
  );
  if (config.topology.nodes.length > 1 || config.topology.groups !== undefined) {
    await output.line();
    await output.table(
      ["NODE", "REGION", "LINK", "HTTP"],
      config.topology.nodes.map((node) => [node.name, node.region ?? "local", node.link ?? null, node.http ?? null]),
    );
    await output.line();
    await output.table(
      ["GROUP", "ACCEPTORS", "SPANS"],
      (config.topology.groups ?? []).map((group) => [group.name, group.acceptors?.join(" ") ?? "all", group.spans?.join(" ") ?? null]),
    );
  }
  return exits.fine;
}
