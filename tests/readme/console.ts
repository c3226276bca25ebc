/**
 * Runs the `console` blocks of a page as a reader would: the lines after `$ ` in one shell, one after another, so that
 * a variable set in one line is there in the next; then compares what came out with what the page shows.
 */
export interface Example {
  readonly line: number;
  readonly command: string;
  readonly shown: readonly string[];
}

/** Every command of the page's `console` blocks, in order. A command goes on in the next line after a backslash. */
export function examplesOf(page: string): Example[] {
  const examples: { line: number; command: string; shown: string[] }[] = [];
  let inside = false;
  let unfinished = false;
  page.split("\n").forEach((text, index) => {
    if (text.startsWith("```")) {
      inside = text === "```console";
      unfinished = false;
      return;
    }
    if (!inside) return;
    const last = examples.at(-1);
    if (unfinished && last !== undefined) last.command += `\n${text}`;
    else if (text.startsWith("$ ")) examples.push({ line: index + 1, command: text.slice(2), shown: [] });
    else if (last !== undefined) last.shown.push(text);
    unfinished = text.endsWith("\\");
  });
  for (const { shown } of examples) while (shown.at(-1) === "") shown.pop();
  return examples;
}

/** The code of the page's blocks in `language`. */
export function blocksOf(page: string, language: string): string[] {
  return [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter((block) => block[1] === language).map((block) => block[2]!);
}

/** Replaces what stands for something in the page by what it is in this run: `localhost:4100` by a real port. */
export type Replacements = ReadonlyMap<string, string>;

const replaceAll = (text: string, replacements: Iterable<readonly [string, string]>): string => {
  for (const [from, to] of replacements) text = text.replaceAll(from, to);
  return text;
};

/**
 * What each command printed, on both outputs, with the replacements undone. `environment` is added to this process's:
 * another PATH puts another curl first.
 */
export async function runInShell(
  examples: readonly Example[],
  replacements: Replacements,
  environment: Readonly<Record<string, string>>,
): Promise<string[]> {
  const mark = "\u0001";
  const lines = examples.map(({ command }) => `printf '${mark}'\n${replaceAll(command, replacements)}\n`);
  const shell = Bun.spawn(["bash", "-c", `exec 2>&1\n${lines.join("")}`], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, ...environment },
  });
  const printed = await new Response(shell.stdout).text();
  await shell.exited;
  const undo = [...replacements].map(([from, to]) => [to, from] as const);
  return printed.split(mark).slice(1).map((text) => replaceAll(text.replaceAll("\r", ""), undo));
}

/**
 * Compares outputs with what the page shows. A page cannot know positions: 20 hex digits stand for one, the same digits for
 * the same position everywhere on the page, other digits for another. `…` stands for anything, alone in a line for any lines.
 */
export class Reader {
  /** What the page's positions are in this run. */
  readonly #positions = new Map<string, string>();

  /** null if the output is as shown, else both. */
  compare(example: Example, printed: string): string | null {
    const names: string[] = [];
    const pattern = new RegExp(`^${example.shown.map((line) => this.#linePattern(line, names)).join("")}$`);
    const text = normal(printed).trimEnd();
    const match = pattern.exec(text === "" ? "" : `${text}\n`);
    if (match === null) return this.#difference(example, printed, "the output is not as shown");
    for (const [at, shown] of names.entries()) {
      const real = match[at + 1]!;
      const twin = [...this.#positions].find(([name, value]) => value === real && name !== shown);
      if (twin !== undefined) return this.#difference(example, printed, `${shown} and ${twin[0]} are both ${real}`);
      this.#positions.set(shown, real);
    }
    return null;
  }

  #linePattern(line: string, names: string[]): string {
    if (line === "…") return "(?:.*\\n)*?";
    const parts = normal(line).split(/(…|(?<![0-9a-f])[0-9a-f]{20}(?![0-9a-f]))/);
    return parts.map((part) => {
      if (part === "…") return ".*?";
      if (!/^[0-9a-f]{20}$/.test(part)) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      const known = this.#positions.get(part);
      if (known !== undefined) return known;
      if (names.includes(part)) return `\\${names.indexOf(part) + 1}`;
      names.push(part);
      return "([0-9a-f]{20})";
    }).join("") + "\\n";
  }

  #difference({ line, command, shown }: Example, printed: string, why: string): string {
    return `line ${line}: ${why}\n$ ${command}\n--- shown\n${shown.join("\n")}\n--- printed\n${printed.trimEnd()}`;
  }
}

/** Header names are the same in any case. */
function normal(text: string): string {
  return text.replace(/^([A-Za-z][A-Za-z0-9-]*):(?= )/gm, (_, name: string) => `${name.toLowerCase()}:`);
}
