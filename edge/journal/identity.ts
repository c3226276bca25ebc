/** What directories of format 1 had in place of a superblock. Read once, to make one of it. */
import type { NodeId } from "../../core/ids.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Crc32 } from "./frame.ts";

export interface Identity {
  readonly cluster: string;
  readonly node: NodeId;
  readonly seed: number;
}

export const identityFile = "identity";
const format = 1;

/** Throws CarillonError `config` (another format) or `corrupt` (unreadable). */
export function readIdentity(bytes: Uint8Array, root: string, crc32: Crc32): Identity {
  const damaged = (): never => {
    throw new CarillonError("corrupt", `Cannot use "${root}": its "${identityFile}" file is damaged`);
  };
  const [text, sum, rest] = new TextDecoder().decode(bytes).split("\n");
  if (text === undefined || rest !== "" || sum !== checksum(text, crc32)) return damaged();
  let fields: Partial<Identity> & { readonly format?: unknown };
  try {
    fields = JSON.parse(text);
  } catch {
    return damaged();
  }
  if (fields.format !== format) {
    throw new CarillonError("config", `Cannot use "${root}": its format is ${fields.format}, and this version reads formats 1 and 2`);
  }
  const { cluster, node, seed } = fields;
  if (typeof cluster !== "string" || typeof node !== "number" || typeof seed !== "number") return damaged();
  return { cluster, node, seed };
}

function checksum(text: string, crc32: Crc32): string {
  return crc32(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}
