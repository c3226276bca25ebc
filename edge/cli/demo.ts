/** carillon demo: a cluster on this machine that feels like one around the world. Its nodes are real processes. */
import { freePorts, isTerminal, onKey, onSignals, portIsFree, removeTree, sinceStartMs, temporaryDirectory } from "../runtime/system.ts";
import { type Call, exits } from "./command.ts";
import { Fleet } from "./demo/fleet.ts";
import { type DemoLayout, layOut, portsFrom } from "./demo/layout.ts";
import type { Output } from "./output.ts";
import { measure, type RegionTimes, urlOf } from "./demo/measure.ts";

const readyWithinMs = 30_000;

export async function demo(call: Call): Promise<number> {
  const { output } = call;
  const regions = regionsOf(call);
  const nodesPerRegion = call.number("nodes-per-region", { min: 1, max: 3 }) ?? 1;
  const durability = call.choice("durability", ["sync", "async", "memory"]) ?? "sync";
  const ports = await choosePorts(call, regions.length, nodesPerRegion);
  const layout = layOut({ regions, nodesPerRegion, ports, roundTrips: roundTripsOf(call, regions) });
  const directory = await temporaryDirectory("carillon-demo-");
  const stop = new Stop();
  let fleet: Fleet | null = null;
  let keep = true;
  try {
    fleet = await Fleet.start(layout, { directory, durability });
    await stop.or(fleet.ready(readyWithinMs));
    const readyMs = Math.round(sinceStartMs());
    if (!stop.asked && output.format === "text") await output.line(headline(call, layout, readyMs));
    if (!stop.asked) await report(call, layout, { directory, readyMs, times: await measure(layout) });
    if (!stop.asked && !call.on("exit-after-ready")) await hold(call, layout, fleet, stop);
    keep = false;
    return stop.code;
  } finally {
    stop.forget();
    await fleet?.stop();
    // Logs are all that is left to explain a demonstration that failed.
    if (keep) await output.note(`configurations, data and logs are left in ${directory}`);
    else await removeTree(directory);
  }
}

/** Signals and the key q, whichever comes first. */
class Stop {
  readonly #told: Promise<void>;
  #tell: () => void = () => {};
  readonly forget: () => void;
  asked = false;
  code: number = exits.fine;

  constructor() {
    this.#told = new Promise((resolve) => this.#tell = resolve);
    this.forget = onSignals((signal) => this.ask(signal === "SIGINT" ? exits.interrupted : exits.fine));
  }

  ask(code: number): void {
    if (!this.asked) this.code = code;
    this.asked = true;
    this.#tell();
  }

  /** Resolves when asked to stop, if `work` is not done before. */
  async or(work: Promise<unknown>): Promise<void> {
    await Promise.race([work, this.#told]);
  }
}

function headline({ output }: Call, layout: DemoLayout, readyMs: number): string {
  const distances = [...layout.delays].map(([pair, oneWayMs]) => `${pair.replace("-", "–")} ${oneWayMs * 2} ms`).join(", ");
  const what = `${many(layout.nodes.length, "node")} in ${many(layout.regions.length, "region")}`;
  const apart = distances === "" ? "" : `\nround trips between them: ${distances}   (change: --delay fra-iad=20)`;
  return `${output.paint("bold", what)} on this machine, ready in ${(readyMs / 1_000).toFixed(1)} s${apart}`;
}

async function report(
  { output }: Call,
  layout: DemoLayout,
  facts: { readonly directory: string; readonly readyMs: number; readonly times: readonly RegionTimes[] },
): Promise<void> {
  if (output.format !== "text") {
    await output.json({ nodes: layout.nodes, groups: layout.groups, delays: Object.fromEntries(layout.delays), ...facts });
    return;
  }
  await output.line();
  await table(output, facts.times);
  await output.line();
  for (const line of pasteable(layout)) await output.line(line === "" ? "" : `  ${line}`);
  await output.line();
  await output.line(`logs and data: ${facts.directory}`);
}

function many(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

async function table(output: Output, times: readonly RegionTimes[]): Promise<void> {
  const ms = (value: number | null): string => value === null ? "-" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  const rows = times.map((
    one,
  ) => [
    one.region,
    one.url,
    ms(one.ownPutMs),
    ms(one.ownGetMs),
    one.farRegion === null ? "-" : `${ms(one.farPutMs)} (${one.farRegion})`,
    ms(one.worldMs),
  ]);
  const headings = ["region", "URL", "own write", "own read", "write elsewhere", "message to all"];
  const widths = headings.map((heading, column) => Math.max(heading.length, ...rows.map((row) => row[column]!.length)));
  const render = (row: readonly string[]): string => `  ${row.map((cell, column) => cell.padEnd(widths[column]! + 2)).join("").trimEnd()}`;
  await output.line(output.paint("dim", render(headings)));
  for (const row of rows) await output.line(render(row));
}

/** Each line can be pasted as it is, in this order. */
export function pasteable(layout: DemoLayout): string[] {
  const [home] = layout.regions as [string];
  const away = layout.regions.at(-1)!;
  const host = (region: string): string => urlOf(layout, region).replace("http://", "");
  const lines = [
    `curl -i -X PUT ${host(home)}/v1/kv/${home}/ada -d hello`,
    `curl -i ${host(away)}/v1/kv/${home}/ada`,
    `curl -i -X PUT ${host(away)}/v1/kv/${home}/ada -d bye -H 'If-None-Match: *'   # refused: it exists`,
    `curl '${host(away)}/v1/kv?prefix=${home}/'`,
    "",
    `curl -X PUT ${host(home)}/v1/logs/audit`,
    `curl -X POST ${host(away)}/v1/logs/audit/records -d 'from ${away}'`,
    `curl -N '${host(home)}/v1/logs/audit/records?from=0' -H 'Accept: text/event-stream'`,
  ];
  if (layout.regions.length < 2) return lines;
  return [
    ...lines,
    "",
    `curl -N '${host(home)}/v1/deliveries?groups=${layout.regions.join(",")}'   # the same order here …`,
    `curl -N '${host(away)}/v1/deliveries?groups=${layout.regions.join(",")}'   # … and here`,
    `curl -X POST '${host(away)}/v1/multicast?groups=${home},${away}' -d 'to both'`,
  ];
}

/** Until a signal, the key q, or the end of `--seconds`. */
async function hold(call: Call, layout: DemoLayout, fleet: Fleet, stop: Stop): Promise<void> {
  const { output } = call;
  const seconds = call.number("seconds", { min: 1 });
  const timer = seconds === undefined ? undefined : setTimeout(() => stop.ask(exits.fine), seconds * 1_000);
  const interactive = isTerminal("stdin") && isTerminal("stdout");
  let forgetKeys = (): void => {};
  if (interactive) {
    await output.line();
    await output.line("keys: k = kill a node   p = cut off a region   r = repair   m = measure again   q = quit");
    let busy = Promise.resolve();
    forgetKeys = onKey((key) => {
      if (key === "q") stop.ask(exits.fine);
      // In raw mode Ctrl-C is a key like any other.
      else if (key === "\x03") stop.ask(exits.interrupted);
      else busy = busy.then(() => pressed(call, layout, fleet, key)).catch((error) => output.note(String(error.message ?? error)));
    });
  } else if (output.format === "text") await output.line("stop with Ctrl-C");
  await stop.or(new Promise(() => {}));
  clearTimeout(timer);
  forgetKeys();
}

async function pressed({ output }: Call, layout: DemoLayout, fleet: Fleet, key: string): Promise<void> {
  const running = fleet.states().filter(({ state }) => state === "running");
  const last = running.at(-1);
  if (key === "k" && last !== undefined) {
    await fleet.kill(last.name);
    await output.line(output.paint("red", `killed ${last.name}`) + ` (kill -9 ${last.pid}); the rest goes on — r repairs`);
  } else if (key === "p" && last !== undefined) {
    fleet.cutOff(last.region);
    await output.line(output.paint("red", `cut off ${last.region}`) + `; keys ${last.region}/… wait for it — r repairs`);
  } else if (key === "r") {
    const started = performance.now();
    fleet.repair();
    await fleet.ready(readyWithinMs);
    await output.line(output.paint("green", `all nodes ready again after ${Math.round(performance.now() - started)} ms`));
  } else if (key === "m" && running.length < layout.nodes.length) {
    await output.line("nothing to measure while nodes are missing — r repairs");
  } else if (key === "m") {
    await table(output, await measure(layout));
  }
}

function regionsOf(call: Call): string[] {
  const regions = (call.text("regions") ?? "fra,iad,sin").split(",").map((region) => region.trim());
  const wrong = regions.find((region) => !/^[a-z][a-z0-9]{0,15}$/.test(region));
  if (wrong !== undefined) call.fail(`--regions must be short names of small letters separated by commas; "${wrong}" is none`);
  if (new Set(regions).size < regions.length) call.fail("--regions names a region twice");
  if (regions.includes("world")) call.fail('a region cannot be called "world": that is the group that spans them');
  if (regions.length > 9) call.fail("--regions can be 9 at most");
  return regions;
}

function roundTripsOf(call: Call, regions: readonly string[]): ReadonlyMap<string, number> {
  const roundTrips = new Map<string, number>();
  for (const text of call.all("delay")) {
    const match = /^(?:([a-z0-9]+)-([a-z0-9]+)|all)=(\d+(?:\.\d+)?)$/.exec(text);
    if (match === null || Number(match[3]) > 5_000) {
      call.fail(`--delay must look like fra-iad=88 (round trip in ms) or all=0, not "${text}"`);
    }
    const pair = text.slice(0, text.indexOf("="));
    const stranger = [match[1], match[2]].find((region) => region !== undefined && !regions.includes(region));
    if (stranger !== undefined) call.fail(`--delay names "${stranger}", which is not among the regions ${regions.join(", ")}`);
    roundTrips.set(pair, Number(match[3]));
  }
  return roundTrips;
}

async function choosePorts(call: Call, regions: number, nodesPerRegion: number): Promise<number[]> {
  const first = call.number("port", { max: 65_000 }) ?? 4_100;
  if (first === 0) return await freePorts(regions * nodesPerRegion * 2);
  const ports = portsFrom(first, regions, nodesPerRegion);
  for (const port of ports) {
    if (!(await portIsFree(port))) call.fail(`port ${port} is taken; try --port ${first + 100}, or --port 0 for free ones`);
  }
  return ports;
}
