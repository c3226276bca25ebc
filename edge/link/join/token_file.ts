/** The file with a node's join token, for its owner alone; it is of use for as long as the token is what lists the node. */
import { CarillonError } from "../../../core/errors.ts";
import type { Cryptography } from "../../runtime.ts";
import { readPrivateText } from "../../runtime/system.ts";
import { troubleOf } from "../../runtime/trouble.ts";
import { type KeyPair, keyText } from "../identity.ts";
import { type JoinListing, parseToken } from "./token.ts";

/** Throws CarillonError `config`. */
export async function readTokenFile(path: string, cryptography: Cryptography): Promise<KeyPair> {
  const found = await readPrivateText(path).catch((error: unknown) => refuse(path, `it cannot be read (${troubleOf(error)})`, error));
  if (found === null) {
    refuse(path, `there is no such file; put the token there that "carillon init --token" has printed, and run "chmod 600 ${path}"`);
  }
  if (found.othersMay !== null && found.othersMay !== 0) {
    refuse(
      path,
      `others on this machine may read it or write to it; run "chmod 600 ${path}", and if anybody may have, make another with "carillon init --token"`,
    );
  }
  return parseToken(found.text, path, cryptography);
}

/** Throws CarillonError `config` unless the token is the one by which the node is listed. */
export function checkToken(name: string, token: KeyPair, listing: JoinListing, place: string): void {
  if (keyText(token.publicKey) === keyText(listing.publicKey)) return;
  throw new CarillonError(
    "config",
    `Cannot be node "${name}": ${place} is for another listing than ${listing.text}, which the cluster's file has for it; ` +
      `give it the right one, or list its key instead of a token`,
  );
}

function refuse(path: string, state: string, cause?: unknown): never {
  throw new CarillonError("config", `Cannot use the join token in ${path}: ${state}`, { cause });
}
