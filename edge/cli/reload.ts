/**
 * A running node and its configuration file: looked at every second, and at once on SIGHUP. Lists of keys and tokens are taken over,
 * other changes wait for the next start, and a file that cannot be used changes nothing; all of it is told as events.
 */
import { CarillonError } from "../../core/errors.ts";
import { checkSafety, type Config, loadConfig } from "../config.ts";
import { waitingIn } from "../config/changes.ts";
import type { LocalCarillon } from "../open.ts";
import { onHangup, readTextIfThere } from "../runtime/system.ts";
import type { Call } from "./command.ts";
import { sourcesOf } from "./settings.ts";

const lookMs = 1_000;

/** Until the returned function is called. `file`: the configuration, as it was read for `config`. */
export function followConfig(call: Call, node: LocalCarillon, config: Config, file: string): () => void {
  const follower = new Follower(call, node, config, file);
  void follower.begin();
  const forget = onHangup(() => void follower.apply());
  return () => {
    forget();
    follower.stop();
  };
}

class Follower {
  readonly #call: Call;
  readonly #node: LocalCarillon;
  readonly #config: Config;
  readonly #file: string;
  #tokenFiles: readonly string[];
  /** What the files had when they were last taken over or refused, and at the last look. */
  #known = "";
  #seen = "";
  /** Changes are made one after the other. */
  #busy: Promise<void> = Promise.resolve();
  #told = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(call: Call, node: LocalCarillon, config: Config, file: string) {
    this.#call = call;
    this.#node = node;
    this.#config = config;
    this.#file = file;
    this.#tokenFiles = config.tokenFiles;
  }

  /** The first look takes over what has changed since the node began to start. */
  async begin(): Promise<void> {
    await this.apply();
    this.#lookLater();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  apply(): Promise<void> {
    return this.#busy = this.#busy.then(async () => {
      this.#known = this.#seen = await this.#read();
      if (!this.#stopped) await this.#take();
    });
  }

  #lookLater(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(async () => {
      const now = await this.#read();
      // Half a file may look like a whole one with fewer nodes: it counts once two looks see the same.
      const settled = now === this.#seen;
      this.#seen = now;
      if (settled && now !== this.#known) await this.apply();
      this.#lookLater();
    }, lookMs);
  }

  /** All files as one text; what cannot be read differs from what can. */
  async #read(): Promise<string> {
    const texts = [this.#file, this.#config.keyFile, this.#config.joinFile, ...this.#tokenFiles].map((path) =>
      readTextIfThere(path).catch((error: Error) => error.message)
    );
    return JSON.stringify(await Promise.all(texts));
  }

  async #take(): Promise<void> {
    try {
      const sources = await sourcesOf(this.#call);
      if (sources.file === undefined) throw new CarillonError("config", `Cannot read the configuration ${this.#file}: it is gone`);
      const next = loadConfig(sources);
      checkSafety(next, this.#call.on("insecure"));
      await this.#node.changeKeys(Object.fromEntries(next.keys));
      this.#node.changeTokens(next.tokens);
      this.#tokenFiles = next.tokenFiles;
      const changed = waitingIn(this.#config, next);
      if (changed.length > 0) this.#tell(changed.join(), () => this.#node.tell({ kind: "config-waits", changed }));
      else this.#told = "";
    } catch (error) {
      const reason = (error as Error).message.split("\n")[0]!;
      this.#tell(reason, () => this.#node.tell({ kind: "config-refused", reason }));
    }
  }

  /** The same is not told twice in a row. */
  #tell(what: string, tell: () => void): void {
    if (what === this.#told) return;
    this.#told = what;
    tell();
  }
}
