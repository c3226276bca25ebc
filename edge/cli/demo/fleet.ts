/** The demonstration's nodes as processes of this same program: started, watched, killed, frozen, repaired, stopped. */
import { CarillonError } from "../../../core/errors.ts";
import { keyText } from "../../link/identity.ts";
import { makeKeyFile } from "../../link/key_file.ts";
import { type Child, joinPath, readTextIfThere, spawnSelf, writeText } from "../../runtime/system.ts";
import { configText, type DemoLayout, type DemoNode } from "./layout.ts";
import { runtime } from "#runtime";

export type NodeState = "running" | "killed" | "frozen";

interface Member {
  readonly node: DemoNode;
  readonly configFile: string;
  readonly logFile: string;
  child: Child;
  state: NodeState;
}

export interface FleetOptions {
  readonly directory: string;
  readonly durability: string;
}

export class Fleet {
  readonly #members: readonly Member[];
  #stopping = false;

  private constructor(members: readonly Member[]) {
    this.#members = members;
    for (const member of members) this.#watch(member);
  }

  /** Writes the configurations and starts every node; they are not ready yet. */
  static async start(layout: DemoLayout, options: FleetOptions): Promise<Fleet> {
    const members: Member[] = [];
    const keys = new Map<string, string>();
    for (const node of layout.nodes) {
      const { keys: [pair] } = await makeKeyFile(joinPath(options.directory, node.name, "node.key"), runtime);
      keys.set(node.name, keyText(pair!.publicKey));
    }
    for (const node of layout.nodes) {
      const data = joinPath(options.directory, node.name);
      const configFile = joinPath(options.directory, `${node.name}.toml`);
      const logFile = joinPath(options.directory, `${node.name}.log`);
      await writeText(configFile, configText(layout, node, { ...options, data, keys }), 0o600);
      members.push({ node, configFile, logFile, child: launch(configFile, logFile), state: "running" });
    }
    return new Fleet(members);
  }

  /** Every node answers /readyz. Throws CarillonError `unreachable` with the end of its log if one has died. */
  async ready(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs;
    await Promise.all(
      this.#members.filter(({ state }) => state === "running").map(async (member) => {
        let reason = "it does not listen yet";
        while (performance.now() < until) {
          if (member.state !== "running") throw await this.#obituary(member);
          const answer = await fetch(`http://127.0.0.1:${member.node.httpPort}/readyz`, { signal: AbortSignal.timeout(1_000) }).catch(() =>
            null
          );
          if (answer?.ok) return;
          reason = answer === null ? reason : (await answer.json().catch(() => ({})) as { detail?: string }).detail ?? reason;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        throw new CarillonError("timeout", `Cannot wait any longer for node ${member.node.name}: ${reason} (log: ${member.logFile})`);
      }),
    );
  }

  states(): readonly { readonly name: string; readonly region: string; readonly state: NodeState; readonly pid: number }[] {
    return this.#members.map(({ node, state, child }) => ({ name: node.name, region: node.region, state, pid: child.pid }));
  }

  /** SIGKILL: as if the machine had lost its power, but for what the disk already had. */
  async kill(name: string): Promise<void> {
    const member = this.#member(name);
    if (member.state === "frozen") member.child.signal("SIGCONT");
    member.state = "killed";
    member.child.signal("SIGKILL");
    await member.child.exited;
  }

  /** SIGSTOP for all nodes of a region: to everybody else it looks cut off. */
  cutOff(region: string): void {
    for (const member of this.#members) {
      if (member.node.region !== region || member.state !== "running") continue;
      member.state = "frozen";
      member.child.signal("SIGSTOP");
    }
  }

  /** Everything runs again: frozen nodes go on, killed ones start with what they had on disk. */
  repair(): void {
    for (const member of this.#members) {
      if (member.state === "frozen") member.child.signal("SIGCONT");
      if (member.state === "killed") {
        member.child = launch(member.configFile, member.logFile);
        this.#watch(member);
      }
      member.state = "running";
    }
  }

  /** Cleanly where it works, by force where it does not. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#members.map(async ({ child, state }) => {
      if (state === "frozen") child.signal("SIGCONT");
      child.signal("SIGTERM");
      const force = setTimeout(() => child.signal("SIGKILL"), 3_000);
      await child.exited;
      clearTimeout(force);
    }));
  }

  #watch(member: Member): void {
    const { child } = member;
    void child.exited.then(() => {
      if (member.child === child && member.state === "running" && !this.#stopping) member.state = "killed";
    });
  }

  #member(name: string): Member {
    const member = this.#members.find(({ node }) => node.name === name);
    if (member === undefined) throw new CarillonError("not-found", `Cannot find node "${name}" in this demonstration`);
    return member;
  }

  async #obituary({ node, logFile, child }: Member): Promise<CarillonError> {
    const log = (await readTextIfThere(logFile) ?? "").trimEnd().split("\n").slice(-5).join("\n  ");
    return new CarillonError("unreachable", `Cannot start node ${node.name}: it ended with ${await child.exited}; its log says\n  ${log}`);
  }
}

function launch(configFile: string, logFile: string): Child {
  // Their input ends when this process does, however it does: no node is ever left behind.
  return spawnSelf(["start", "--config", configFile, "--stop-with-input"], logFile);
}
