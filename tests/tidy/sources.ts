/**
 * Reads sources the way the tidy rules need them: the text, the same text with comments and the insides of strings
 * blanked (so that a word in a sentence is not a word in the code), and what each file imports.
 */
import { readdirSync, readFileSync } from "node:fs";

export interface Import {
  /** As written: "./ids.ts", "node:fs", "hono". */
  readonly specifier: string;
  readonly line: number;
  /** The file meant by a relative specifier, from the root; else the specifier. */
  readonly target: string;
}

export interface Source {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
  /** As long as `text`, line for line. */
  readonly code: string;
  readonly imports: readonly Import[];
}

export interface Tree {
  readonly sources: readonly Source[];
  /** Markdown files. */
  readonly pages: readonly { readonly path: string; readonly text: string }[];
  /** Everything a link may point to: files and folders. */
  readonly paths: ReadonlySet<string>;
}

const ignored = new Set(["node_modules", "dist", ".git"]);

/** The checkout as it lies on disk. */
export function readTree(root: string): Tree {
  const files: string[] = [];
  const paths = new Set<string>(["."]);
  const walk = (folder: string): void => {
    for (const entry of readdirSync(`${root}/${folder}`, { withFileTypes: true })) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (ignored.has(entry.name)) continue;
      paths.add(path);
      if (entry.isDirectory()) walk(path);
      else files.push(path);
    }
  };
  walk("");
  const read = (path: string): string => readFileSync(`${root}/${path}`, "utf8");
  return {
    sources: files.filter((path) => path.endsWith(".ts")).sort().map((path) => parseSource(path, read(path))),
    pages: files.filter((path) => path.endsWith(".md")).sort().map((path) => ({ path, text: read(path) })),
    paths,
  };
}

export function parseSource(path: string, text: string): Source {
  const code = blank(text);
  const imports: Import[] = [];
  // Quotes survive blanking, so a match is real code; the specifier itself is read from the text at the same place.
  for (const match of code.matchAll(/(?<![.\w$])(?:from|import)\s*\(?\s*(["'])/g)) {
    const from = match.index + match[0].length;
    const specifier = text.slice(from, text.indexOf(match[1]!, from));
    imports.push({ specifier, line: lineAt(text, match.index), target: resolve(path, specifier) });
  }
  return { path, text, code, imports };
}

export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < index; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

/** `target` seen from the file `from`; anything not relative stays as it is. */
export function resolve(from: string, target: string): string {
  if (!target.startsWith(".")) return target;
  const parts = from.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/") || ".";
}

/** Spaces instead of comments, string contents, template text and regular expressions; line breaks stay. */
export function blank(text: string): string {
  const out = text.split("");
  const erase = (from: number, to: number): void => {
    for (let at = from; at < to; at++) if (out[at] !== "\n") out[at] = " ";
  };
  // Depth of braces inside each open `${`: a `}` at depth 0 goes back to template text.
  const templates: number[] = [];
  let at = 0;
  const template = (from: number): void => {
    at = endOfTemplateText(text, from);
    erase(from, at);
    if (text[at] === "`") at++;
    else if (at < text.length) {
      templates.push(0);
      at += 2;
    }
  };
  while (at < text.length) {
    const char = text[at]!;
    const two = text.slice(at, at + 2);
    if (two === "//" || (at === 0 && two === "#!")) {
      const end = text.indexOf("\n", at);
      const to = end === -1 ? text.length : end;
      erase(at, to);
      at = to;
    } else if (two === "/*") {
      const end = text.indexOf("*/", at + 2);
      const to = end === -1 ? text.length : end + 2;
      erase(at, to);
      at = to;
    } else if (char === '"' || char === "'") {
      const end = endOfQuoted(text, at + 1, char);
      erase(at + 1, end);
      at = end + 1;
    } else if (char === "`") {
      template(at + 1);
    } else if (char === "/" && regexMayStart(out, at)) {
      const end = endOfRegex(text, at + 1);
      erase(at + 1, end);
      at = end + 1;
    } else if (templates.length > 0 && char === "{") {
      templates[templates.length - 1]!++;
      at++;
    } else if (templates.length > 0 && char === "}") {
      if (templates[templates.length - 1]! > 0) {
        templates[templates.length - 1]!--;
        at++;
      } else {
        templates.pop();
        template(at + 1);
      }
    } else {
      at++;
    }
  }
  return out.join("");
}

function endOfQuoted(text: string, from: number, quote: string): number {
  let at = from;
  while (at < text.length && text[at] !== quote && text[at] !== "\n") at += text[at] === "\\" ? 2 : 1;
  return at;
}

function endOfTemplateText(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== "`" && !(text[at] === "$" && text[at + 1] === "{")) at += text[at] === "\\" ? 2 : 1;
  return at;
}

function endOfRegex(text: string, from: number): number {
  let inClass = false;
  let at = from;
  while (at < text.length && text[at] !== "\n" && (inClass || text[at] !== "/")) {
    if (text[at] === "[") inClass = true;
    if (text[at] === "]") inClass = false;
    at += text[at] === "\\" ? 2 : 1;
  }
  return at;
}

/** A slash divides after a value and begins a regular expression anywhere else. */
function regexMayStart(out: readonly string[], at: number): boolean {
  let before = at - 1;
  while (before >= 0 && /\s/.test(out[before]!)) before--;
  if (before < 0) return true;
  if (!/[\w$)\]}"'`]/.test(out[before]!)) return true;
  const word = out.slice(Math.max(0, before - 9), before + 1).join("").match(/[A-Za-z]+$/)?.[0] ?? "";
  return ["return", "typeof", "case", "in", "of", "delete", "void", "throw", "await", "yield"].includes(word);
}
