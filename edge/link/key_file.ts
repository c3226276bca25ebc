/**
 * A node's key file on disk: made once, added to, and never overwritten, guessed at or shown. What is wrong with one is said
 * with what to do about it.
 */
import { CarillonError } from "../../core/errors.ts";
import type { Cryptography } from "../runtime.ts";
import { createPrivateText, directoryOf, makeDirectory, readPrivateText, replacePrivateText } from "../runtime/system.ts";
import { troubleOf } from "../runtime/trouble.ts";
import { type KeyPair, keyText } from "./identity.ts";
import { heldKeysMax, keyFileText, newKeyPair, parseKeyFile } from "./node_key.ts";

/** What new keys are made of. */
export interface KeySource {
  readonly cryptography: Cryptography;
  /** 32 random bits. */
  entropy(): number;
}

/** The keys in the file. Throws CarillonError `config`. */
export async function readKeyFile(path: string, cryptography: Cryptography): Promise<readonly KeyPair[]> {
  const found = await lookAt(path);
  if (found === null) refuse(path, `there is no such file; run "carillon init" to make it`);
  return keysIn(found, path, cryptography);
}

/** The keys in the file, which is made with a first one if it is not there. */
export async function makeKeyFile(path: string, source: KeySource): Promise<{ readonly keys: readonly KeyPair[]; readonly made: boolean }> {
  const found = await lookAt(path);
  if (found !== null) return { keys: keysIn(found, path, source.cryptography), made: false };
  const keys = [newKeyPair(source.cryptography, () => source.entropy())];
  const made = await writing(path, async () => {
    await makeDirectory(directoryOf(path));
    return await createPrivateText(path, keyFileText(keys));
  });
  if (!made) refuse(path, "somebody else has just made it; run the same again");
  return { keys, made };
}

/** One key more, behind those that are there. */
export async function addKey(path: string, source: KeySource): Promise<readonly KeyPair[]> {
  const held = await readKeyFile(path, source.cryptography);
  if (held.length >= heldKeysMax) {
    refuse(path, `it holds ${held.length} keys, which are the most; list those that are needed and run "carillon init --drop"`);
  }
  const keys = [...held, newKeyPair(source.cryptography, () => source.entropy())];
  await writing(path, () => replacePrivateText(path, keyFileText(keys)));
  return keys;
}

/** Forgets the keys that are not among `listed`. */
export async function dropKeys(
  path: string,
  listed: readonly string[],
  source: KeySource,
): Promise<{ readonly keys: readonly KeyPair[]; readonly dropped: readonly string[] }> {
  const held = await readKeyFile(path, source.cryptography);
  const isListed = ({ publicKey }: KeyPair): boolean => listed.includes(keyText(publicKey));
  const keys = held.filter(isListed);
  if (keys.length === 0) {
    refuse(path, `of its keys ${textsOf(held)} none is listed for this node, and all would be gone; list one of them first`);
  }
  if (keys.length < held.length) await writing(path, () => replacePrivateText(path, keyFileText(keys)));
  return { keys, dropped: held.filter((pair) => !isListed(pair)).map(({ publicKey }) => keyText(publicKey)) };
}

/** Throws CarillonError `config` unless one of the held keys is listed for the node. `keys`: of all nodes, by name. */
export function checkListed(
  name: string,
  held: readonly KeyPair[],
  keys: ReadonlyMap<string, readonly string[]>,
  place: string,
): void {
  const texts = held.map(({ publicKey }) => keyText(publicKey));
  const listed = keys.get(name) ?? [];
  if (texts.some((key) => listed.includes(key))) return;
  const owner = [...keys].find(([, others]) => texts.some((key) => others.includes(key)));
  throw new CarillonError(
    "config",
    owner === undefined
      ? `Cannot be node "${name}": ${place} holds ${texts.join(", ")}, and ${
        listed.length === 0 ? "no key is" : `${listed.join(", ")} is`
      } ` +
        `listed for it; put its own line there on every node, key = "${texts[0]}", or name the right file with node.key`
      : `Cannot be node "${name}": ${place} holds the key of node "${
        owner[0]
      }"; name its own directory with node.data, or its own file with node.key`,
  );
}

function textsOf(keys: readonly KeyPair[]): string {
  return keys.map(({ publicKey }) => keyText(publicKey)).join(", ");
}

async function lookAt(path: string): Promise<string | null> {
  const found = await readPrivateText(path).catch((error: unknown) => refuse(path, `it cannot be read (${troubleOf(error)})`, error));
  if (found === null) return null;
  if (found.othersMay !== null && found.othersMay !== 0) {
    refuse(
      path,
      `others on this machine may read it or write to it; run "chmod 600 ${path}", and if anybody may have, change the key with "carillon init --rotate"`,
    );
  }
  return found.text;
}

function keysIn(text: string, path: string, cryptography: Cryptography): readonly KeyPair[] {
  try {
    return parseKeyFile(text, path, cryptography);
  } catch (error) {
    if (!(error instanceof CarillonError)) throw error;
    throw new CarillonError(
      "config",
      `${error.message}; put back the file as "carillon init" made it, or move it away, run "carillon init" and list the new key`,
      { cause: error },
    );
  }
}

async function writing<T>(path: string, write: () => Promise<T>): Promise<T> {
  return await write().catch((error: unknown) => refuse(path, `it cannot be written (${troubleOf(error)})`, error));
}

function refuse(path: string, state: string, cause?: unknown): never {
  throw new CarillonError("config", `Cannot use the key file ${path}: ${state}`, { cause });
}
