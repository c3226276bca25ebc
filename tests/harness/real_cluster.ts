/** Nodes as real processes on loopback, to be killed, paused, cut off and started again. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LinkDriver } from "../../edge/link/open.ts";
import { freePorts } from "../../edge/runtime/system.ts";
import { newNodeKey } from "../../mod.ts";
import { Relay } from "./relay.ts";

export { freePorts } from "../../edge/runtime/system.ts";

const root = join(import.meta.dir, "../..");

export interface ClusterOptions {
  /** Default `sync`. */
  readonly durability?: "sync" | "async" | "memory";
  /** Default `star`. */
  readonly shape?: "star" | "ring";
  /** Where the data goes; default a directory for temporary files. */
  readonly parent?: string;
  /** Default: the source, run by this Bun. Several: one for each node in turn. */
  readonly command?: readonly string[];
  readonly commands?: readonly (readonly string[])[];
  /** Default 3. */
  readonly nodes?: number;
  /** Default `auto`. */
  readonly link?: LinkDriver;
  /** As in the configuration file; default one, `main`, of all nodes and keys. */
  readonly groups?: readonly string[];
  /** All traffic between nodes passes a relay, where it can be meddled with. */
  readonly relay?: boolean;
  /** Called when the directories' parent is there and no node has been started. */
  readonly beforeStart?: (nodes: readonly RealNode[]) => Promise<void>;
}

/** The built binary if there is one, else the source. */
export function fastestCommand(): readonly string[] {
  const binary = join(root, "dist/carillon");
  return existsSync(binary) ? [binary] : sourceCommand;
}

/** The binary as a user gets it, built if it is missing or older than the source; else, with the reason printed, the source. */
export function builtCommand(): readonly string[] {
  const binary = join(root, "dist/carillon");
  if (!existsSync(binary) || statSync(binary).mtimeMs < newestSource()) {
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, "edge/build.ts"], { cwd: root, stdout: "ignore", stderr: "pipe" });
    if (exitCode !== 0) {
      console.log(`Tested is the source: the binary cannot be built here: ${stderr.toString().trim()}`);
      return sourceCommand;
    }
  }
  return [binary];
}

function newestSource(): number {
  let newest = 0;
  for (const folder of ["core", "services", "edge"]) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (file.endsWith(".ts")) newest = Math.max(newest, statSync(join(root, folder, file)).mtimeMs);
    }
  }
  return newest;
}

/** The command as one file, run by the Node that is on the path; built anew. */
export function nodeCommand(): readonly string[] {
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "edge/build.ts", "--only", "command"], {
    cwd: root,
    stdout: "ignore",
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`Cannot build the command for Node: ${stderr.toString().trim()}`);
  return ["node", join(root, "dist/carillon.mjs")];
}

/** The source, run by Deno. */
export const denoCommand: readonly string[] = [join(root, "node_modules/.bin/deno"), "run", "-A", join(root, "edge/main.ts")];

export const sourceCommand: readonly string[] = [process.execPath, join(root, "edge/main.ts")];

export class RealNode {
  readonly name: string;
  readonly url: string;
  readonly httpPort: number;
  readonly linkPort: number;
  readonly directory: string;
  readonly config: string;
  readonly #command: readonly string[];
  #process: Bun.Subprocess<"pipe", number, number> | null = null;

  constructor(name: string, ports: readonly [number, number], directory: string, command: readonly string[]) {
    this.name = name;
    [this.httpPort, this.linkPort] = ports;
    this.url = `http://127.0.0.1:${this.httpPort}`;
    this.directory = join(directory, name);
    this.config = join(directory, `${name}.toml`);
    this.#command = command;
  }

  get running(): boolean {
    return this.#process !== null && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** It ended by a signal, not by itself. */
  get signalled(): boolean {
    return this.#process !== null && this.#process.signalCode !== null;
  }

  get pid(): number {
    if (this.#process === null) throw new Error(`Cannot tell the pid of ${this.name}: it was never started`);
    return this.#process.pid;
  }

  /** Its private keys. */
  get keyFile(): string {
    return join(this.directory, "node.key");
  }

  /** What it printed, in all its lives. */
  get output(): string {
    return existsSync(this.#outputFile) ? readFileSync(this.#outputFile, "utf8") : "";
  }

  get #outputFile(): string {
    return `${this.directory}.out`;
  }

  /** Returns at once; `ready` waits. The node stops by itself when this process ends, however it ends. */
  start(): void {
    const output = openSync(this.#outputFile, "a");
    this.#process = Bun.spawn([...this.#command, "start", "--config", this.config, "--stop-with-input"], {
      cwd: root,
      stdin: "pipe",
      stdout: output,
      stderr: output,
    });
    closeSync(output);
  }

  /** Throws with the node's output if it is not ready in time. */
  async ready(timeoutMs = 15_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (!this.running) throw new Error(`Cannot wait for ${this.name}: it ended. It said:\n${this.output}`);
      const answer = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(1_000) }).catch(() => null);
      if (answer?.ok) return;
      if (performance.now() > deadline) {
        const why = answer === null ? "no answer" : await answer.text();
        throw new Error(`Cannot wait for ${this.name}: not ready after ${timeoutMs} ms (${why}). It said:\n${this.output}`);
      }
      await Bun.sleep(20);
    }
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#process?.exited;
  }

  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM"): void {
    this.#process?.kill(name);
  }

  /** Resolves when the process is gone. */
  async exited(): Promise<number> {
    return await this.#process!.exited;
  }
}

export class RealCluster implements AsyncDisposable {
  readonly nodes: readonly RealNode[];
  readonly directory: string;
  readonly #relay: Relay | null;

  private constructor(nodes: readonly RealNode[], directory: string, relay: Relay | null) {
    this.nodes = nodes;
    this.directory = directory;
    this.#relay = relay;
  }

  static async start(options: ClusterOptions = {}): Promise<RealCluster> {
    const directory = await mkdtemp(join(options.parent ?? tmpdir(), "carillon-cluster-"));
    const count = options.nodes ?? 3;
    const ports = await freePorts(2 * count);
    const commands = options.commands ?? [options.command ?? sourceCommand];
    const nodes = Array.from(
      { length: count },
      (_, index) => new RealNode(`n${index + 1}`, [ports[index]!, ports[index + count]!], directory, commands[index % commands.length]!),
    );
    const relay = options.relay ? await Relay.start(new Map(nodes.map(({ name, linkPort }) => [name, linkPort]))) : null;
    const made = new Map(nodes.map((node) => [node, newNodeKey()]));
    const keys = new Map([...made].map(([node, { publicKey }]) => [node.name, publicKey]));
    for (const node of nodes) await writeFile(node.config, configOf(node, nodes, { ...options, keys, relay }));
    const cluster = new RealCluster(nodes, directory, relay);
    try {
      await options.beforeStart?.(nodes);
      // What is done before may put another file system there.
      for (const [node, { privateKey }] of made) {
        await mkdir(node.directory, { recursive: true });
        await writeFile(node.keyFile, privateKey, { mode: 0o600 });
      }
      for (const node of nodes) node.start();
      await cluster.ready();
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
    return cluster;
  }

  /** Of a cluster started with one. */
  get relay(): Relay {
    if (this.#relay === null) throw new Error("Cannot meddle with the network: this cluster was started without a relay");
    return this.#relay;
  }

  async ready(timeoutMs?: number): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.ready(timeoutMs)));
  }

  /** The node that coordinates the only group, as the others see it. */
  async coordinator(): Promise<RealNode> {
    const deadline = performance.now() + 10_000;
    while (performance.now() < deadline) {
      for (const node of this.nodes) {
        if (!node.running) continue;
        const answer = await fetch(`${node.url}/v1/cluster`, { signal: AbortSignal.timeout(1_000) }).catch(() => null);
        if (!answer?.ok) continue;
        const status = await answer.json() as { groups: { coordinator: string | null }[] };
        const found = this.nodes.find(({ name }) => name === status.groups[0]?.coordinator);
        if (found?.running) return found;
      }
      await Bun.sleep(50);
    }
    throw new Error("Cannot find the coordinator: no node names a running one after 10 s");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await this.#relay?.[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function configOf(
  self: RealNode,
  nodes: readonly RealNode[],
  { keys, relay, durability = "sync", shape = "star", link = "auto", groups }: Omit<ClusterOptions, "relay"> & {
    readonly keys: ReadonlyMap<string, string>;
    readonly relay: Relay | null;
  },
): string {
  const linkPort = (node: RealNode): number => relay === null || node === self ? node.linkPort : relay.port(self.name, node.name);
  const lines = [
    `[node]\nname = "${self.name}"\ndata = ${JSON.stringify(self.directory)}`,
    `[listen]\nhttp = "127.0.0.1:${self.httpPort}"`,
    `[durability]\nack = "${durability}"`,
    `[link]\ndriver = "${link}"`,
    ...nodes.map((node) =>
      `[[nodes]]\nname = "${node.name}"\nkey = "${keys.get(node.name)}"\nlink = "127.0.0.1:${linkPort(node)}"\nhttp = "${node.url}"`
    ),
    ...groups ?? [`[groups.main]\nshape = "${shape}"\nkeys = { from = "" }`],
  ];
  return lines.join("\n") + "\n";
}
