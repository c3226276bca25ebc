/** carillon journal …: what is in the directory of a node that does not run, and whether all of it can be read. */
import { runtime } from "#runtime";
import { ballotNode, ballotRound } from "../../core/ids.ts";
import { CarillonError } from "../../core/errors.ts";
import { inspect as look, type Inspection } from "../journal/inspect.ts";
import { adoptDirectory } from "../journal/superblock.ts";
import type { Disk } from "../runtime.ts";
import { isDirectory } from "../runtime/system.ts";
import { type Call, exits } from "./command.ts";

export async function inspect(call: Call): Promise<number> {
  const seen = await held(call, (disk) => look(disk, (bytes, seed) => runtime.crc32(bytes, seed)));
  const { output } = call;
  if (output.format !== "text") await output.json(seen);
  else await show(call, seen);
  return exits.fine;
}

export async function verify(call: Call): Promise<number> {
  const seen = await held(call, (disk) => look(disk, (bytes, seed) => runtime.crc32(bytes, seed)));
  const { output } = call;
  const { directory, damage, torn } = seen;
  if (output.format !== "text") await output.json({ ok: damage.length === 0, directory, damage, torn });
  else if (damage.length === 0) {
    const bytes = seen.segments.reduce((total, segment) => total + segment.bytes, 0);
    await output.line(`${output.paint("green", "✓")} ${directory}: all of ${seen.segments.length} segments and ${bytes} bytes can be read`);
  }
  if (output.format === "text") await showDamage(call, seen);
  return damage.length === 0 ? exits.fine : exits.failed;
}

export async function adopt(call: Call): Promise<number> {
  const life = await held(call, async (disk) => {
    const tools = { disk, crc32: (bytes: Uint8Array, seed?: number) => runtime.crc32(bytes, seed), entropy: () => runtime.entropy() };
    return await adoptDirectory(tools, await disk.list(), call.on("moved"));
  });
  const { output } = call;
  const { cluster, node, incarnation, rejoining } = life;
  if (output.format !== "text") await output.json({ directory: call.operands[0], cluster, node, incarnation, rejoining });
  else {
    const then = rejoining ? "it votes once it has heard the others" : "it goes on where it stopped";
    await output.line(`${output.paint("green", "✓")} this is the directory of node ${node} of cluster "${cluster}" now; ${then}`);
  }
  return exits.fine;
}

/** While nobody else has the directory. Throws CarillonError `config` if a node does. */
async function held<T>(call: Call, act: (disk: Disk) => Promise<T>): Promise<T> {
  const directory = call.operands[0]!;
  // A disk makes its directory; looking at one should not.
  if (!await isDirectory(directory)) {
    throw new CarillonError("not-found", `Cannot find a journal in "${directory}": there is no such directory`);
  }
  const disk = await runtime.openDisk(directory);
  const release = await disk.lock();
  try {
    return await act(disk);
  } finally {
    await release();
  }
}

async function show(call: Call, seen: Inspection): Promise<void> {
  const { output } = call;
  await output.line(
    [
      `${output.paint("bold", seen.directory)}  format ${seen.format}`,
      `cluster "${seen.cluster}"`,
      `node ${seen.node}`,
      `life ${seen.incarnation}${seen.rejoining ? ", rejoining" : ""}`,
      `recovery begins with segment ${seen.base}`,
    ].join(" · "),
  );
  await output.line();
  await output.table(
    ["SEGMENT", "BYTES", "ROLE", "RECORDS"],
    seen.segments.map(({ file, bytes, role, records }) => [
      file,
      bytes,
      role,
      Object.entries(records).map(([kind, count]) => `${count} ${kind}`).join(" ") || null,
    ]),
  );
  await output.line();
  await output.table(
    ["GROUP", "PROMISED", "LOG", "READABLE", "DECIDED", "BASE"],
    seen.groups.map(({ group, promised, ballot, oldest, last, decided, foundation }) => [
      group,
      tell(promised),
      tell(ballot),
      oldest > last ? null : `${oldest}…${last}`,
      decided,
      foundation === 0 ? null : foundation,
    ]),
  );
  await showDamage(call, seen);
}

async function showDamage({ output }: Call, { torn, aside, damage }: Inspection): Promise<void> {
  if (torn !== null) await output.note(`! ${torn.file} ends in ${torn.bytes} torn bytes at byte ${torn.offset}; a start cuts them off`);
  if (aside.length > 0) await output.note(`! put aside earlier: ${aside.join(" ")}`);
  for (const { file, offset, reason } of damage) {
    await output.note(`${output.paint("red", "✗", "stderr")} ${file} is damaged at byte ${offset}: ${reason}`);
  }
}

function tell(ballot: number): string | null {
  return ballot === 0 ? null : `${ballotRound(ballot)}.${ballotNode(ballot)}`;
}
