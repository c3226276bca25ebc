/** Every command of `carillon`, one row each. What a row does lives in the file it loads. */
import { settings, variableOf } from "../config/settings.ts";
import type { Command, Flag } from "./command.ts";

const consistency: Flag = { name: "consistency", value: "LEVEL", help: "linearizable (default), session or local" };
const after: Flag = { name: "after", value: "POSITION", help: "with session: see everything up to this position" };
const type: Flag = { name: "type", value: "TYPE", help: "content type of the value", maybeEmpty: true };
const ifVersion: Flag = { name: "if-version", value: "VERSION", help: "only if it has this version; `none`: only if there is nothing" };
const idempotencyKey: Flag = {
  name: "idempotency-key",
  value: "KEY",
  help: "your name for this write: made once, however often it is asked for",
};
const insecure: Flag = { name: "insecure", help: "let anybody who reaches the ports in" };
const config: Flag = { name: "config", short: "c", value: "FILE", help: "default: $CARILLON_CONFIG, else carillon.toml if it is there" };
const directory = { name: "DIR", help: "the node's data directory (node.data)" };
const key = { name: "KEY", help: "up to 2 KiB of text" };
const log = { name: "LOG", help: "name of the log" };
const value = { name: "VALUE", help: "the value itself, or - for standard input" };

const settingFlags: readonly Flag[] = settings.map((setting) => ({
  name: setting.key,
  value: setting.choices?.join("|") ??
    { address: "HOST:PORT", number: "N", path: "DIR", secrets: "SECRET", text: "TEXT", choice: "" }[setting.kind],
  help: setting.help,
}));

const kv: readonly Command[] = [
  {
    words: ["kv", "get"],
    summary: "the value of a key, as it is",
    operands: [key],
    flags: [consistency, after],
    client: true,
    examples: ["kv get user/ada", "kv get user/ada --json  # version and content type as well"],
    run: async (call) => (await import("./kv.ts")).get(call),
  },
  {
    words: ["kv", "put"],
    summary: "set a key; prints the new version",
    operands: [key, value],
    flags: [ifVersion, type, idempotencyKey],
    client: true,
    examples: [
      "kv put user/ada 'hello'",
      "kv put photo - --type image/png < photo.png",
      "kv put user/ada 'bye' --if-version 0000000a3f2100010000  # compare and set",
    ],
    run: async (call) => (await import("./kv.ts")).put(call),
  },
  {
    words: ["kv", "insert"],
    summary: "set a key that does not exist yet",
    operands: [key, value],
    flags: [type, idempotencyKey],
    client: true,
    examples: ["kv insert lock me  # exit code 4 if somebody was first"],
    run: async (call) => (await import("./kv.ts")).insert(call),
  },
  {
    words: ["kv", "update"],
    summary: "set a key that exists",
    operands: [key, value],
    flags: [type, idempotencyKey],
    client: true,
    examples: ["kv update user/ada 'bye'"],
    run: async (call) => (await import("./kv.ts")).update(call),
  },
  {
    words: ["kv", "cas"],
    summary: "compare and set: replace the value if the version is still this one",
    operands: [key, { name: "VERSION", help: "20 hex digits, as printed by put" }, value],
    flags: [type, idempotencyKey],
    client: true,
    examples: ["kv cas user/ada 0000000a3f2100010000 'bye'"],
    run: async (call) => (await import("./kv.ts")).cas(call),
  },
  {
    words: ["kv", "del"],
    summary: "delete a key",
    operands: [key],
    flags: [ifVersion, idempotencyKey],
    client: true,
    examples: ["kv del user/ada"],
    run: async (call) => (await import("./kv.ts")).del(call),
  },
  {
    words: ["kv", "ls"],
    summary: "list keys in order",
    operands: [{ name: "PREFIX", help: "only keys that begin with it", optional: true }],
    flags: [
      { name: "start", value: "KEY", help: "from this key on", maybeEmpty: true },
      { name: "end", value: "KEY", help: "up to, but not including, this key" },
      { name: "limit", short: "n", value: "N", help: "stop after N entries" },
      { name: "reverse", short: "r", help: "last key first" },
      { name: "keys-only", help: "no values" },
      consistency,
      after,
    ],
    client: true,
    examples: ["kv ls user/", "kv ls --start a --end b --limit 10", "kv ls --keys-only | wc -l"],
    run: async (call) => (await import("./kv.ts")).ls(call),
  },
  {
    words: ["kv", "watch"],
    summary: "entries, and every change of them, until interrupted",
    operands: [{ name: "PREFIX", help: "only keys that begin with it", optional: true }],
    flags: [
      { name: "key", value: "KEY", help: "only this key" },
      { name: "start", value: "KEY", help: "from this key on", maybeEmpty: true },
      { name: "end", value: "KEY", help: "up to, but not including, this key" },
      { name: "after", value: "POSITION", help: "only changes behind this position (default: first the entries there are)" },
      { name: "count", short: "n", value: "N", help: "stop after N lines" },
    ],
    client: true,
    examples: ["kv watch user/", "kv watch --key lock --ndjson", "kv watch user/ --after 0000000a3f2100010000"],
    run: async (call) => (await import("./watch.ts")).watch(call),
  },
];

const logs: readonly Command[] = [
  {
    words: ["log", "create"],
    summary: "create a log, or find it as it is",
    operands: [log],
    flags: [{ name: "group", value: "GROUP", help: "the group that orders it (default: the node's choice)" }],
    client: true,
    examples: ["log create audit", "log create orders --group fra"],
    run: async (call) => (await import("./log.ts")).create(call),
  },
  {
    words: ["log", "append"],
    summary: "append records; without any, one for each line of standard input",
    operands: [log, {
      name: "RECORD",
      help: "several are appended together, all or none; - is standard input as one record",
      optional: true,
      many: true,
    }],
    flags: [
      { name: "expect", value: "OFFSET", help: "only if this is the offset the first record gets" },
      { name: "also", value: "LOG", many: true, help: "append the same to this log too, atomically" },
      { name: "create", help: "create the log if there is none" },
      type,
      idempotencyKey,
    ],
    client: true,
    examples: [
      "log append audit 'ada logged in'",
      "log append audit < events.ndjson  # one record a line",
      "log append audit 'paid' --also billing  # both or neither",
    ],
    run: async (call) => (await import("./log.ts")).append(call),
  },
  {
    words: ["log", "read"],
    summary: "records from an offset on",
    operands: [log],
    flags: [
      { name: "from", value: "OFFSET", help: "an offset, or tail-N for the last N records (default: the oldest kept)" },
      { name: "limit", short: "n", value: "N", help: "at most N records (default: all there are)" },
      { name: "bytes", value: "N", help: "stop after the page in which N bytes of payload are reached" },
      { name: "clamp", help: "start at the nearest record that exists" },
      consistency,
      after,
    ],
    client: true,
    examples: ["log read audit", "log read audit --from tail-10", "log read audit --from 7 --limit 1"],
    run: async (call) => (await import("./log.ts")).read(call),
  },
  {
    words: ["log", "tail"],
    summary: "records as they come, until interrupted",
    operands: [log],
    flags: [
      { name: "from", value: "OFFSET", help: "an offset, or tail-N (default: tail-10)" },
      { name: "count", short: "n", value: "N", help: "stop after N records" },
    ],
    client: true,
    examples: ["log tail audit", "log tail audit --from 0 | jq .", "log tail audit --count 1  # wait for one"],
    run: async (call) => (await import("./log.ts")).tail(call),
  },
  {
    words: ["log", "trim"],
    summary: "forget everything below an offset",
    operands: [log, { name: "OFFSET", help: "the first record that is kept" }],
    flags: [idempotencyKey],
    client: true,
    examples: ["log trim audit 1000"],
    run: async (call) => (await import("./log.ts")).trim(call),
  },
  {
    words: ["log", "ls"],
    summary: "all logs",
    client: true,
    examples: ["log ls"],
    run: async (call) => (await import("./log.ts")).ls(call),
  },
  {
    words: ["log", "info"],
    summary: "where a log begins and ends, and who orders it",
    operands: [log],
    client: true,
    examples: ["log info audit"],
    run: async (call) => (await import("./log.ts")).info(call),
  },
];

const multicast: readonly Command[] = [
  {
    words: ["multicast", "send"],
    summary: "send a message to one or several groups, in one order for all who listen",
    operands: [{ name: "GROUPS", help: "names separated by commas" }, value],
    flags: [type, idempotencyKey],
    client: true,
    examples: ["multicast send fra 'hello'", "multicast send fra,iad 'hello both'"],
    run: async (call) => (await import("./multicast.ts")).send(call),
  },
  {
    words: ["multicast", "listen"],
    summary: "messages to any of these groups, in merged order, until interrupted",
    operands: [{ name: "GROUPS", help: "names separated by commas" }],
    flags: [
      { name: "after", value: "POSITION", help: "messages behind this position; `start` for all (default: from now on)" },
      { name: "count", short: "n", value: "N", help: "stop after N messages" },
    ],
    client: true,
    examples: ["multicast listen fra,iad", "multicast listen fra --after start --count 10 --ndjson"],
    run: async (call) => (await import("./multicast.ts")).listen(call),
  },
];

const node: readonly Command[] = [
  {
    words: ["init"],
    summary: "make a node's key, and the lines that make the node known to its cluster",
    flags: [
      config,
      { name: "rotate", help: "add another key to those it has" },
      { name: "drop", help: "forget its keys that the cluster's file does not list" },
      { name: "token", value: "NODE", help: "a join token for a node that has no key yet, and the line that lists it" },
      { name: "valid", value: "TIME", help: "with --token: for how long a first contact may be made (default: 1h)" },
      ...settingFlags.filter(({ name }) => /^(node|listen\.(http|link))/.test(name)),
    ],
    examples: [
      "init --node.name fra-1 --node.data /var/lib/carillon",
      "init --node.name fra-1 --listen.link fra-1.internal:4101  # the lines go to standard output: … >> carillon.toml",
      "init --token fra-2 --valid 2h  # list fra-2 before it has a key: two lines, one for it and one for the cluster's file",
      "init --rotate  # then list both keys on every node, then only the new one, then: carillon init --drop",
    ],
    notes: [
      "The private key is in node.key in the data directory, for its owner alone, and is never overwritten. Nodes let in whom\nthe cluster's file lists; they take over a changed list within seconds, without a restart.",
    ],
    run: async (call) => (await import("./init.ts")).init(call),
  },
  {
    words: ["dev"],
    summary: "one node, in memory, nothing to set up",
    flags: [
      { name: "data", value: "DIR", help: "keep everything there, durably (default: in memory)" },
      { name: "port", short: "p", value: "PORT", help: "of HTTP (default: 4100; 0 picks one)" },
      { name: "host", value: "HOST", help: "to listen on (default: 127.0.0.1)" },
      insecure,
    ],
    examples: ["dev", "dev --data ./data --port 4200"],
    run: async (call) => (await import("./dev.ts")).dev(call),
  },
  {
    words: ["start"],
    summary: "a node of a cluster",
    flags: [
      config,
      ...settingFlags,
      insecure,
      { name: "stop-with-input", help: "stop when standard input ends (for whoever starts nodes)" },
    ],
    examples: ["start --config carillon.toml", "start --node.name fra-2 --node.data /var/lib/carillon"],
    notes: [
      `Every setting is also a key of the file and a variable: listen.http, ${
        variableOf("listen.http")
      }, --listen.http.\nA flag wins over a variable, a variable over the file. See: carillon config show`,
    ],
    run: async (call) => (await import("./start.ts")).start(call),
  },
  {
    words: ["demo"],
    summary: "several regions on this machine, with real distances",
    flags: [
      { name: "regions", value: "NAMES", help: "separated by commas (default: fra,iad,sin)" },
      { name: "nodes-per-region", value: "N", help: "1 to 3 (default: 1)" },
      { name: "port", short: "p", value: "PORT", help: "of the first node; others follow (default: 4100; 0 picks free ones)" },
      { name: "delay", value: "A-B=MS", many: true, help: "round trip between two regions, e.g. fra-iad=88; all=0 for none" },
      { name: "durability", value: "MODE", help: "sync, async or memory (default: sync)" },
      { name: "seconds", value: "N", help: "stop after so long" },
      { name: "exit-after-ready", help: "stop as soon as everything has been measured" },
    ],
    examples: ["demo", "demo --regions fra,iad,sin --nodes-per-region 3", "demo --delay fra-iad=88 --delay fra-sin=158"],
    notes: ["Keys while it runs: k kill a node, p cut off a region, r repair, m measure again, q quit."],
    run: async (call) => (await import("./demo.ts")).demo(call),
  },
];

const look: readonly Command[] = [
  {
    words: ["status"],
    summary: "is everything well? where is what?",
    client: true,
    examples: ["status", "status --url http://fra-1:4100 --json", "status --quiet && echo ready"],
    flags: [{ name: "quiet", short: "q", help: "say nothing; the exit code tells (5: not ready)" }],
    run: async (call) => (await import("./status.ts")).status(call),
  },
  {
    words: ["links"],
    summary: "how a node reaches the others: over what and why, and what is known of the way",
    client: true,
    examples: ["links", "links --url http://fra-1:4100 --json | jq '.links[] | {peer, driver, rttMs}'"],
    run: async (call) => (await import("./links.ts")).links(call),
  },
  {
    words: ["doctor"],
    summary: "asks every node it can reach, and explains what is wrong; exit code 1 if something is",
    client: true,
    examples: ["doctor", "doctor --url http://fra-1:4100 --json"],
    notes: ["Says what nodes report, and nothing more: it sends no packets of its own between them."],
    run: async (call) => (await import("./doctor.ts")).doctor(call),
  },
  {
    words: ["events"],
    summary: "what has happened in a node: elections, suspicions, stalls, overload",
    client: true,
    examples: ["events", "events --follow", "events --follow --ndjson | jq 'select(.kind == \"stalled\")'"],
    flags: [
      { name: "follow", short: "f", help: "and what happens from now on, until interrupted" },
      { name: "after", value: "ID", help: "only what came behind this event" },
      { name: "count", short: "n", value: "N", help: "the newest N; with --follow: stop after N" },
    ],
    run: async (call) => (await import("./events.ts")).events(call),
  },
  {
    words: ["config", "check"],
    summary: "is this configuration one that a node can start with?",
    flags: [config, ...settingFlags, insecure],
    examples: ["config check", "config check --config carillon.toml"],
    run: async (call) => (await import("./config.ts")).check(call),
  },
  {
    words: ["config", "show"],
    summary: "every setting with its value",
    flags: [config, { name: "origin", help: "and where it came from" }, ...settingFlags],
    examples: ["config show --origin"],
    run: async (call) => (await import("./config.ts")).show(call),
  },
  {
    words: ["journal", "inspect"],
    summary: "what the directory of a stopped node holds",
    operands: [directory],
    examples: ["journal inspect ./data", "journal inspect ./data --json | jq .groups"],
    run: async (call) => (await import("./journal.ts")).inspect(call),
  },
  {
    words: ["journal", "verify"],
    summary: "can everything in it be read? exit code 1 if not",
    operands: [directory],
    examples: ["journal verify ./data"],
    notes: ["Names every damaged file and byte. A torn tail is none: it was being written when the node ended, and nobody was told."],
    run: async (call) => (await import("./journal.ts")).verify(call),
  },
  {
    words: ["journal", "adopt"],
    summary: "let a node start on a copied or restored directory",
    operands: [directory],
    flags: [{ name: "moved", help: "it was copied after the node had stopped for good: nothing has been said since" }],
    examples: ["journal adopt /var/lib/carillon", "journal adopt /var/lib/carillon --moved"],
    notes: [
      "Only if the node it was copied from never starts again: two nodes with one name and one past break every promise.\nThe node votes again once it has heard all others, since its last words may be younger than the copy.",
      "With --moved it votes at once. So a whole cluster that was stopped can be moved, or brought back from copies made while it was.\nFor a copy that is older than the node's last words it is wrong: what the node promised since would be forgotten.",
    ],
    run: async (call) => (await import("./journal.ts")).adopt(call),
  },
  {
    words: ["version"],
    summary: "of this program, and of the node it reaches",
    client: true,
    examples: ["version", "version --json"],
    run: async (call) => (await import("./version.ts")).showVersion(call),
  },
];

export const commands: readonly Command[] = [...node, ...kv, ...logs, ...multicast, ...look];
