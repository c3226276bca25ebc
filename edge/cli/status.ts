/** carillon status: is everything well, where is what, and what is waited for. */
import type { ClusterStatus, GroupStatus } from "../../services/api.ts";
import { type Call, exits } from "./command.ts";
import { timeoutOf, withNode } from "./connect.ts";

export function status(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const seen = await carillon.status(timeoutOf(call));
    const code = seen.notReady.length === 0 ? exits.fine : exits.unavailable;
    if (call.on("quiet")) return code;
    if (call.output.format !== "text") await call.output.json(seen);
    else await show(call, seen);
    return code;
  });
}

async function show({ output }: Call, seen: ClusterStatus): Promise<void> {
  const ready = seen.notReady.length === 0;
  const health = ready ? output.paint("green", "ready") : output.paint("red", "not ready");
  const regions = new Set(seen.nodes.map((node) => node.region)).size;
  await output.line(
    [
      `${output.paint("bold", seen.cluster)}  ${health}`,
      `${count(seen.nodes.length, "node")} in ${count(regions, "region")}`,
      `merge ${seen.merge}`,
      `durability ${seen.durability === "sync" ? seen.durability : output.paint("red", seen.durability)}`,
      `position ${seen.position}`,
      `asked ${seen.node}`,
    ].join(" · "),
  );
  for (const reason of seen.notReady) await output.line(`  ${output.paint("red", "✗")} ${reason}`);
  for (const { name, coordinator } of seen.groups) {
    const told = seen.notReady.some((reason) => reason.startsWith(`group ${name} `));
    if (coordinator === null && !told) {
      await output.line(`  ${output.paint("yellow", "!")} group ${name} has no coordinator; its keys and logs wait`);
    }
  }
  await output.line();
  await output.table(
    ["NODE", "REGION", "HTTP", "RTT", "COORDINATES"],
    seen.nodes.map((node) => [
      node.name,
      node.region,
      node.http === "" ? null : node.http,
      node.name === seen.node ? "(this)" : !node.connected ? "cut off" : node.rttMs === null ? null : `${node.rttMs.toFixed(1)} ms`,
      seen.groups.filter((group) => group.coordinator === node.name).map((group) => group.name).join(",") || null,
    ]),
  );
  await output.line();
  await output.table(
    ["GROUP", "SHAPE", "ACCEPTORS", "COORDINATOR", "DECIDED", "LAG", "KEYS"],
    seen.groups.map((group) => [
      group.name,
      group.shape,
      group.acceptors.join(" "),
      group.coordinator ?? "nobody",
      group.decided,
      group.lag,
      keysOf(group),
    ]),
  );
}

/** Which keys a group orders, or which groups it spans. */
export function keysOf(group: Pick<GroupStatus, "keys" | "spans">): string | null {
  if (group.spans.length > 0) return `spans ${group.spans.join(" ")}`;
  if (group.keys.length === 0) return null;
  return group.keys.map(({ from, to }) => from === "" && to === null ? "all" : `${from}…${to ?? ""}`).join(" ");
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
