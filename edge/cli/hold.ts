/** A node runs until somebody ends it: once means cleanly, twice means now. What it has to say meanwhile goes to standard error. */
import { CarillonError } from "../../core/errors.ts";
import { describe, isTroubleKind, type NodeEvent } from "../events/event.ts";
import type { LocalCarillon, NodeOptions } from "../open.ts";
import { exit, isTerminal, onInputEnd, onSignals } from "../runtime/system.ts";
import { exits } from "./command.ts";
import type { Output } from "./output.ts";

/**
 * One line for each notice and event: for people on a terminal, as JSON elsewhere. A node that cannot go on ends the process, so
 * that whoever watches it starts it again. `quiet`: of what happens only what somebody may have to do something about.
 */
export function nodeHooks(
  output: Output,
  { node, quiet }: { readonly node: string; readonly quiet: boolean },
): Required<Pick<NodeOptions, "onNotice" | "onEvent" | "onCrash">> {
  const human = output.format === "text" && isTerminal("stderr");
  const log = (line: Record<string, unknown>, text: string): void => void output.note(human ? text : JSON.stringify(line));
  return {
    onNotice: (text) => log({ at: new Date().toISOString(), node, kind: "notice", text }, text),
    onEvent(event: NodeEvent) {
      const trouble = isTroubleKind(event.kind);
      if (quiet && !trouble) return;
      const text = describe(event);
      const { at, node, kind, id: _, ...facts } = event;
      log({ at, node, kind, ...facts, text }, `${at.slice(11, 19)} ${node} ${trouble ? output.paint("yellow", text, "stderr") : text}`);
    },
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
