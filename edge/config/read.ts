/** From text somebody typed to a value of the right kind, or a sentence that says what is wrong with it. */
import { CarillonError } from "../../core/errors.ts";
import { didYouMean } from "../suggest.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `what` completes "Cannot use …": the place and the trouble. */
export function refuse(what: string, cause?: unknown): never {
  throw new CarillonError("config", `Cannot use ${what}`, { cause });
}

export type Table = Readonly<Record<string, unknown>>;

export function asTable(value: unknown, place: string): Table {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(`${place}: it must be a table`);
  return value as Table;
}

/** Unknown keys are errors: a misspelt setting that is silently ignored is found in production. */
export function onlyKeys(table: Table, known: readonly string[], place: string): void {
  for (const key of Object.keys(table)) {
    if (!known.includes(key)) refuse(`${place}: there is no "${key}"${didYouMean(key, known) || `; it has ${known.join(", ")}`}`);
  }
}

export function asText(value: unknown, place: string): string {
  if (typeof value !== "string" || value === "") refuse(`${place}: it must be a text, not ${JSON.stringify(value)}`);
  return value;
}

export function asNumber(value: unknown, place: string): number {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number)) refuse(`${place}: it must be a number, not ${JSON.stringify(value)}`);
  return number;
}

export function asTexts(value: unknown, place: string): readonly string[] {
  if (!Array.isArray(value)) refuse(`${place}: it must be a list of names, not ${JSON.stringify(value)}`);
  return value.map((item, index) => asText(item, `${place}[${index}]`));
}

export function asChoice(value: unknown, choices: readonly string[], place: string): string {
  if (typeof value === "string" && choices.includes(value)) return value;
  const hint = typeof value === "string" ? didYouMean(value, choices) : "";
  refuse(`${place}: it must be ${choices.map((choice) => `"${choice}"`).join(" or ")}, not ${JSON.stringify(value)}${hint}`);
}

/** `host:port`, `[::1]:port`, `:port` (all interfaces) or a bare port (loopback). */
export function asAddress(value: unknown, place: string): Address {
  const text = typeof value === "number" ? String(value) : asText(value, place);
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s\[\]]*)):(\d{1,5})$/.exec(text) ?? /^()()(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) refuse(`${place}: it must be host:port, not ${JSON.stringify(value)}`);
  const host = match[1] || match[2] || (text.startsWith(":") ? "0.0.0.0" : "127.0.0.1");
  return { host, port };
}

export function formatAddress({ host, port }: Address): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Only this machine can connect. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
