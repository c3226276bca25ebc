/** From a command line to a node's configuration: the file it names, its flags, and this process's environment. */
import { CarillonError } from "../../core/errors.ts";
import { type Config, type ConfigSources, loadConfig } from "../config.ts";
import { settings } from "../config/settings.ts";
import { troubleOf } from "../runtime/trouble.ts";
import { hostName, readTextIfThere, readTextNow } from "../runtime/system.ts";
import type { Call } from "./command.ts";

const usualFile = "carillon.toml";

/** Throws CarillonError `config`. A file that is named must be there; the usual one need not. */
export async function configOf(call: Call): Promise<{ readonly config: Config; readonly file: string | null }> {
  const sources = await sourcesOf(call);
  return { config: loadConfig(sources), file: sources.file?.path ?? null };
}

/** What a configuration is made of: the file as it is now, this command line, this environment. */
export async function sourcesOf(call: Call): Promise<ConfigSources> {
  const named = call.text("config") ?? (call.environment.CARILLON_CONFIG || undefined);
  const path = named ?? usualFile;
  const text = await readTextIfThere(path).catch((error: unknown): never => {
    throw new CarillonError("config", `Cannot read the configuration ${path}: ${troubleOf(error)}`, { cause: error });
  });
  if (text === null && named !== undefined) {
    throw new CarillonError("config", `Cannot read the configuration ${path}: there is no such file`);
  }
  const flags = new Map<string, string>();
  for (const { key } of settings) {
    const value = call.text(key);
    if (value !== undefined) flags.set(key, value);
  }
  return {
    ...(text === null ? {} : { file: { path, text } }),
    environment: call.environment,
    flags,
    hostName: hostName(),
    readSecret: (secret) => readTextNow(secret).replace(/\r?\n$/, ""),
  };
}
