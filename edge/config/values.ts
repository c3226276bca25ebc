/** The single-valued settings of one configuration, each looked up as flag, variable, file entry, default. */
import { troubleOf } from "../runtime/trouble.ts";
import { didYouMean, suggest } from "../suggest.ts";
import { type Address, asAddress, asChoice, asNumber, asText, formatAddress, refuse, type Table } from "./read.ts";
import { clientVariables, type Setting, settings, variableOf } from "./settings.ts";

export interface ConfigSources {
  readonly file?: { readonly path: string; readonly text: string };
  /** All of the environment; only `CARILLON_…` is looked at. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By setting key: `listen.http` → `:4100`. */
  readonly flags: ReadonlyMap<string, string>;
  readonly hostName: string;
  /** The text of the file named by a `file:` secret, without the line end; throws if it cannot be read. */
  readonly readSecret: (path: string) => string;
}

export interface Origin {
  readonly key: string;
  readonly value: string;
  /** `flag --listen.http`, `env CARILLON_LISTEN_HTTP`, `file carillon.toml` or `default`. */
  readonly origin: string;
}

/** More than an old one and a new one, and something has been forgotten. */
const secretsMax = 8;

export class Values {
  readonly #sources: ConfigSources;
  readonly #file: Table;

  constructor(sources: ConfigSources, file: Table) {
    this.#sources = sources;
    this.#file = file;
    const known = settings.map((setting) => setting.key);
    for (const key of sources.flags.keys()) {
      if (!known.includes(key)) refuse(`--${key}: there is no such setting${didYouMean(key, known)}`);
    }
  }

  text(key: string): string {
    return this.optional(key) ?? refuse(`${key}: it has no value`);
  }

  number(key: string): number {
    return asNumber(this.#find(key).value, this.place(key));
  }

  address(key: string): Address {
    return asAddress(this.#find(key).value, this.place(key));
  }

  /** Checked against its kind; null if neither given nor defaulted. */
  optional(key: string): string | null {
    const { value } = this.#find(key);
    if (value === null) return null;
    const setting = settings.find((candidate) => candidate.key === key)!;
    switch (setting.kind) {
      case "choice":
        return asChoice(value, setting.choices!, this.place(key));
      case "number":
        return String(asNumber(value, this.place(key)));
      case "address":
        return formatAddress(asAddress(value, this.place(key)));
      default:
        return asText(value, this.place(key));
    }
  }

  /** One or a list of several, each once. `file:PATH` and `env:NAME` are followed; anything else is the secret itself. */
  secrets(key: string): readonly string[] {
    const secrets = this.#secretTexts(key).map((text) => this.#follow(text, key));
    if (secrets.includes("")) refuse(`${this.place(key)}: the secret is empty`);
    return [...new Set(secrets)];
  }

  /** The files they are in. */
  secretFiles(key: string): readonly string[] {
    return this.#secretTexts(key).flatMap((text) => text.startsWith("file:") ? [text.slice(5)] : []);
  }

  isGiven(key: string): boolean {
    return this.#find(key).origin !== "default";
  }

  place(key: string): string {
    const { origin } = this.#find(key);
    return origin === "default" || origin.startsWith("file") ? key : `${key} (${origin})`;
  }

  origins(): Origin[] {
    return settings.map((setting) => {
      const { value, origin } = this.#find(setting.key);
      return { key: setting.key, value: shown(setting, value), origin };
    });
  }

  /** What is wrong with one is said without repeating it. */
  #secretTexts(key: string): readonly string[] {
    const { value } = this.#find(key);
    if (value === null) return [];
    const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (texts.length === 0 || texts.length > secretsMax) refuse(`${this.place(key)}: it must be one text or a list of 1 to ${secretsMax}`);
    return texts.map((text) =>
      typeof text === "string" && text !== "" ? text : refuse(`${this.place(key)}: each must be a text, not empty`)
    );
  }

  #follow(text: string, key: string): string {
    if (text.startsWith("env:")) {
      const name = text.slice(4);
      return this.#sources.environment[name] ?? refuse(`${key}: the variable ${name} is not set`);
    }
    if (!text.startsWith("file:")) return text;
    try {
      return this.#sources.readSecret(text.slice(5));
    } catch (error) {
      refuse(`${key}: ${text.slice(5)} cannot be read (${troubleOf(error)})`, error);
    }
  }

  #find(key: string): { readonly value: unknown; readonly origin: string } {
    const flag = this.#sources.flags.get(key);
    if (flag !== undefined) return { value: flag, origin: `flag --${key}` };
    const variable = variableOf(key);
    const said = this.#sources.environment[variable];
    if (said !== undefined && said !== "") return { value: said, origin: `env ${variable}` };
    const [section, name] = key.split(".") as [string, string];
    const written = (this.#file[section] as Table | undefined)?.[name];
    if (written !== undefined) return { value: written, origin: `file ${this.#sources.file!.path}` };
    return { value: settings.find((setting) => setting.key === key)!.fallback, origin: "default" };
  }
}

function shown(setting: Setting, value: unknown): string {
  if (value === null || value === undefined) return "-";
  if (setting.kind !== "secrets") return String(value);
  return (Array.isArray(value) ? value : [value]).map((text) => /^(file|env):/.test(String(text)) ? text : "***").join(", ");
}

/** Variables that look like ours. Only a warning: Kubernetes sets CARILLON_PORT for any service of that name. */
export function strangers(environment: ConfigSources["environment"]): string[] {
  const known = [...settings.map((setting) => variableOf(setting.key)), ...clientVariables];
  return Object.keys(environment)
    .filter((name) => name.startsWith("CARILLON_") && !known.includes(name))
    .map((name) => {
      // Compared without what they all begin with, or any two short names would look alike.
      const candidate = suggest(name.slice(9), known.map((other) => other.slice(9)));
      return `the variable ${name} means nothing here${candidate === null ? "" : `; did you mean "CARILLON_${candidate}"?`}`;
    });
}
