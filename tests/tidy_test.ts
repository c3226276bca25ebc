/** Holds the house in order: who may know whom, what stays pure, and that every page leads where it says. */
import { describe, expect, test } from "bun:test";
import { rules, type Violation } from "./tidy/rules.ts";
import { blank, parseSource, readTree, type Tree } from "./tidy/sources.ts";

const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const sentences = (violations: readonly Violation[]): string[] =>
  violations.map(({ path, line, sentence }) => `${path}:${line}: ${sentence}`);

describe("tidy", () => {
  const tree = readTree(root);
  for (const [fact, rule] of Object.entries(rules)) test(fact, () => expect(sentences(rule(tree))).toEqual([]));

  test("npm and Deno know the same tasks", async () => {
    const read = (path: string): Promise<Record<string, Record<string, string>>> => Bun.file(`${root}/${path}`).json();
    const scripts = Object.keys((await read("package.json"))["scripts"]!).filter((name) => !name.includes(":"));
    expect(Object.keys((await read("deno.json"))["tasks"]!).sort()).toEqual(scripts.sort());
    expect(scripts).toEqual(expect.arrayContaining(["start", "demo", "test", "check", "build", "bench"]));
  });

  test("there is something to check in every layer", () => {
    const count = (folder: string): number => tree.sources.filter(({ path }) => path.startsWith(folder)).length;
    expect(["core/", "services/", "edge/", "tests/"].map((folder) => [folder, count(folder) >= 2])).toEqual([
      ["core/", true],
      ["services/", true],
      ["edge/", true],
      ["tests/", true],
    ]);
    expect(tree.sources.find(({ path }) => path === "core/effects.ts")?.imports.map(({ target }) => target)).toEqual([
      "core/entry.ts",
      "core/errors.ts",
      "core/foundation.ts",
      "core/ids.ts",
      "core/message.ts",
      "core/position.ts",
    ]);
  });
});

/** A tree of planted files; each begins with the comment every file needs. */
function plant(files: Readonly<Record<string, string>>): Tree {
  return {
    sources: Object.entries(files).filter(([path]) => path.endsWith(".ts")).map(([path, text]) => parseSource(path, text)),
    pages: Object.entries(files).filter(([path]) => path.endsWith(".md")).map(([path, text]) => ({ path, text })),
    paths: new Set([".", ...Object.keys(files)]),
  };
}

/** Every violation of every rule but the two about the whole product, which planted trees are not. */
function found(files: Readonly<Record<string, string>>): string[] {
  const tree = plant(files);
  return Object.entries(rules).filter(([fact]) => !fact.includes("product") && !fact.includes("error code")).flatMap(([, rule]) =>
    sentences(rule(tree))
  );
}

describe("tidy finds", () => {
  test("an import that goes up", () => {
    expect(found({ "core/a.ts": '/** A. */\nimport { b } from "../services/b.ts";\n' })).toEqual([
      'core/a.ts:2: Cannot import "../services/b.ts" in core/: it may only import core/',
    ]);
    expect(found({ "services/a.ts": '/** A. */\nexport * from "../edge/b.ts";\n' })).toEqual([
      'services/a.ts:2: Cannot import "../edge/b.ts" in services/: it may only import services/, core/',
    ]);
    expect(found({ "edge/a.ts": '/** A. */\nconst b = await import("../tests/b.ts");\n' })).toEqual([
      'edge/a.ts:2: Cannot import "../tests/b.ts" in edge/: it may only import edge/, services/, core/, #runtime',
    ]);
  });

  test("an import over several lines, or of a type", () => {
    expect(found({ "core/a.ts": '/** A. */\nimport type {\n  B,\n} from "../edge/b.ts";\ntype C = import("../edge/c.ts").C;\n' })).toEqual([
      'core/a.ts:4: Cannot import "../edge/b.ts" in core/: it may only import core/',
      'core/a.ts:5: Cannot import "../edge/c.ts" in core/: it may only import core/',
    ]);
  });

  test("a runtime named outside its folder", () => {
    expect(found({ "edge/a.ts": '/** A. */\nimport "node:fs";\nimport "./runtime/bun.ts";\nBun.gc();\nif (typeof Deno) Deno.exit();\n' }))
      .toEqual([
        'edge/a.ts:2: Cannot import "node:fs" here: only edge/runtime knows a runtime',
        'edge/a.ts:3: Cannot import a runtime by name: say "#runtime"',
        "edge/a.ts:4: Cannot say Bun here: only edge/runtime knows a runtime",
        "edge/a.ts:5: Cannot say Deno here: only edge/runtime knows a runtime",
        "edge/a.ts:5: Cannot say Deno here: only edge/runtime knows a runtime",
      ]);
  });

  test("a third party out of place, and one without a place", () => {
    expect(found({ "edge/a.ts": '/** A. */\nimport { Hono } from "hono/tiny";\nimport "left-pad";\nimport "bun:test";\n' })).toEqual([
      'edge/a.ts:2: Cannot import "hono/tiny" here: its one place is edge/http/',
      'edge/a.ts:3: Cannot import "left-pad": a third party without a place in tests/tidy/rules.ts',
      'edge/a.ts:4: Cannot import "bun:test" here: its one place is tests/',
    ]);
    expect(
      found({ "edge/http/a.ts": '/** A. */\nimport { Hono } from "hono";\n', "tests/a.ts": '// A.\nimport "bun:test";\nimport "hono";\n' }),
    ).toEqual([]);
  });

  test("the world outside in pure code", () => {
    const text =
      "/** A. */\nconst a = Date.now() + performance.now();\nMath.random();\nsetTimeout(() => console.log(process.pid));\nexport const b = fetch;\n";
    expect(found({ "services/a.ts": text })).toEqual([
      "services/a.ts:2: Cannot use Date in services: it is given what it needs",
      "services/a.ts:2: Cannot use performance in services: it is given what it needs",
      "services/a.ts:4: Cannot use setTimeout in services: it is given what it needs",
      "services/a.ts:4: Cannot use console in services: it is given what it needs",
      "services/a.ts:4: Cannot use process in services: it is given what it needs",
      "services/a.ts:5: Cannot use fetch in services: it is given what it needs",
      "services/a.ts:3: Cannot use Math.random in services: a run must be repeatable from its seed",
    ]);
    expect(found({ "edge/a.ts": text })).toEqual([]);
  });

  test("anything asynchronous in the core", () => {
    expect(found({ "core/a.ts": "/** A. */\nexport async function a(): Promise<void> {\n  await b;\n}\n" })).toEqual([
      "core/a.ts:2: Cannot use async in core: completions are inputs",
      "core/a.ts:2: Cannot use Promise in core: completions are inputs",
      "core/a.ts:3: Cannot use await in core: completions are inputs",
    ]);
    expect(found({ "services/a.ts": "/** A. */\nexport async function a(): Promise<void> {}\n" })).toEqual([]);
  });

  test("a file that is too long, begins without a word, or is unfinished", () => {
    expect(found({ "core/a.ts": `const a = 1;\n${"\n".repeat(400)}` })).toEqual([
      "core/a.ts:400: Cannot be 401 lines long (at most 400): it holds a second idea",
      "core/a.ts:1: Cannot begin without a comment: say what the file is for",
    ]);
    expect(found({ "core/a.ts": "/** A. */\n// TODO: b\nthrow new Error('not implemented');\n" })).toEqual([
      'core/a.ts:2: Cannot ship "TODO": finish it or leave it out',
      'core/a.ts:3: Cannot ship "not implemented": finish it or leave it out',
    ]);
    expect(found({ "stray.ts": "/** A. */\n" })).toEqual(["stray.ts:1: Cannot place this file: it is in no folder of the layout"]);
  });

  test("a file nobody imports", () => {
    const tree = plant({
      "mod.ts": '/** A. */\nexport * from "./edge/a.ts";\n',
      "edge/a.ts": '/** A. */\nimport "#runtime";\n',
      "edge/runtime/node.ts": '/** A. */\nimport "./disk.ts";\n',
      "edge/runtime/disk.ts": "/** A. */\n",
      "core/lonely.ts": "/** A. */\n",
    });
    expect(sentences(rules["every file is part of the product"]!(tree))).toEqual([
      "core/lonely.ts:1: Cannot keep this file: nothing reachable from mod.ts, edge/main.ts, edge/build.ts imports it",
    ]);
  });

  test("an error code without a status", () => {
    const tree = plant({
      "core/errors.ts": '/** A. */\nexport type ErrorCode =\n  | "closed"\n  | "not-found"\n  | "past-tail";\n',
      "edge/http/problems.ts": '/** A. */\nconst table = {\n  closed: [503],\n  "not-found": [404], // past-tail\n};\n',
    });
    expect(sentences(rules["every error code has a status"]!(tree))).toEqual([
      'edge/http/problems.ts:5: Cannot turn error code "past-tail" of core/errors.ts into a status: it has no row',
    ]);
  });

  test("a link or a heading that is not there", () => {
    const text =
      "# A page\n[b](docs/b.md) [c](./c.md) [top](#a-page)\n\n[gone](#nowhere) [web](https://x.example/y)\n```\n[d](d.md)\n```\n`[e](e.md)`\n";
    expect(found({ "README.md": text, "docs/b.md": "[back](../README.md#a-page) [no](../README.md#b)\n" })).toEqual([
      'README.md:2: Cannot follow the link to "./c.md": there is no c.md',
      'README.md:4: Cannot follow the link to "#nowhere": README.md has no such heading',
      'docs/b.md:1: Cannot follow the link to "../README.md#b": README.md has no such heading',
    ]);
  });
});

describe("tidy is not taken in by", () => {
  test("words in comments, strings, templates and regular expressions", () => {
    const text = [
      "/** Date, fetch and await Promise. */",
      'const a = "import x from \\"../edge/a.ts\\"; Date"; // Date',
      "const b = `Date ${`fetch ${a} process`} console`;",
      "const c = /Date[/]fetch/.test(a) ? 4 / 2 : 1; /* Deno. */",
      "const d = { fetch: 1, process: 2 }.fetch + this.#fetch + e.process;",
      "",
    ].join("\n");
    expect(found({ "core/a.ts": text })).toEqual([]);
  });

  test("code inside a template", () => {
    expect(found({ "core/a.ts": "/** A. */\nconst a = `${{ b: `}` }.b} ${Date.now()}`;\n" })).toEqual([
      "core/a.ts:2: Cannot use Date in core: it is given what it needs",
    ]);
  });

  test("blanking keeps every character in its place", () => {
    for (const { path, text } of readTree(root).sources) {
      const code = blank(text);
      expect([path, code.length, code.split("\n").length]).toEqual([path, text.length, text.split("\n").length]);
    }
  });
});
