/**
 * The demonstration's cluster on paper: which nodes, which ports, which groups, how far apart. A group per region is homed
 * there and owns the keys `region/…`; the group `world` spans them all and carries what concerns several.
 */
import { defaultLimits } from "../../../core/limits.ts";
import { roundTripMs } from "./distances.ts";

export interface DemoNode {
  readonly name: string;
  readonly region: string;
  readonly httpPort: number;
  readonly linkPort: number;
}

export interface DemoGroup {
  readonly name: string;
  readonly acceptors: readonly string[];
  readonly keys: readonly { readonly from: string; readonly to: string | null }[];
  readonly spans: readonly string[];
  readonly leadMs: number;
}

export interface DemoLayout {
  readonly regions: readonly string[];
  readonly nodes: readonly DemoNode[];
  readonly groups: readonly DemoGroup[];
  /** One-way milliseconds by pair of regions. */
  readonly delays: ReadonlyMap<string, number>;
}

export interface DemoOptions {
  readonly regions: readonly string[];
  readonly nodesPerRegion: number;
  /** HTTP ports first, then as many link ports. */
  readonly ports: readonly number[];
  /** Round trips that replace the built-in ones, by `a-b`. */
  readonly roundTrips: ReadonlyMap<string, number>;
}

/** Nodes of a region have neighbouring ports, regions are ten apart: 4100, 4101, …, 4110; links five above. */
export function portsFrom(first: number, regions: number, nodesPerRegion: number): number[] {
  const each = (offset: number): number[] =>
    Array.from(
      { length: regions * nodesPerRegion },
      (_, index) => first + Math.floor(index / nodesPerRegion) * 10 + index % nodesPerRegion + offset,
    );
  return [...each(0), ...each(5)];
}

export function layOut({ regions, nodesPerRegion, ports, roundTrips }: DemoOptions): DemoLayout {
  const oneWay = (a: string, b: string): number =>
    (roundTrips.get(`${a}-${b}`) ?? roundTrips.get(`${b}-${a}`) ?? roundTrips.get("all") ?? roundTripMs(a, b)) / 2;
  const nodes = regions.flatMap((region, regionIndex) =>
    Array.from({ length: nodesPerRegion }, (_, index): DemoNode => {
      const place = regionIndex * nodesPerRegion + index;
      return {
        name: `${region}-${index + 1}`,
        region,
        httpPort: ports[place]!,
        linkPort: ports[regions.length * nodesPerRegion + place]!,
      };
    })
  );
  const delays = new Map<string, number>();
  for (const [index, a] of regions.entries()) {
    for (const b of regions.slice(index + 1)) {
      if (oneWay(a, b) > 0) delays.set(`${a}-${b}`, oneWay(a, b));
    }
  }
  const homes = regions.map((region): DemoGroup => ({
    name: region,
    acceptors: nodes.filter((node) => node.region === region).map((node) => node.name),
    keys: keysOf(region, regions),
    spans: [],
    leadMs: 0,
  }));
  const groups = regions.length > 1 ? [...homes, world(regions, oneWay)] : homes;
  return { regions, nodes, groups, delays };
}

/** `region/…`; the first region also owns whatever belongs to none. */
function keysOf(region: string, regions: readonly string[]): { readonly from: string; readonly to: string | null }[] {
  if (region !== regions[0]) return [{ from: `${region}/`, to: `${region}0` }];
  const others = regions.slice(1).toSorted();
  const from = ["", ...others.map((other) => `${other}0`)];
  return from.map((start, index) => ({ from: start, to: index < others.length ? `${others[index]}/` : null }));
}

/**
 * One acceptor a region, the best placed first. Its clock runs ahead by as much as its news takes to arrive while heartbeats
 * are quick: busy regions then never wait for it, and what goes through it takes that much longer instead.
 */
function world(regions: readonly string[], oneWay: (a: string, b: string) => number): DemoGroup {
  const quorum = Math.floor(regions.length / 2) + 1;
  const toQuorum = (region: string): number => regions.map((other) => oneWay(region, other)).toSorted((a, b) => a - b)[quorum - 1]!;
  const order = regions.toSorted((a, b) => toQuorum(a) - toQuorum(b));
  const newsMs = Math.max(...regions.map((region) => Math.max(oneWay(order[0]!, region), toQuorum(region))));
  return {
    name: "world",
    acceptors: order.map((region) => `${region}-1`),
    keys: [],
    spans: [...regions],
    leadMs: newsMs === 0 ? 0 : Math.min(1_000, Math.ceil(newsMs + 2 * defaultLimits.heartbeatMs + 5)),
  };
}

/** The configuration of one node, as a file somebody could have written. */
export function configText(
  layout: DemoLayout,
  node: DemoNode,
  options: { readonly data: string; readonly durability: string; readonly keys: ReadonlyMap<string, string> },
): string {
  const text = JSON.stringify;
  const lines = [
    "# Written by `carillon demo`.",
    "[node]",
    `name = ${text(node.name)}`,
    `region = ${text(node.region)}`,
    `data = ${text(options.data)}`,
    "[listen]",
    `http = "127.0.0.1:${node.httpPort}"`,
    `link = "127.0.0.1:${node.linkPort}"`,
    "[cluster]",
    'name = "demo"',
    "[durability]",
    `ack = ${text(options.durability)}`,
  ];
  for (const { name, region, httpPort, linkPort } of layout.nodes) {
    lines.push(
      "[[nodes]]",
      `name = ${text(name)}`,
      `region = ${text(region)}`,
      `key = ${text(options.keys.get(name))}`,
      `link = "127.0.0.1:${linkPort}"`,
      `http = "http://127.0.0.1:${httpPort}"`,
    );
  }
  for (const { name, acceptors, keys, spans, leadMs } of layout.groups) {
    lines.push(`[groups.${name}]`, `acceptors = ${text(acceptors)}`);
    if (spans.length > 0) lines.push(`spans = ${text(spans)}`);
    if (leadMs > 0) lines.push(`leadMs = ${leadMs}`);
    const ranges = keys.map(({ from, to }) => `{ from = ${text(from)}${to === null ? "" : `, to = ${text(to)}`} }`);
    if (ranges.length > 0) lines.push(`keys = [${ranges.join(", ")}]`);
  }
  if (layout.delays.size > 0) {
    lines.push("[dev]", `delays = { ${[...layout.delays].map(([pair, ms]) => `${text(pair)} = ${ms}`).join(", ")} }`);
  }
  return `${lines.join("\n")}\n`;
}
