/** Writes that may be made again: the key that goes along, and how an answer of old shows. */
import type { Entry, IdempotentOptions } from "../../services/api.ts";
import { parseIdempotencyKey, replayed } from "../../services/idempotency.ts";
import { GoneEntry } from "../../services/kv/gone.ts";
import { replayedHeader } from "../http/problems.ts";
import { type Document, entryOfDocument } from "./items.ts";
import type { Call, Reply } from "./transport.ts";

/** What every write passes on. Throws `bad-request` for a key that is none. */
export function writeOf({ signal, timeoutMs, idempotencyKey }: IdempotentOptions): Pick<Call, "signal" | "timeoutMs" | "idempotencyKey"> {
  const key = idempotencyKey === undefined ? undefined : parseIdempotencyKey(idempotencyKey);
  return { signal, timeoutMs, idempotencyKey: key };
}

/** For the result of a write. */
export function replayedIn(reply: Reply): { readonly replayed?: true } {
  return replayed(reply.header(replayedHeader) === "true" ? { replayed: true } : {});
}

/** What a lost condition met. A node that tells an old outcome again may have nothing but the version left. */
export function metEntry(document: Document): Entry {
  const entry = entryOfDocument(document);
  return document.type === undefined ? new GoneEntry(entry.key, entry.keyBytes, entry.version) : entry;
}
