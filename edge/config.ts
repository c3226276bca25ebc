/**
 * A node's configuration: one TOML file, `CARILLON_…` variables and flags, each overriding the one before, with the
 * origin of every value kept. Pure: the caller reads the file and hands over its environment.
 *
 *     const config = loadConfig({ file: { path: "carillon.toml", text }, environment, flags, hostName, readSecret });
 *     parseTopology(config.topology);
 */
import { parse, TomlError } from "smol-toml";
import type { Durability } from "../core/node.ts";
import { parseTopology, type TopologyInput } from "../core/topology.ts";
import { Partitions } from "../services/partitions.ts";
import { troubleOf } from "./runtime/trouble.ts";
import { didYouMean, suggest } from "./suggest.ts";
import {
  type Address,
  asAddress,
  asChoice,
  asNumber,
  asTable,
  asText,
  formatAddress,
  isLoopback,
  onlyKeys,
  refuse,
  type Table,
} from "./config/read.ts";
import { clientVariables, type Setting, settings, variableOf } from "./config/settings.ts";
import { checkDelays, type NodeInput, readDelays, readGroups, readNodes } from "./config/tables.ts";

const secretLengthMin = 16;

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

export interface Config {
  /** This node's name in `topology.nodes`. */
  readonly self: string;
  readonly data: string;
  readonly http: Address;
  /** Null: a node alone, without peers. */
  readonly link: Address | null;
  readonly token: string | null;
  readonly secret: string | null;
  readonly durability: Durability;
  readonly topology: TopologyInput;
  /** Simulated one-way milliseconds by pair of regions; empty outside experiments. */
  readonly delays: ReadonlyMap<string, number>;
  /** Every single-valued setting and where it came from; secrets are masked. */
  readonly origins: readonly Origin[];
  /** Not wrong, but worth a line. */
  readonly warnings: readonly string[];
}

export interface Origin {
  readonly key: string;
  readonly value: string;
  /** `flag --listen.http`, `env CARILLON_LISTEN_HTTP`, `file carillon.toml` or `default`. */
  readonly origin: string;
}

/** Throws CarillonError `config` with a sentence that names the place and, for a slip, what was meant. */
export function loadConfig(sources: ConfigSources): Config {
  const file = readFile(sources.file);
  const values = new Values(sources, file);
  const nodes = file.nodes === undefined ? [] : readNodes(file.nodes);
  const groups = file.groups === undefined ? undefined : readGroups(file.groups);
  const delays = readDev(file.dev);
  const self = ownName(values.optional("node.name"), nodes, sources.hostName);
  const everybody = nodes.length > 0 ? nodes : [{ name: self, region: String(values.text("node.region")) }];
  const merge = values.text("cluster.merge") as "ts" | "rr";
  const topology: TopologyInput = {
    cluster: values.text("cluster.name"),
    merge,
    ...(merge === "rr"
      ? {
        turn: values.number("cluster.turn"),
        skipRate: values.number("cluster.skipRate"),
        skipIntervalMs: values.number("cluster.skipIntervalMs"),
      }
      : {}),
    nodes: everybody,
    ...(groups === undefined ? {} : { groups }),
  };
  new Partitions(parseTopology(topology)); // Their complaints belong here, before anything has started.
  checkDelays(delays, [...new Set(everybody.map((node) => node.region ?? "local"))]);
  const link = everybody.length > 1 ? linkAddress(values, everybody.find((node) => node.name === self)!) : null;
  const secret = values.secret("cluster.secret");
  if (link !== null && secret !== null && secret.length < secretLengthMin) {
    refuse(`${values.place("cluster.secret")}: it must have at least ${secretLengthMin} characters`);
  }
  return {
    self,
    data: values.text("node.data"),
    http: values.address("listen.http"),
    link,
    token: values.secret("listen.token"),
    secret,
    durability: values.text("durability.ack") as Durability,
    topology,
    delays,
    origins: values.origins(),
    warnings: strangers(sources.environment),
  };
}

/** The safety rails: throws `config` for what nobody should do by accident. `insecure`: the operator has said so. */
export function checkSafety(config: Config, insecure: boolean): void {
  if (insecure) return;
  if (!isLoopback(config.http.host) && config.token === null) {
    refuse(
      `listen.http ${formatAddress(config.http)}: anybody who reaches it could read and write everything; ` +
        `set listen.token, listen on 127.0.0.1, or say --insecure`,
    );
  }
  if (config.link !== null && !isLoopback(config.link.host) && config.secret === null) {
    refuse(
      `listen.link ${formatAddress(config.link)}: anybody who reaches it could join; set cluster.secret on every node, or say --insecure`,
    );
  }
}

/** What an operator must not overlook, one line each; empty when all is as durable and closed as it gets. */
export function loudly(config: Config): string[] {
  const lines: string[] = [];
  if (config.durability === "async") lines.push("durability.ack = async: a power failure may lose the last moments of acknowledged writes");
  if (config.durability === "memory") lines.push("durability.ack = memory: acknowledged writes are gone when a quorum stops");
  if (config.delays.size > 0) lines.push("[dev] delays: messages to peers are held back on purpose; this is an experiment");
  return lines;
}

const sections = [...new Set(settings.map((setting) => setting.key.split(".")[0]!))];

/** The file as a table whose sections and keys are all known. */
function readFile(file: ConfigSources["file"]): Table {
  if (file === undefined) return {};
  let table: Table;
  try {
    table = parse(file.text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    refuse(
      `${file.path}, line ${error.line}, column ${error.column}: ${error.message.split("\n")[0]}\n${error.codeblock.trimEnd()}`,
      error,
    );
  }
  onlyKeys(table, [...sections, "nodes", "groups", "dev"], file.path);
  for (const section of sections) {
    if (table[section] === undefined) continue;
    const keys = settings.filter((setting) => setting.key.startsWith(`${section}.`)).map((setting) => setting.key.split(".")[1]!);
    onlyKeys(asTable(table[section], `${file.path}, [${section}]`), keys, `${file.path}, [${section}]`);
  }
  return table;
}

function readDev(value: unknown): ReadonlyMap<string, number> {
  if (value === undefined) return new Map();
  const dev = asTable(value, "[dev]");
  onlyKeys(dev, ["delays"], "[dev]");
  return dev.delays === undefined ? new Map() : readDelays(dev.delays);
}

function ownName(given: string | null, nodes: readonly NodeInput[], hostName: string): string {
  const names = nodes.map((node) => node.name);
  // A host name may hold what a node name may not; a node alone can be called anything.
  const name = given ?? (names.length > 0 ? hostName : hostName.replace(/[^A-Za-z0-9_.-]/g, "").slice(0, 63) || "node");
  if (names.length === 0 || names.includes(name)) return name;
  refuse(
    `node.name "${name}"${given === null ? " (the host name)" : ""}: it is not among the nodes ${names.join(", ")}${
      didYouMean(name, names)
    }`,
  );
}

/** Where to listen for peers: as said, else the port that the others were told, on every interface they could mean. */
function linkAddress(values: Values, self: NodeInput): Address {
  const said = values.optional("listen.link");
  if (said !== null) return asAddress(said, values.place("listen.link"));
  if (self.link === undefined) refuse(`node "${self.name}": it has peers but no link address; add link = "host:4101" to it`);
  const { host, port } = asAddress(self.link, `node "${self.name}", link`);
  const literal = isLoopback(host) || /^[\d.]+$/.test(host) || host.includes(":");
  return { host: literal ? host : "0.0.0.0", port };
}

/** Single-valued settings, each looked up as flag, variable, file entry, default. */
class Values {
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

  /** `file:PATH` and `env:NAME` are followed; anything else is the secret itself. */
  secret(key: string): string | null {
    const text = this.optional(key);
    if (text === null) return null;
    const secret = this.#follow(text, key);
    if (secret === "") refuse(`${this.place(key)}: the secret is empty`);
    return secret;
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
  if (setting.kind !== "secret") return String(value);
  const text = String(value);
  return text.startsWith("file:") || text.startsWith("env:") ? text : "***";
}

/** Variables that look like ours. Only a warning: Kubernetes sets CARILLON_PORT for any service of that name. */
function strangers(environment: ConfigSources["environment"]): string[] {
  const known = [...settings.map((setting) => variableOf(setting.key)), ...clientVariables];
  return Object.keys(environment)
    .filter((name) => name.startsWith("CARILLON_") && !known.includes(name))
    .map((name) => {
      // Compared without what they all begin with, or any two short names would look alike.
      const candidate = suggest(name.slice(9), known.map((other) => other.slice(9)));
      return `the variable ${name} means nothing here${candidate === null ? "" : `; did you mean "CARILLON_${candidate}"?`}`;
    });
}
