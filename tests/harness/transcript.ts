/**
 * Protocol stories as text. A story is a file of blocks: comments, one command, `----`, and what it makes
 * happen, up to an empty line. Running a story gives the same text with what really happened.
 *
 *   cluster nodes=3 shape=ring merge=ts durability=sync groups=2 [acceptors=n1,n2] [turn=2 rate=10 interval=50] [limits]
 *   propose n3 g1 ship 42        proposes; nothing travels yet
 *   deliver [n1>n2] [to=n2] [from=n1] [kind=vote] [until=persisted:n2]
 *                                delivers what is on its way and what comes of it (of the path, …)
 *   drop [filters]   repeat [filters]
 *   tick 500 [quiet]             lets time pass; heartbeats travel (quiet: tells only what changes)
 *   takeover n3 [g1]             time passes for n3 alone until it coordinates
 *   handover n1 g1 n2            n1 makes way
 *   crash n1   restart n1   holddisk n1   persist n1
 *   checkpoint n1                n1's replica is written out
 *   take n3 n1                   n3 goes on from n1's checkpoint
 *   cut n1>n2 …   partition n1 | n2 n3   deaf n1   mute n1   heal
 *   confirm n3 g1 g2             a linearizable read
 *   show n1   log n1 g1   flight
 */
import type { GroupId, NodeId } from "../../core/ids.ts";
import type { Message } from "../../core/message.ts";
import { parseTopology } from "../../core/topology.ts";
import { CoreEnv } from "./core_env.ts";

interface Filter {
  (flight: { readonly from: NodeId; readonly to: NodeId; readonly message: Message }): boolean;
}

/** Lines that say how something travelled, not what came of it. */
const travels = /^n\d+ (->|persisted|g\d+ decides)/;

/** The text of the story as it really went. */
export function retell(text: string): string {
  const story = new Story();
  const told: string[] = [];
  let skipping = false;
  for (const line of text.split("\n")) {
    if (skipping && line !== "") continue;
    skipping = false;
    told.push(line);
    if (line !== "----") continue;
    const command = told.at(-2)!;
    told.push(...story.run(command));
    skipping = true;
  }
  return told.join("\n");
}

class Story {
  #env: CoreEnv | null = null;

  run(line: string): string[] {
    const [verb, ...rest] = line.split(/\s+/);
    const options = new Map(
      rest.filter((word) => /^\w+=/.test(word)).map((word) => [word.split("=")[0]!, word.slice(word.indexOf("=") + 1)]),
    );
    const words = rest.filter((word) => !/^\w+=/.test(word));
    const quiet = this.#act(verb!, words, options);
    const lines = this.env.take();
    return quiet ? lines.filter((told) => !travels.test(told)) : lines;
  }

  get env(): CoreEnv {
    if (this.#env === null) throw new Error("Cannot tell this story: it has no cluster yet");
    return this.#env;
  }

  /** True if only changes are to be told. */
  #act(verb: string, words: readonly string[], options: ReadonlyMap<string, string>): boolean {
    switch (verb) {
      case "cluster":
        this.#cluster(options);
        return true;
      case "propose":
        this.env.propose(nodeOf(words[0]), groupOf(words[1]), words.slice(2).join(" "));
        return false;
      case "deliver":
        this.env.deliver(filterOf(words, options), this.#until(options.get("until")));
        return false;
      case "drop":
        this.env.drop(filterOf(words, options));
        return false;
      case "repeat":
        this.env.repeat(filterOf(words, options));
        return false;
      case "tick":
        this.env.tick(Number(words[0]));
        return words.includes("quiet");
      case "takeover":
        return this.#takeOver(nodeOf(words[0]), groupOf(words[1] ?? "g1"), words.includes("quiet"));
      case "handover":
        this.env.input(nodeOf(words[0]), { kind: "handover", group: groupOf(words[1]), to: words[2] ? nodeOf(words[2]) : 0 });
        return false;
      case "confirm":
        this.env.confirm(nodeOf(words[0]), words.slice(1).map(groupOf));
        return false;
      default:
        return this.#meddle(verb, words);
    }
  }

  #meddle(verb: string, words: readonly string[]): boolean {
    const all = [...this.env.nodes.keys()];
    switch (verb) {
      case "crash":
        this.env.crash(nodeOf(words[0]));
        return false;
      case "restart":
        this.env.start(nodeOf(words[0]));
        return false;
      case "checkpoint":
        this.env.checkpoint(nodeOf(words[0]));
        return false;
      case "take":
        this.env.takeOver(nodeOf(words[0]), nodeOf(words[1]));
        return false;
      case "holddisk":
        this.env.holdDisk(nodeOf(words[0]));
        return false;
      case "persist":
        this.env.persist(nodeOf(words[0]));
        return false;
      case "cut":
        for (const path of words) this.env.cut(...pathOf(path));
        return false;
      case "partition": {
        const bar = words.indexOf("|");
        for (const left of words.slice(0, bar).map(nodeOf)) {
          for (const right of words.slice(bar + 1).map(nodeOf)) {
            this.env.cut(left, right);
            this.env.cut(right, left);
          }
        }
        return false;
      }
      case "deaf":
        for (const other of all) this.env.cut(other, nodeOf(words[0]));
        return false;
      case "mute":
        for (const other of all) this.env.cut(nodeOf(words[0]), other);
        return false;
      case "heal":
        this.env.mend();
        return false;
      case "show":
        for (const word of words) this.env.show(nodeOf(word));
        return false;
      case "log":
        this.env.log(nodeOf(words[0]), groupOf(words[1]));
        return false;
      default:
        throw new Error(`Cannot tell this story: no command is called "${verb}"`);
    }
  }

  /** Nodes, groups over all of them, and calm: every group has a coordinator and its start is decided everywhere. */
  #cluster(options: ReadonlyMap<string, string>): void {
    const count = Number(options.get("nodes") ?? 3);
    const groups = Number(options.get("groups") ?? 1);
    const shape = options.get("shape") === "ring" ? "ring" : "star";
    const merge = options.get("merge") === "rr" ? "rr" : "ts";
    const names = Array.from({ length: count }, (_, index) => `n${index + 1}`);
    const acceptors = options.get("acceptors")?.split(",") ?? names;
    const topology = parseTopology({
      merge,
      turn: Number(options.get("turn") ?? 1),
      skipRate: Number(options.get("rate") ?? 1_000),
      skipIntervalMs: Number(options.get("interval") ?? 10),
      nodes: names.map((name) => ({ name })),
      // Each group prefers another coordinator.
      groups: Array.from({ length: groups }, (_, index) => ({
        name: `g${index + 1}`,
        shape,
        acceptors: [...acceptors.slice(index), ...acceptors.slice(0, index)],
        ring: names,
        spans: index === 2 ? ["g1", "g2"] : [],
      })),
    });
    const durability = options.get("durability") === "memory" ? "memory" : "sync";
    const limits = Object.fromEntries(
      [...options].filter(([key]) => /(Entries|Bytes|Commands|Ms|Micros|Every)(Max)?$/.test(key)).map((
        [key, value],
      ) => [key, Number(value)]),
    );
    this.#env = new CoreEnv(topology, durability, limits);
    for (const id of this.env.nodes.keys()) this.env.start(id);
    this.env.tick(Number(options.get("settle") ?? 1_000));
  }

  #takeOver(node: NodeId, group: GroupId, quiet: boolean): boolean {
    const done = (): boolean => this.env.view(node, group)?.coordinates !== 0;
    this.env.tick(5_000, done, (id) => id === node);
    this.env.deliver();
    return quiet;
  }

  #until(what: string | undefined): () => boolean {
    if (what === undefined) return () => false;
    const [event, where] = what.split(":");
    const node = this.env.nodes.get(nodeOf(where))!;
    if (event === "persisted") {
      const before = node.journal.length;
      return () => node.journal.length > before;
    }
    if (event === "decides") {
      const before = this.env.view(nodeOf(where), 1)!.decided;
      return () => this.env.view(nodeOf(where), 1)!.decided > before;
    }
    throw new Error(`Cannot tell this story: nothing happens until "${what}"`);
  }
}

function nodeOf(word: string | undefined): NodeId {
  const match = /^n(\d+)$/.exec(word ?? "");
  if (match === null) throw new Error(`Cannot tell this story: "${word}" is no node`);
  return Number(match[1]);
}

function groupOf(word: string | undefined): GroupId {
  const match = /^g(\d+)$/.exec(word ?? "");
  if (match === null) throw new Error(`Cannot tell this story: "${word}" is no group`);
  return Number(match[1]);
}

function pathOf(word: string): [NodeId, NodeId] {
  const [from, to] = word.split(">");
  return [nodeOf(from), nodeOf(to)];
}

function filterOf(words: readonly string[], options: ReadonlyMap<string, string>): Filter {
  const paths = words.filter((word) => word.includes(">")).map(pathOf);
  const to = options.get("to")?.split(",").map(nodeOf);
  const from = options.get("from")?.split(",").map(nodeOf);
  const kinds = options.get("kind")?.split(",");
  return (flight) =>
    (paths.length === 0 || paths.some(([a, b]) => a === flight.from && b === flight.to)) &&
    (to === undefined || to.includes(flight.to)) &&
    (from === undefined || from.includes(flight.from)) &&
    (kinds === undefined || kinds.includes(flight.message.kind));
}
