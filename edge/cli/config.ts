/** carillon config …: what a node would start with, and whether it could. */
import { checkSafety, type Config, loudly } from "../config.ts";
import { formatAddress } from "../config/read.ts";
import { joinOf } from "../config/keys.ts";
import { isExpired } from "../link/join/token.ts";
import { checkToken, readTokenFile } from "../link/join/token_file.ts";
import { checkListed, readKeyFile } from "../link/key_file.ts";
import { isThere } from "../runtime/system.ts";
import { type Call, exits } from "./command.ts";
import { configOf } from "./settings.ts";
import { runtime } from "#runtime";

export async function check(call: Call): Promise<number> {
  const { config, file } = await configOf(call);
  checkSafety(config, call.on("insecure"));
  const { output } = call;
  const warnings = [...config.warnings, ...loudly(config), ...expiredJoins(config), ...await keyWarnings(config)];
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

function expiredJoins({ keys }: Config): string[] {
  const { wall } = runtime.clock.now();
  return [...keys.keys()].flatMap((name) => {
    const join = joinOf(keys, name);
    return join === null || !isExpired(join, wall)
      ? []
      : [`the join token of node "${name}" has expired: only nodes that know its key by now let it in; list the key, or another token`];
  });
}

/** Throws for files the node could not start with. One that is not there is where the configuration is only checked. */
async function keyWarnings({ self, link, keyFile, joinFile, keys }: Config): Promise<string[]> {
  if (link === null) return [];
  const join = joinOf(keys, self);
  if (join !== null) {
    if (!await isThere(joinFile)) return [`there is no join token ${joinFile} here; the node needs it where it is to start`];
    checkToken(self, await readTokenFile(joinFile, runtime.cryptography), join, joinFile);
    // Its first start makes the key file.
    if (await isThere(keyFile)) await readKeyFile(keyFile, runtime.cryptography);
    return [];
  }
  if (!await isThere(keyFile)) return [`there is no key file ${keyFile} here; where the node is to start, "carillon init" makes it`];
  checkListed(self, await readKeyFile(keyFile, runtime.cryptography), keys, keyFile);
  return [];
}

export async function show(call: Call): Promise<number> {
  const { config } = await configOf(call);
  const { output } = call;
  const origin = call.on("origin");
  if (output.format !== "text") {
    await output.json({
      settings: config.origins,
      nodes: config.topology.nodes.map((node) => ({ ...node, keys: config.keys.get(node.name) ?? [] })),
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
      ["NODE", "REGION", "LINK", "HTTP", "KEYS"],
      config.topology.nodes.map((node) => [
        node.name,
        node.region ?? "local",
        node.link ?? null,
        node.http ?? null,
        config.keys.get(node.name)?.join(" ") || null,
      ]),
    );
    await output.line();
    await output.table(
      ["GROUP", "ACCEPTORS", "SPANS"],
      (config.topology.groups ?? []).map((group) => [group.name, group.acceptors?.join(" ") ?? "all", group.spans?.join(" ") ?? null]),
    );
  }
  return exits.fine;
}
