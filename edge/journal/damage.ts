/** Something that was durable and is unreadable: where, and whose it was if that can be told. */
import { CarillonError } from "../../core/errors.ts";
import type { GroupId, Instance } from "../../core/ids.ts";
import type { Disk } from "../runtime.ts";

export interface Damage {
  readonly file: string;
  readonly offset: number;
  /** Half a sentence: what is wrong there. */
  readonly reason: string;
  /** The entry that cannot be read back, if it is one. */
  readonly group: GroupId | null;
  readonly instance: Instance | null;
}

export function damageAt(file: string, offset: number, reason: string): Damage {
  return { file, offset, reason, group: null, instance: null };
}

export function missing(file: string): Damage {
  return damageAt(file, 0, missingReason);
}

const missingReason = "it is missing";

/** A node that begins cannot pass over it. */
export function refusal({ root }: Disk, { file, offset, reason }: Damage, where: "at" | "behind" = "at"): CarillonError {
  const what = reason === missingReason ? "is missing" : `is damaged ${where} byte ${offset}: ${reason}`;
  return new CarillonError("corrupt", `Cannot start: "${root}/${file}" ${what}`, { facts: { file, offset, reason } });
}
