/**
 * What a command says. On a terminal for people: aligned columns, a little colour. Elsewhere for programs: tabs, no
 * headings. With `--json` or `--ndjson`: documents. Results go to standard output, everything else to standard error.
 */
import { columns, isTerminal, write } from "../runtime/system.ts";

export type Tone = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const codes: Readonly<Record<Tone, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

export type Format = "text" | "json" | "ndjson";

export class Output {
  readonly format: Format;
  /** Results are read by a person. */
  readonly human: boolean;
  readonly #colours: { readonly stdout: boolean; readonly stderr: boolean };

  constructor(format: Format, colour: "auto" | "always" | "never", environment: Readonly<Record<string, string | undefined>>) {
    const wanted = (stream: "stdout" | "stderr"): boolean => {
      if (colour !== "auto") return colour === "always";
      if (environment.NO_COLOR) return false;
      if (environment.FORCE_COLOR) return environment.FORCE_COLOR !== "0";
      return isTerminal(stream) && environment.TERM !== "dumb";
    };
    this.format = format;
    this.human = format === "text" && isTerminal("stdout");
    this.#colours = { stdout: wanted("stdout"), stderr: wanted("stderr") };
  }

  paint(tone: Tone, text: string, stream: "stdout" | "stderr" = "stdout"): string {
    if (!this.#colours[stream]) return text;
    const [on, off] = codes[tone];
    return `\x1b[${on}m${text}\x1b[${off}m`;
  }

  line(text: string = ""): Promise<void> {
    return write("stdout", `${text}\n`);
  }

  bytes(bytes: Uint8Array): Promise<void> {
    return write("stdout", bytes);
  }

  /** To standard error. */
  note(text: string): Promise<void> {
    return write("stderr", `${text}\n`);
  }

  json(document: unknown): Promise<void> {
    return this.line(
      this.human || (this.format === "json" && isTerminal("stdout")) ? JSON.stringify(document, null, 2) : JSON.stringify(document),
    );
  }

  /** A `null` cell is a dash for people and nothing for programs. */
  async table(headings: readonly string[], rows: readonly (readonly (string | number | null)[])[]): Promise<void> {
    if (!this.human) {
      const lines = rows.map((row) => row.map((cell) => oneLine(cell ?? "")).join("\t"));
      return lines.length === 0 ? undefined : await this.line(lines.join("\n"));
    }
    const [heading, ...lines] = align(headings, rows.map((row) => row.map((cell) => oneLine(cell ?? "-"))), columns());
    await this.line([this.paint("dim", heading!), ...lines].join("\n"));
  }
}

/** Columns as wide as their widest cell; the last may run on, but not past the terminal's edge. The heading comes first. */
export function align(headings: readonly string[], rows: readonly (readonly string[])[], width: number): string[] {
  const widths = headings.map((heading, column) => Math.max(heading.length, ...rows.map((row) => (row[column] ?? "").length)));
  const render = (cells: readonly string[]): string => {
    const text = cells.map((cell, column) => column === cells.length - 1 ? cell : cell.padEnd(widths[column]! + 2)).join("").trimEnd();
    return text.length > width ? `${text.slice(0, Math.max(1, width - 1))}…` : text;
  };
  return [headings, ...rows].map(render);
}

function oneLine(cell: string | number): string {
  // deno-lint-ignore no-control-regex
  return String(cell).replace(/[\x00-\x1f\x7f]/g, (character) => character === "\n" ? "⏎" : " ");
}
