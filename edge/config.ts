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
import { checkJoins, type NodeKeys, readKeys, withoutKeys } from "./config/keys.ts";
import { type Address, asAddress, asTable, formatAddress, isLoopback, onlyKeys, refuse, type Table } from "./config/read.ts";
import { settings } from "./config/settings.ts";
import { checkDelays, type NodeInput, readDelays, readGroups, readNodes } from "./config/tables.ts";
import { type ConfigSources, type Origin, strangers, Values } from "./config/values.ts";
import { didYouMean } from "./suggest.ts";

export type { ConfigSources, Origin } from "./config/values.ts";

/** How links are made; the same for all peers. */
export interface LinkSettings {
  readonly driver: "auto" | "udp" | "h2";
  /** At most so many bytes in a datagram; null: what the path turns out to carry. */
  readonly mtuBytesMax: number | null;
  /** Directory for traces; null: none are written. */
  readonly trace: string | null;
}

export interface Config {
  /** This node's name in `topology.nodes`. */
  readonly self: string;
  readonly data: string;
  readonly http: Address;
  /** Null: a node alone, without peers. */
  readonly link: Address | null;
  /** What users must send; none: nothing is asked for. */
  readonly tokens: readonly string[];
  /** The files some of them were read from. */
  readonly tokenFiles: readonly string[];
  /** File with this node's private keys. */
  readonly keyFile: string;
  /** File with its join token; of use while a token is what lists it. */
  readonly joinFile: string;
  /** Public keys of the nodes that have any, by name. */
  readonly keys: NodeKeys;
  readonly links: LinkSettings;
  readonly durability: Durability;
  readonly topology: TopologyInput;
  /** Simulated one-way milliseconds by pair of regions; empty outside experiments. */
  readonly delays: ReadonlyMap<string, number>;
  /** Every single-valued setting and where it came from; secrets are masked. */
  readonly origins: readonly Origin[];
  /** Not wrong, but worth a line. */
  readonly warnings: readonly string[];
}

/** Throws CarillonError `config` with a sentence that names the place and, for a slip, what was meant. */
export function loadConfig(sources: ConfigSources): Config {
  const file = readFile(sources.file);
  const values = new Values(sources, file);
  const nodes = file.nodes === undefined ? [] : readNodes(file.nodes);
  const keys: NodeKeys = file.nodes === undefined ? new Map() : readKeys(file.nodes);
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
  return {
    self,
    data: values.text("node.data"),
    http: values.address("listen.http"),
    link,
    tokens: values.secrets("listen.token"),
    tokenFiles: values.secretFiles("listen.token"),
    keyFile: keyFileOf(values),
    joinFile: inData(values, "node.join", "join.token"),
    keys,
    links: {
      driver: values.text("link.driver") as LinkSettings["driver"],
      mtuBytesMax: mtuOf(values),
      trace: values.optional("link.trace"),
    },
    durability: values.text("durability.ack") as Durability,
    topology,
    delays,
    origins: values.origins(),
    warnings: strangers(sources.environment),
  };
}

/**
 * The safety rails: throws `config` for what nobody should do by accident. `insecure`: the operator has said so of HTTP; between
 * nodes there is no way around keys.
 */
export function checkSafety(config: Config, insecure: boolean): void {
  const keyless = withoutKeys(config);
  if (keyless.length > 0) {
    const [what, line] = keyless.length === 1 ? ["it has", "its line"] : ["they have", "their lines"];
    refuse(
      `[[nodes]] ${keyless.map((name) => `"${name}"`).join(", ")}: ${what} no key, and nodes that link know each other by their keys; ` +
        `run "carillon init" on each and paste ${line} key = "ck1_…"`,
    );
  }
  checkJoins(config.keys, config.links.driver);
  if (!insecure && !isLoopback(config.http.host) && config.tokens.length === 0) {
    refuse(
      `listen.http ${formatAddress(config.http)}: anybody who reaches it could read and write everything; ` +
        `set listen.token, listen on 127.0.0.1, or say --insecure`,
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
      `${file.path}, line ${error.line}, column ${error.column}: ${error.message.split("\n")[0]}\n${withoutTokens(error.codeblock)}`,
      error,
    );
  }
  onlyKeys(table, [...sections, "nodes", "groups", "dev"], file.path);
  for (const section of sections) {
    if (table[section] === undefined) continue;
    const written = asTable(table[section], `${file.path}, [${section}]`);
    if (section === "cluster" && written.secret !== undefined) {
      refuse(
        `${file.path}, [cluster]: "secret" is no more; nodes have keys instead. Run "carillon init" on each, ` +
          `paste the keys it prints into [[nodes]], and take the secret out`,
      );
    }
    const keys = settings.filter((setting) => setting.key.startsWith(`${section}.`)).map((setting) => setting.key.split(".")[1]!);
    onlyKeys(written, keys, `${file.path}, [${section}]`);
  }
  return table;
}

/** What is shown of a file around a slip may be next to its secrets. */
function withoutTokens(lines: string): string {
  return lines.trimEnd().replace(/(\btoken\b\s*=).*/g, "$1 ***");
}

/** What a node is by itself, before any file lists it: for who makes its key. */
export interface OwnSettings {
  readonly name: string;
  readonly data: string;
  readonly keyFile: string;
  /** Its line in the list of nodes: as the file has it, else as the other settings suggest. */
  readonly node: NodeInput;
  /** Its public keys as the file lists them. */
  readonly listed: readonly string[];
}

/** As `loadConfig`, of a node that the file need not know yet. */
export function loadOwn(sources: ConfigSources): OwnSettings {
  const file = readFile(sources.file);
  const values = new Values(sources, file);
  const nodes = file.nodes === undefined ? [] : readNodes(file.nodes);
  const name = values.optional("node.name") ?? ownName(null, [], sources.hostName);
  const region = values.text("node.region");
  return {
    name,
    data: values.text("node.data"),
    keyFile: keyFileOf(values),
    node: nodes.find((node) => node.name === name) ?? {
      name,
      ...(region === "local" ? {} : { region }),
      link: values.optional("listen.link") ?? `${name}:4101`,
      // The default is loopback, which is another machine to each of the others.
      ...(values.isGiven("listen.http") ? { http: `http://${formatAddress(asSeen(values.address("listen.http"), name))}` } : {}),
    },
    listed: file.nodes === undefined ? [] : readKeys(file.nodes).get(name) ?? [],
  };
}

/** Who listens on all interfaces is found under its name. */
function asSeen({ host, port }: Address, name: string): Address {
  return { host: host === "0.0.0.0" || host === "::" ? name : host, port };
}

function keyFileOf(values: Values): string {
  return inData(values, "node.key", "node.key");
}

/** A file that is in the data directory unless its setting says where else. */
function inData(values: Values, setting: string, file: string): string {
  return values.optional(setting) ?? `${values.text("node.data").replace(/\/+$/, "")}/${file}`;
}

const mtuBytesMin = 1_200;
const mtuBytesMost = 65_507;

function mtuOf(values: Values): number | null {
  if (values.optional("link.mtu") === null) return null;
  const bytes = values.number("link.mtu");
  if (Number.isInteger(bytes) && bytes >= mtuBytesMin && bytes <= mtuBytesMost) return bytes;
  refuse(`${values.place("link.mtu")}: it must be a whole number of bytes from ${mtuBytesMin} to ${mtuBytesMost}, not ${bytes}`);
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
