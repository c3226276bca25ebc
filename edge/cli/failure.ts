/** How a command ends when it fails: one sentence, the next command to try, and an exit code that says which kind it was. */
import { CarillonError, type ErrorCode } from "../../core/errors.ts";
import { exits, UsageError } from "./command.ts";

/** What is not listed is a plain failure. */
const exitOf: Readonly<Partial<Record<ErrorCode, number>>> = {
  "bad-request": exits.usage,
  "bad-key": exits.usage,
  "bad-cursor": exits.usage,
  "bad-position": exits.usage,
  "too-large": exits.usage,
  "unsupported-type": exits.usage,
  "no-spanning-group": exits.usage,
  "key-reused": exits.usage,
  config: exits.usage,
  "not-found": exits.notFound,
  "check-failed": exits.precondition,
  "unexpected-offset": exits.precondition,
  "exists-differently": exits.precondition,
  "past-tail": exits.precondition,
  trimmed: exits.precondition,
  compacted: exits.precondition,
  unreachable: exits.unavailable,
  "no-quorum": exits.unavailable,
  overloaded: exits.unavailable,
  "slow-reader": exits.unavailable,
  joining: exits.unavailable,
  draining: exits.unavailable,
  closed: exits.unavailable,
  timeout: exits.unavailable,
  behind: exits.unavailable,
  "disk-full": exits.unavailable,
  unauthenticated: exits.forbidden,
  forbidden: exits.forbidden,
  cancelled: exits.interrupted,
};

export interface Failure {
  readonly exit: number;
  readonly message: string;
  /** What to type next; never empty. */
  readonly next: string;
}

export function failureOf(error: unknown, words: readonly string[], operands: readonly string[] = []): Failure {
  const help = words.length === 0 ? "carillon help" : `carillon ${words.join(" ")} --help`;
  if (error instanceof UsageError) return { exit: exits.usage, message: error.message, next: error.next };
  if (!(error instanceof CarillonError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { exit: exits.failed, message: message.startsWith("Cannot ") ? message : `Cannot go on: ${message}`, next: help };
  }
  const { message } = error;
  if (error.outcome === "unknown") {
    const doubt = / may /.test(message) ? "" : " (it may have been done all the same)";
    return { exit: exits.unknown, message: `${message}${doubt}`, next: lookAgain(words, operands) };
  }
  return { exit: exitOf[error.code] ?? exits.failed, message, next: nextFor(error, words, operands) ?? help };
}

function nextFor(error: CarillonError, words: readonly string[], operands: readonly string[]): string | null {
  switch (error.code) {
    case "unreachable":
      return "carillon dev   (or name a running node: --url http://host:4100)";
    case "unauthenticated":
    case "forbidden":
      return "export CARILLON_TOKEN=…   (the node's listen.token)";
    case "no-quorum":
    case "joining":
    case "timeout":
    case "behind":
    case "overloaded":
    case "draining":
      return "carillon status";
    case "not-found":
      // With --also it may be another log than the one that stands first.
      if (words.join(" ") === "log append") {
        return `carillon log create ${word(/^Cannot find log "([^"]+)"/.exec(error.message)?.[1] ?? operands[0])}`;
      }
      if (words[0] === "journal") return "carillon config show --origin   (node.data: which directory it is)";
      return words[0] === "log" ? "carillon log ls" : words[0] === "kv" ? "carillon kv ls" : "carillon status";
    case "no-spanning-group":
      return "carillon status   (shows which groups span which)";
    case "check-failed":
      return words[0] === "kv" ? `carillon kv get ${word(operands[0])} --json   (what is there, and its version)` : null;
    case "unexpected-offset":
      return `carillon log info ${word(operands[0])}`;
    case "config":
      return nextForConfig(error.message, words[0]);
    case "trimmed":
    case "past-tail":
      return "the same with --clamp, to start at the nearest record";
    default:
      return null;
  }
}

/** What is wrong is in a file or in a flag, or it is the machine that has no room for this node. */
function nextForConfig(message: string, verb = ""): string {
  const port = /port is in use/.test(message);
  const directory = /another process is using it|it belongs to|it was copied|as data directory/.test(message);
  if (verb === "init") return "carillon init --help";
  if (/run "carillon init"/.test(message)) return "carillon init   (makes a node's key, and prints the lines for the cluster's file)";
  if (verb === "journal") return "carillon status   (a node that runs answers for itself)";
  if (verb === "dev" && port) return "carillon dev --port 0   (picks a free port)";
  if (verb === "dev") return directory ? "carillon dev --data ./another-directory" : "carillon dev --help";
  if (verb === "start" && (port || directory)) return "carillon config show --origin   (which setting it is, and where it comes from)";
  return "carillon start --help   (every setting)";
}

/** After a write that may have happened. */
function lookAgain(words: readonly string[], operands: readonly string[]): string {
  if (words[0] === "kv") return `carillon kv get ${word(operands[0])}   (to see whether it happened)`;
  if (words[0] === "log") return `carillon log info ${word(operands[0])}   (to see whether it happened)`;
  return "carillon status";
}

/** As a shell takes it. */
function word(text = ""): string {
  return /^[\w./:@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
