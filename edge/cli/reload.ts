/**
 * A running node and its configuration file: looked at every second, read when it was written, and at once on SIGHUP. Lists of keys and
 * tokens are taken over, other changes wait for the next start, and a file that cannot be used changes nothing; all of it is told as events.
 */
import { CarillonError } from "../../core/errors.ts";
import { checkSafety, type Config, loadConfig } from "../config.ts";
import { waitingIn } from "../config/changes.ts";
import type { LocalCarillon } from "../open.ts";
import { fileMark, onHangup, readTextIfThere } from "../runtime/system.ts";
import type { Call } from "./command.ts";
import { sourcesOf } from "./settings.ts";
import { runtime } from "#runtime";

const lookMs = 1_000;
const lookGraceMs = 250;

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
  /** What told the files of the last look from any other, and whether they had the same then as before. */
  #mark = "";
  #settled = false;
  /** Changes are made one after the other. */
  #busy: Promise<void> = Promise.resolve();
  #told = "";
  #cancel: () => void = () => {};
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
    this.#cancel();
  }

  apply(): Promise<void> {
    return this.#busy = this.#busy.then(async () => {
      this.#known = this.#seen = await this.#read();
      if (!this.#stopped) await this.#take();
    });
  }

  #lookLater(): void {
    if (this.#stopped) return;
    const { clock } = runtime;
    this.#cancel = clock.wakeAt(clock.now().mono + lookMs, () => void this.#look().then(() => this.#lookLater()), lookGraceMs);
  }

  async #look(): Promise<void> {
    const mark = (await Promise.all(this.#files.map(fileMark))).join();
    if (mark === this.#mark && this.#settled) return;
    this.#mark = mark;
    const now = await this.#read();
    // Half a file may look like a whole one with fewer nodes: it counts once two looks see the same.
    this.#settled = now === this.#seen;
    this.#seen = now;
    if (this.#settled && now !== this.#known) await this.apply();
  }

  get #files(): readonly string[] {
    return [this.#file, this.#config.keyFile, this.#config.joinFile, ...this.#tokenFiles];
  }

  /** All files as one text; what cannot be read differs from what can. */
  async #read(): Promise<string> {
    const texts = this.#files.map((path) => readTextIfThere(path).catch((error: Error) => error.message));
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
