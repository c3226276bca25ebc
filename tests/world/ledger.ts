/** The tree's memory of long runs: one line each, with the commit they were made at. */
import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";

const file = new URL("ledger.md", import.meta.url);

export interface LongRun {
  readonly seeds: number;
  readonly from: number;
  /** What the plans looked for; null for everything. */
  readonly aim: string | null;
  /** With quiet stretches. */
  readonly long: boolean;
  readonly failed: number;
  readonly totals: Readonly<Record<string, number>>;
}

/** Returns the line it has added. */
export function appendLedger({ seeds, from, aim, long, failed, totals }: LongRun): string {
  const commit = execFileSync("git", ["rev-parse", "--short=10", "HEAD"], { encoding: "utf8" }).trim();
  const hours = (totals["virtualMs"] ?? 0) / 3_600_000;
  const kinds = Object.entries(totals).filter(([name]) => name.startsWith("fault ")).map(([name, count]) => `${name.slice(6)} ${count}`);
  const cells = [
    new Date().toISOString().slice(0, 10),
    commit,
    `${seeds} from ${from}${long ? ", long" : ""}${aim === null ? "" : `, ${aim}`}`,
    hours.toFixed(2),
    totals["calls"] ?? 0,
    totals["faults"] ?? 0,
    failed,
    kinds.join(", "),
  ];
  const line = `| ${cells.join(" | ")} |`;
  appendFileSync(file, `${line}\n`);
  return line;
}
