/** carillon version: of this program, and of the node it reaches, if it reaches one. */
import { CarillonError } from "../../core/errors.ts";
import { runtime } from "#runtime";
import { version } from "../version.ts";
import { type Call, exits } from "./command.ts";
import { withNode } from "./connect.ts";

export async function showVersion(call: Call): Promise<number> {
  const own = { version, runtime: `${runtime.name} ${runtime.version}` };
  const node = await nodeVersion(call);
  if (call.output.format !== "text") await call.output.json({ ...own, node });
  else {
    await call.output.line(`carillon ${own.version} (${own.runtime})`);
    if (node !== null) await call.output.line(`node     ${node.version} (${node.name}, cluster ${node.cluster})`);
  }
  return exits.fine;
}

/** Null when nobody answers: that is no failure of `version`. */
async function nodeVersion(call: Call): Promise<{ readonly version: string; readonly name: string; readonly cluster: string } | null> {
  try {
    return await withNode(call, async (carillon) => {
      const status = await carillon.status({ timeoutMs: call.duration("timeout") ?? 1_000 });
      return { version: status.version, name: status.node, cluster: status.cluster };
    });
  } catch (error) {
    if (error instanceof CarillonError) return null;
    throw error;
  }
}
