/** A node runs until somebody ends it: once means cleanly, twice means now. */
import { CarillonError } from "../../core/errors.ts";
import type { LocalCarillon, NodeOptions } from "../open.ts";
import { exit, onInputEnd, onSignals } from "../runtime/system.ts";
import { exits } from "./command.ts";
import type { Output } from "./output.ts";

/** What a node has to say goes to standard error; a node that cannot go on ends the process, so that whoever watches it starts it again. */
export function nodeHooks(output: Output): Required<Pick<NodeOptions, "onNotice" | "onCrash">> {
  return {
    onNotice: (sentence) => void output.note(sentence),
    onCrash: (error) => void sayCrash(error, output).then(() => exit(exits.failed)),
  };
}

/** What went wrong has been said as a notice. Where it is no expected trouble, it is ours, and whoever mends it needs the place. */
async function sayCrash(error: Error, output: Output): Promise<void> {
  const full = error instanceof CarillonError && error.code === "disk-full";
  if (!(error instanceof CarillonError)) await output.note(output.paint("red", error.stack ?? error.message, "stderr"));
  await output.note(
    full
      ? "  try: df -h   (make room, then start the node again)"
      : "  try: start the node again; if it ends the same way, report these lines",
  );
}

/** Resolves to the exit code after the node has closed: 0 for a SIGTERM, 130 for Ctrl-C. */
export async function holdUntilStopped(node: LocalCarillon, output: Output, withInput: boolean): Promise<number> {
  const signal = await new Promise<"SIGINT" | "SIGTERM">((resolve) => {
    let asked = false;
    onSignals((name) => {
      if (asked) exit(exits.interrupted);
      asked = true;
      resolve(name);
    });
    if (withInput) onInputEnd(() => resolve("SIGTERM"));
  });
  if (signal === "SIGINT") await output.note("stopping cleanly (Ctrl-C again: now)");
  await node.close();
  return signal === "SIGINT" ? exits.interrupted : exits.fine;
}
