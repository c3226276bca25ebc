/** docs/http.md, typed line by line into a shell, against a node on a real port; and its tables against the code. */
import { expect, test } from "bun:test";
import { problems } from "../../../edge/http/problems.ts";
import { examplesOf, Reader, runInShell } from "../../readme/console.ts";
import { startNodes } from "./nodes.ts";

const page = await Bun.file(new URL("../../../docs/http.md", import.meta.url)).text();

test.skipIf(Bun.which("curl") === null)("every line prints what the page shows", async () => {
  await using cluster = await startNodes({ nodes: [{ name: "n1" }] });
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: (request) => cluster.nodes[0]!.app.fetch(request) });
  const examples = examplesOf(page);
  expect(examples.length).toBeGreaterThan(30);
  // curl reports its progress when its output is no terminal, as it is not here.
  const silenced = examples.map((example) => ({ ...example, command: example.command.replaceAll(/\bcurl /g, "curl -s ") }));
  const printed = await runInShell(silenced, new Map([["localhost:4100", `127.0.0.1:${server.port}`]]), {});
  const reader = new Reader();
  const differences = examples.flatMap((example, index) => {
    if (example.shown.length === 0) return printed[index] === "" ? [] : [`line ${example.line} prints ${printed[index]}`];
    // On a busy machine any stream may be one that starts quiet, and says so.
    return reader.compare(example, printed[index]!.replace(/^(: still here\n)?\n/, "")) ?? [];
  });
  await server.stop(true);
  expect(differences).toEqual([]);
}, 30_000);

test("the table of errors is the table in the code", () => {
  const section = page.slice(page.indexOf("## Errors"));
  const rows = [...section.matchAll(/^\| ([0-9, ]+) \| (.*) \|$/gm)];
  const written = new Map<string, number[]>();
  for (const [, statuses, codes] of rows) {
    const list = statuses!.split(",").map(Number);
    if (list[0] === 405) continue;
    [...codes!.matchAll(/`([a-z-]+)`/g)].map(([, code]) => code!).filter((code) => Object.hasOwn(problems, code)).forEach((code) =>
      written.set(code, list)
    );
  }
  for (const [code, { status }] of Object.entries(problems)) expect([code, written.get(code)?.includes(status)]).toEqual([code, true]);
});

test("every route is in the table of routes", async () => {
  await using cluster = await startNodes({ nodes: [{ name: "n1" }] });
  const table = page.slice(page.indexOf("## Routes"), page.indexOf("## Keys"));
  for (const { path } of cluster.nodes[0]!.app.routes) {
    const written = path.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}").replace(/^\/v1\/kv\/$/, "/v1/kv");
    expect([written, table.includes(`\`${written}\``)]).toEqual([written, true]);
  }
});
