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

const rounds = 5;

export async function measure(layout: DemoLayout): Promise<RegionTimes[]> {
  // One after another: two processors shared by all nodes would otherwise be what is measured.
  const times: RegionTimes[] = [];
  for (const region of layout.regions) times.push(await measureRegion(layout, region));
  return times;
}

async function measureRegion(layout: DemoLayout, region: string): Promise<RegionTimes> {
  const url = urlOf(layout, region);
  await using carillon = connect(url);
  const far = layout.regions[(layout.regions.indexOf(region) + 1) % layout.regions.length]!;
  const several = layout.regions.length > 1;
  const ownPutMs = await medianMs(() => carillon.kv.put(`${region}/demo/${region}`, "measured"));
  const ownGetMs = await medianMs(() => carillon.kv.get(`${region}/demo/${region}`));
  const farPutMs = several ? await medianMs(() => carillon.kv.put(`${far}/demo/${region}`, "measured")) : null;
  const worldMs = several ? await medianMs(() => carillon.multicast(layout.regions, "measured")) : null;
  return { region, url, ownPutMs, ownGetMs, farPutMs, farRegion: several ? far : null, worldMs };
}

export function urlOf(layout: DemoLayout, region: string): string {
  return `http://localhost:${layout.nodes.find((node) => node.region === region)!.httpPort}`;
}

/** Of several calls one after another; the first, which opens connections, does not count. */
async function medianMs(call: () => Promise<unknown>): Promise<number> {
  await call();
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await call();
    times.push(performance.now() - started);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(rounds / 2)]!;
}
