/** How far apart regions are, for demonstrations: round trips in milliseconds, roughly as measured between clouds. */

const places = ["fra", "dub", "iad", "sfo", "pdx", "gru", "nrt", "sin"] as const;

/** Row by row, each place to those behind it. */
const roundTrips: readonly (readonly number[])[] = [
  [24, 88, 150, 158, 205, 230, 158],
  [71, 141, 127, 184, 204, 187],
  [60, 73, 113, 152, 221],
  [21, 190, 112, 181],
  [180, 101, 163],
  [268, 338],
  [77],
];

/** Between regions nobody has measured. */
export const usualRoundTripMs = 60;

/** 0 within a region. */
export function roundTripMs(a: string, b: string): number {
  if (a === b) return 0;
  const [first, second] = [places.indexOf(a as "fra"), places.indexOf(b as "fra")].sort((x, y) => x - y) as [number, number];
  return first < 0 ? usualRoundTripMs : roundTrips[first]![second - first - 1]!;
}
