/** The lists of a configuration: nodes, groups and, for experiments, simulated distances. */
import type { TopologyInput } from "../../core/topology.ts";
import { asAddress, asChoice, asNumber, asTable, asText, asTexts, onlyKeys, refuse, type Table } from "./read.ts";

export type NodeInput = TopologyInput["nodes"][number];
export type GroupInput = NonNullable<TopologyInput["groups"]>[number];

const nodeKeys = ["name", "id", "region", "link", "http", "key", "keys", "join"];
const groupKeys = ["name", "id", "acceptors", "learners", "proposers", "ring", "q1", "q2", "shape", "leadMs", "spans", "keys"];

/** `[[nodes]]` with names inside, or `[nodes.NAME]`. */
export function readNodes(value: unknown): NodeInput[] {
  const nodes = named(value, "nodes").map(({ name, table, place }): NodeInput => {
    onlyKeys(table, nodeKeys, place);
    return {
      name,
      ...optional(table, "id", asNumber, place),
      ...optional(table, "region", asText, place),
      ...optional(table, "link", linkAddress, place),
      ...optional(table, "http", httpUrl, place),
    };
  });
  for (const key of ["link", "http"] as const) noneTwice(nodes, key);
  return nodes;
}

/** A line copied and not changed: the node would wait for a peer that is somebody else. */
function noneTwice(nodes: readonly NodeInput[], key: "link" | "http"): void {
  const owners = new Map<string, string>();
  for (const { name, [key]: address } of nodes) {
    if (address === undefined) continue;
    const owner = owners.get(address);
    if (owner !== undefined && owner !== name) refuse(`[[nodes]]: "${owner}" and "${name}" have the same ${key}, ${address}`);
    owners.set(address, name);
  }
}

/** `[groups.NAME]`, or `[[groups]]` with names inside. */
export function readGroups(value: unknown): GroupInput[] {
  return named(value, "groups").map(({ name, table, place }): GroupInput => {
    onlyKeys(table, groupKeys, place);
    return {
      name,
      ...optional(table, "id", asNumber, place),
      ...optional(table, "acceptors", asTexts, place),
      ...optional(table, "learners", asTexts, place),
      ...optional(table, "proposers", asTexts, place),
      ...optional(table, "ring", asTexts, place),
      ...optional(table, "q1", asNumber, place),
      ...optional(table, "q2", asNumber, place),
      ...optional(table, "shape", (shape, at) => asChoice(shape, ["star", "ring"], at) as "star" | "ring", place),
      ...optional(table, "leadMs", asNumber, place),
      ...optional(table, "spans", asTexts, place),
      ...optional(table, "keys", keyRanges, place),
    };
  });
}

/** `{ "fra-iad" = 44 }`: one-way milliseconds by pair of regions, in either order; `x-x` is within a region. */
export function readDelays(value: unknown): ReadonlyMap<string, number> {
  const delays = new Map<string, number>();
  for (const [pair, ms] of Object.entries(asTable(value, "[dev] delays"))) {
    const place = `[dev] delays "${pair}"`;
    const delayMs = asNumber(ms, place);
    if (delayMs < 0 || delayMs > 10_000) refuse(`${place}: it must be from 0 to 10000 milliseconds, not ${delayMs}`);
    delays.set(pair, delayMs);
  }
  return delays;
}

/** The one-way delay between two regions; 0 when none is said. */
export function delayBetween(delays: ReadonlyMap<string, number>, a: string, b: string): number {
  return delays.get(`${a}-${b}`) ?? delays.get(`${b}-${a}`) ?? 0;
}

/** Every pair must be of regions that exist: a typing slip would otherwise simulate nothing. */
export function checkDelays(delays: ReadonlyMap<string, number>, regions: readonly string[]): void {
  for (const pair of delays.keys()) {
    const known = regions.some((a) => regions.some((b) => pair === `${a}-${b}`));
    if (!known) refuse(`[dev] delays "${pair}": it must be two regions joined by "-"; there are ${regions.join(", ")}`);
  }
}

/** The tables of a list with their names, and what to call them in a complaint. */
export function named(value: unknown, section: string): { name: string; table: Table; place: string }[] {
  if (Array.isArray(value)) {
    return value.map((item, index) => {
      const table = asTable(item, `[[${section}]] ${index + 1}`);
      const name = asText(table.name, `[[${section}]] ${index + 1}, name`);
      return { name, table, place: `[[${section}]] "${name}"` };
    });
  }
  return Object.entries(asTable(value, `[${section}]`)).map(([name, item]) => {
    const table = asTable(item, `[${section}.${name}]`);
    if (table.name !== undefined && table.name !== name) refuse(`[${section}.${name}]: its name inside is ${JSON.stringify(table.name)}`);
    return { name, table, place: `[${section}.${name}]` };
  });
}

function keyRanges(value: unknown, place: string): { from?: string; to?: string | null }[] {
  return (Array.isArray(value) ? value : [value]).map((item) => {
    const range = asTable(item, place);
    onlyKeys(range, ["from", "to"], place);
    for (const end of ["from", "to"]) {
      if (range[end] !== undefined && typeof range[end] !== "string") refuse(`${place}: "${end}" must be a text`);
    }
    return {
      ...(range.from === undefined ? {} : { from: range.from as string }),
      ...(range.to === undefined || range.to === "" ? {} : { to: range.to as string }),
    };
  });
}

function linkAddress(value: unknown, place: string): string {
  asAddress(value, place);
  return asText(value, place);
}

function httpUrl(value: unknown, place: string): string {
  const text = asText(value, place);
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    refuse(`${place}: it must be a URL such as "http://fra-1:4100", not "${text}"`);
  }
  return text.replace(/\/+$/, "");
}

/** Nothing at all when the key is absent: a default belongs to whoever parses the topology. */
function optional<K extends string, T>(
  table: Table,
  key: K,
  read: (value: unknown, place: string) => T,
  place: string,
): { [P in K]?: T } {
  if (table[key] === undefined) return {};
  return { [key]: read(table[key], `${place}, ${key}`) } as { [P in K]?: T };
}
