/** The protocol's stories, one file each in tests/data. `UPDATE_TRANSCRIPTS=1 bun test …` writes down what happens now. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { retell } from "../harness/transcript.ts";

const folder = new URL("../data/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".txt")).sort();

test("there are stories", () => {
  expect(files.length).toBeGreaterThan(5);
});

for (const name of files) {
  const file = new URL(name, folder);
  const written = readFileSync(file, "utf8");
  // The first line is the story's name: the fact it establishes.
  test(written.split("\n")[0]!.replace(/^# /, ""), () => {
    const told = retell(written);
    if (process.env["UPDATE_TRANSCRIPTS"] === "1") writeFileSync(file, told);
    else expect(told).toBe(written);
  });
}
