/** The program as users start it: a command that ends, or a node that goes on until it is told to stop. */
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** The source, run by this Bun. */
export const fromSource: readonly string[] = [process.execPath, join(root, "edge/main.ts")];

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly command?: readonly string[];
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** The environment without what a developer may have set for this program. */
function environment(extra: Readonly<Record<string, string>> = {}): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(CARILLON_|NO_COLOR|FORCE_COLOR)/.test(name));
  return { ...Object.fromEntries(inherited), ...extra };
}

export async function runProgram(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const input = typeof options.input === "string" ? new TextEncoder().encode(options.input) : options.input;
  const child = Bun.spawn([...(options.command ?? fromSource), ...args], {
    stdin: input ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: environment(options.env),
    cwd: options.cwd ?? root,
  });
  const [stdout, stderr, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, stdout, stderr };
}

/** A program that says when it is ready by one JSON document on its first line. */
export class Running implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "inherit">;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly first: Readonly<Record<string, unknown>>;

  private constructor(child: Bun.Subprocess<"ignore", "pipe", "inherit">, reader: ReadableStreamDefaultReader<Uint8Array>, first: string) {
    this.#child = child;
    this.#reader = reader;
    this.first = JSON.parse(first);
  }

  static async start(args: readonly string[], options: Omit<RunOptions, "input"> = {}): Promise<Running> {
    const child = Bun.spawn([...(options.command ?? fromSource), ...args, "--json"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
      env: environment(options.env),
      cwd: options.cwd ?? root,
    });
    const reader = child.stdout.getReader();
    const decoder = new TextDecoder();
    let text = "";
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`Cannot start ${args.join(" ")}: it ended with ${await child.exited}`);
      text += decoder.decode(value, { stream: true });
    }
    return new Running(child, reader, text.slice(0, text.indexOf("\n")));
  }

  get url(): string {
    return String(this.first["url"]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Asks it to stop and waits; resolves to the exit code. */
  async stop(signal: "SIGTERM" | "SIGINT" | "SIGKILL" = "SIGTERM"): Promise<number> {
    this.#child.kill(signal);
    while (!(await this.#reader.read()).done);
    return await this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}
