/** Whose directory this is. Written once; a directory of another cluster, node or format is refused before anything in it is read. */
import type { NodeId } from "../../core/ids.ts";
import { CarillonError } from "../../core/errors.ts";
import type { Disk } from "../runtime.ts";
import type { Crc32 } from "./frame.ts";

export interface Identity {
  readonly cluster: string;
  readonly node: NodeId;
  /** Random: begins the journal's chain, so that a segment of another directory is no part of it. */
  readonly seed: number;
}

export const identityFile = "identity";
const format = 1;
const fileBytesMax = 65_536;

/** Finds the identity or makes it. Throws CarillonError `config` (somebody else's) or `corrupt` (unreadable). */
export async function settleIdentity(disk: Disk, wanted: Identity, names: readonly string[], crc32: Crc32): Promise<Identity> {
  if (names.includes(identityFile)) {
    const found = parse(await disk.read(identityFile, 0, fileBytesMax), disk.root, crc32);
    for (const key of ["cluster", "node"] as const) {
      if (found[key] !== wanted[key]) {
        const says = `it belongs to ${key} ${JSON.stringify(found[key])}, not ${JSON.stringify(wanted[key])}`;
        throw new CarillonError("config", `Cannot use "${disk.root}": ${says}`);
      }
    }
    return found;
  }
  if (names.some((name) => name.startsWith("journal-"))) {
    throw new CarillonError("corrupt", `Cannot use "${disk.root}": it has a journal and no "${identityFile}" file`);
  }
  const text = JSON.stringify({ format, ...wanted });
  await disk.replace(identityFile, new TextEncoder().encode(`${text}\n${checksum(text, crc32)}\n`));
  return wanted;
}

function checksum(text: string, crc32: Crc32): string {
  return crc32(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}

function parse(bytes: Uint8Array, root: string, crc32: Crc32): Identity {
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
    throw new CarillonError("config", `Cannot use "${root}": its format is ${fields.format}, and this version reads format ${format}`);
  }
  const { cluster, node, seed } = fields;
  if (typeof cluster !== "string" || typeof node !== "number" || typeof seed !== "number") return damaged();
  return { cluster, node, seed };
}
