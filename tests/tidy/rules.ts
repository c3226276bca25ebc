/**
 * The rules of the house as functions from the tree to violations. A seam nobody checks does not hold: what
 * ARCHITECTURE.md says about who knows whom is said here once more, executable.
 */
import { lineAt, resolve, type Source, type Tree } from "./sources.ts";

export interface Violation {
  readonly path: string;
  readonly line: number;
  /** Why, as a sentence. */
  readonly sentence: string;
}

/** What may be imported by files under a path; the first row that fits a file is its row. Ends in "/" for a folder. */
const layers: readonly (readonly [from: string, to: readonly string[]])[] = [
  ["mod.ts", ["core/", "services/", "edge/"]],
  ["core/", ["core/"]],
  ["services/", ["services/", "core/"]],
  ["edge/runtime/", ["edge/runtime/", "edge/runtime.ts", "core/"]],
  ["edge/", ["edge/", "services/", "core/", "#runtime"]],
  ["tests/", ["tests/", "bench/", "edge/", "services/", "core/", "mod.ts", "#runtime"]],
  ["bench/", ["bench/", "tests/harness/", "edge/", "services/", "core/", "mod.ts", "#runtime"]],
  ["compat/", ["compat/"]],
];

/** Each third party in one place, so that leaving it costs one folder. */
const homes: readonly (readonly [name: string, homes: readonly string[]])[] = [
  ["hono", ["edge/http/"]],
  ["cbor-x", ["edge/codec/"]],
  ["undici", ["edge/client"]],
  ["@std/cli", ["edge/cli/"]],
  ["smol-toml", ["edge/config"]],
  ["bun:test", ["tests/"]],
  ["fast-check", ["tests/"]],
];

/** Files outside edge/runtime that name a runtime, and why they have to. */
export const runtimeAllowed: ReadonlyMap<string, string> = new Map([
  ["edge/build.ts", "calls Bun's bundler: it makes the binary and is not in it"],
]);

/** Words of the world outside. Who wants the time is told it; who wants the network asks the edge. */
const impure = [
  "Date",
  "performance",
  "crypto",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "clearTimeout",
  "clearInterval",
  "queueMicrotask",
  "console",
  "process",
  "fetch",
  "globalThis",
];

/** Services may let a caller wait, the core may not: the order of everything is the order of `step` calls. */
const asynchronous = ["async", "await", "Promise"];

const fileLinesMax = 400;

/** The tidy rules quote what they forbid. */
const quotesTheForbidden = (path: string): boolean => path.startsWith("tests/tidy");

export function imports({ sources }: Tree): Violation[] {
  return eachSource(sources, (source, complain) => {
    const row = layers.find(([from]) => source.path.startsWith(from));
    if (row === undefined) {
      complain(1, `Cannot place this file: it is in no folder of the layout`);
      return;
    }
    const anything = source.path.startsWith("tests/") || source.path.startsWith("bench/");
    for (const { specifier, line, target } of source.imports) {
      if (isOurs(specifier)) {
        if (!row[1].some((to) => target.startsWith(to))) {
          complain(line, `Cannot import "${specifier}" in ${row[0]}: it may only import ${row[1].join(", ")}`);
        }
        if (/^edge\/runtime\/(bun|deno|node)/.test(target) && !source.path.startsWith("edge/runtime/") && !anything) {
          complain(line, `Cannot import a runtime by name: say "#runtime"`);
        }
        if (specifier.startsWith(".") && !/\.[a-z]+$/.test(specifier)) complain(line, `Cannot import "${specifier}": write the extension`);
        continue;
      }
      const home = homes.find(([name]) => specifier === name || specifier.startsWith(`${name}/`));
      if (home !== undefined) {
        const testing = anything && home[0] !== "bun:test";
        if (!testing && !home[1].some((folder) => source.path.startsWith(folder))) {
          complain(line, `Cannot import "${specifier}" here: its one place is ${home[1].join(", ")}`);
        }
      } else if (/^(node|bun):|^bun$/.test(specifier)) {
        if (!mayNameRuntime(source.path)) complain(line, `Cannot import "${specifier}" here: only edge/runtime knows a runtime`);
      } else if (!anything) {
        complain(line, `Cannot import "${specifier}": a third party without a place in tests/tidy/rules.ts`);
      }
    }
  });
}

/** `Bun.` and `Deno.` anywhere but in edge/runtime. */
export function runtimeNames({ sources }: Tree): Violation[] {
  return eachSource(sources, (source, complain) => {
    if (mayNameRuntime(source.path)) return;
    for (const [line, word] of words(source, ["Bun", "Deno"])) complain(line, `Cannot say ${word} here: only edge/runtime knows a runtime`);
  });
}

/** No clock, chance, console or network below the edge, and nothing asynchronous in the core. */
export function purity({ sources }: Tree): Violation[] {
  return eachSource(sources, (source, complain) => {
    const core = source.path.startsWith("core/");
    if (!core && !source.path.startsWith("services/")) return;
    const layer = core ? "core" : "services";
    for (const [line, word] of words(source, core ? [...impure, ...asynchronous] : impure)) {
      complain(
        line,
        `Cannot use ${word} in ${layer}: ${asynchronous.includes(word) ? "completions are inputs" : "it is given what it needs"}`,
      );
    }
    for (const match of source.code.matchAll(/\bMath\s*\.\s*random\b/g)) {
      complain(lineAt(source.text, match.index), `Cannot use Math.random in ${layer}: a run must be repeatable from its seed`);
    }
  });
}

/** One idea a file, told from the top, finished. */
export function shape({ sources }: Tree): Violation[] {
  return eachSource(sources, (source, complain) => {
    const lines = source.text.split("\n").length - (source.text.endsWith("\n") ? 1 : 0);
    if (lines > fileLinesMax) complain(fileLinesMax, `Cannot be ${lines} lines long (at most ${fileLinesMax}): it holds a second idea`);
    if (!/^(#![^\n]*\n)?\/[/*]/.test(source.text)) complain(1, `Cannot begin without a comment: say what the file is for`);
    if (quotesTheForbidden(source.path)) return;
    for (const match of source.text.matchAll(/\b(TODO|FIXME|XXX|HACK)\b|\bstubs?\b|\bnot (yet )?implemented\b/g)) {
      complain(lineAt(source.text, match.index), `Cannot ship "${match[0]}": finish it or leave it out`);
    }
  });
}

/** Every source file is part of something a user runs. */
export function reachable({ sources }: Tree): Violation[] {
  const roots = ["mod.ts", "edge/main.ts", "edge/build.ts"];
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const seen = new Set<string>();
  const visit = (path: string): void => {
    const source = byPath.get(path);
    if (source === undefined || seen.has(path)) return;
    seen.add(path);
    for (const { specifier, target } of source.imports) {
      if (specifier === "#runtime") { for (const name of ["bun", "deno", "node"]) visit(`edge/runtime/${name}.ts`); }
      else visit(target);
    }
  };
  roots.forEach(visit);
  return eachSource(sources, (source, complain) => {
    if (!/^(core|services|edge)\//.test(source.path) || seen.has(source.path)) return;
    complain(1, `Cannot keep this file: nothing reachable from ${roots.join(", ")} imports it`);
  });
}

/** Every code a user can be given has its status and sentence. */
export function problems({ sources }: Tree): Violation[] {
  const errors = sources.find(({ path }) => path === "core/errors.ts");
  const table = sources.find(({ path }) => path === "edge/http/problems.ts");
  if (errors === undefined) return [{ path: "core/errors.ts", line: 1, sentence: "Cannot check error codes: the file is gone" }];
  if (table === undefined) return [{ path: "edge/http/problems.ts", line: 1, sentence: "Cannot check error codes: there is no table" }];
  const from = errors.text.indexOf("export type ErrorCode =");
  const union = errors.text.slice(from, errors.text.indexOf(";", from));
  const codes = [...union.matchAll(/"([a-z-]+)"/g)];
  if (codes.length === 0) return [{ path: errors.path, line: 1, sentence: "Cannot find any error code in it" }];
  return codes
    .filter(([, code]) => !new RegExp(`(^|[\\s{,])("${code}"|${code})\\s*:`, "m").test(table.text))
    .map((match) => ({
      path: table.path,
      line: lineAt(errors.text, from + match.index),
      sentence: `Cannot turn error code "${match[1]}" of core/errors.ts into a status: it has no row`,
    }));
}

/** Every relative link of a page leads somewhere, headings included. */
export function links({ pages, paths }: Tree): Violation[] {
  const anchors = new Map(pages.map((page) => [page.path, headings(page.text)]));
  return pages.flatMap((page) => {
    const violations: Violation[] = [];
    const prose = page.text.replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, " ")).replace(
      /`[^`\n]*`/g,
      (code) => " ".repeat(code.length),
    );
    for (const match of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      const target = match[1]!;
      if (/^[a-z]+:/.test(target)) continue;
      const [file = "", anchor] = target.split("#");
      const path = file === "" ? page.path : resolve(page.path, file.startsWith(".") ? file : `./${file}`);
      const complain = (sentence: string): number => violations.push({ path: page.path, line: lineAt(page.text, match.index), sentence });
      if (!paths.has(path)) complain(`Cannot follow the link to "${target}": there is no ${path}`);
      else if (anchor !== undefined && anchors.has(path) && !anchors.get(path)!.has(anchor)) {
        complain(`Cannot follow the link to "${target}": ${path} has no such heading`);
      }
    }
    return violations;
  });
}

export const rules: Readonly<Record<string, (tree: Tree) => Violation[]>> = {
  "every import goes the way the layers go": imports,
  "only edge/runtime names a runtime": runtimeNames,
  "core and services are pure": purity,
  "every file is one finished idea": shape,
  "every file is part of the product": reachable,
  "every error code has a status": problems,
  "every link leads somewhere": links,
};

function eachSource(
  sources: readonly Source[],
  visit: (source: Source, complain: (line: number, sentence: string) => void) => void,
): Violation[] {
  const violations: Violation[] = [];
  for (const source of sources) visit(source, (line, sentence) => violations.push({ path: source.path, line, sentence }));
  return violations;
}

const isOurs = (specifier: string): boolean => specifier.startsWith(".") || specifier.startsWith("#");

const mayNameRuntime = (path: string): boolean =>
  path.startsWith("edge/runtime/") || path.startsWith("tests/") || path.startsWith("bench/") || path.startsWith("compat/") ||
  runtimeAllowed.has(path);

/** Where code uses any of these as a free name: not as a property, not as a key, not inside a longer word. */
function words(source: Source, names: readonly string[]): [line: number, word: string][] {
  const found: [number, string][] = [];
  for (const match of source.code.matchAll(new RegExp(`(?<![\\w$#]|(?<!\\.\\.)\\.)(${names.join("|")})(?![\\w$]|\\s*\\??:)`, "g"))) {
    found.push([lineAt(source.text, match.index), match[1]!]);
  }
  return found;
}

/** Anchors the way GitHub makes them. */
function headings(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const match of text.matchAll(/^#{1,6}\s+(.+)$/gm)) {
    const slug = match[1]!.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}
