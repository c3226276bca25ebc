/** What users of each region would feel, measured through the HTTP API of its first node. */
import { connect } from "../../client.ts";
import type { DemoLayout } from "./layout.ts";

export interface RegionTimes {
  readonly region: string;
  readonly url: string;
  /** Medians in milliseconds: a write and a read of the region's own keys, a write to another region's, a message to all. */
  readonly ownPutMs: number;
  readonly ownGetMs: number;
  readonly farPutMs: number | null;
  readonly farRegion: string | null;
  readonly worldMs: number | null;
}

export async function measure(layout: DemoLayout): Promise<RegionTimes[]> {
  // What stays at home one region after another: the processors that all nodes share would otherwise be what is measured.
  const near: Near[] = [];
  for (const region of layout.regions) near.push(await measureNear(layout, region));
  // What travels spends its time travelling: all at once.
  return await Promise.all(near.map((one) => measureFar(layout, one)));
}

type Near = Pick<RegionTimes, "region" | "url" | "ownPutMs" | "ownGetMs">;

async function measureNear(layout: DemoLayout, region: string): Promise<Near> {
  const url = urlOf(layout, region);
  await using carillon = connect(url);
  const key = `${region}/demo/${region}`;
  const ownPutMs = await medianMs(9, () => carillon.kv.put(key, "measured"));
  const ownGetMs = await medianMs(9, () => carillon.kv.get(key));
  return { region, url, ownPutMs, ownGetMs };
}

async function measureFar(layout: DemoLayout, near: Near): Promise<RegionTimes> {
  if (layout.regions.length === 1) return { ...near, farPutMs: null, farRegion: null, worldMs: null };
  await using carillon = connect(near.url);
  const farRegion = layout.regions[(layout.regions.indexOf(near.region) + 1) % layout.regions.length]!;
  const farPutMs = await medianMs(3, () => carillon.kv.put(`${farRegion}/demo/${near.region}`, "measured"));
  const worldMs = await medianMs(3, () => carillon.multicast(layout.regions, "measured"));
  return { ...near, farPutMs, farRegion, worldMs };
}

export function urlOf(layout: DemoLayout, region: string): string {
  return `http://localhost:${layout.nodes.find((node) => node.region === region)!.httpPort}`;
}

/** Of several calls one after another; the first, which opens connections, does not count. */
async function medianMs(rounds: number, call: () => Promise<unknown>): Promise<number> {
  await call();
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await call();
    times.push(performance.now() - started);
  }
  return Math.round(times.toSorted((a, b) => a - b)[Math.floor(rounds / 2)]! * 100) / 100;
}
