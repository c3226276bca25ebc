/** The experiments run through: each at its smallest, and its table has what it says. */
import { expect, test } from "bun:test";

/** Runs an experiment at its smallest. Figures of so short a run mean nothing; that it runs through and nothing fails does. */
async function run(file: string, ...flags: string[]): Promise<string[][]> {
  const bench = Bun.spawn([process.execPath, `bench/${file}`, ...flags], {
    cwd: `${import.meta.dir}/../..`,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [code, stdout, stderr] = await Promise.all([bench.exited, new Response(bench.stdout).text(), new Response(bench.stderr).text()]);
  expect(code, stderr).toBe(0);
  return stdout.split("\n").map((line) => line.split(/ {2,}/).map((cell) => cell.trim()));
}

test("the comparison of clusters prints a row for every way and operation, and nothing fails", async () => {
  const rows = await run(
    "cluster.ts",
    "--quick",
    "--no-etcd",
    "--no-yardsticks",
    "--clients",
    "3",
    "--seconds",
    "0.3",
    "--storage",
    "memory",
  );
  const measured = rows.filter(([storage]) => storage === "memory");
  expect(measured.map((row) => [row[1], row[4], row.at(-1)])).toEqual([
    ["put", "carillon h1", "0"],
    ["put", "carillon h2", "0"],
    ["get", "carillon h1", "0"],
    ["get", "carillon h2", "0"],
    ["append", "carillon h1", "0"],
    ["append", "carillon h2", "0"],
  ]);
  for (const row of measured) expect(Number(row[5]!.replaceAll(" ", ""))).toBeGreaterThan(10);
}, 60_000);

test("raw ordering is measured in both shapes", async () => {
  const rows = await run("order.ts", "--quick", "--seconds", "0.3");
  const measured = rows.filter(([storage]) => storage === "memory");
  expect(measured.map((row) => row[1])).toEqual(["star", "ring"]);
  for (const row of measured) expect(Number(row[3]!.replaceAll(" ", ""))).toBeGreaterThan(1_000);
}, 60_000);
