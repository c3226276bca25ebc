/**
 * The keys that a node has learned under join tokens: a file in its data directory, whole or not there, and durable before what it
 * says counts. Nothing in it is secret; whoever may write to it could let a node in.
 */
import { CarillonError } from "../../../core/errors.ts";
import type { Disk } from "../../runtime.ts";
import { parseKey } from "../identity.ts";
import { parseJoin } from "./token.ts";

export const learnedFile = "learned.keys";
/** A cluster has far fewer nodes than such a file has room for. */
const fileBytesMax = 8 << 20;

export interface LearnedKey {
  /** Its name. */
  readonly node: string;
  /** The listing (`cj1_…`) under which the node showed the key: while another is listed, the key does not count. */
  readonly join: string;
  /** `ck1_…` */
  readonly key: string;
}

export function learnedText(keys: readonly LearnedKey[]): string {
  return [
    "# Keys of nodes that the cluster's file lists by a join token, as they have shown them: node, token, key. Kept by Carillon.",
    ...keys.map(({ node, join, key }) => `${node} ${join} ${key}`),
    "",
  ].join("\n");
}

/** What `learnedText` says. Throws CarillonError `config`. */
export function parseLearned(text: string, place: string): readonly LearnedKey[] {
  return text.split("\n").flatMap((line, index) => {
    if (line === "" || line.startsWith("#")) return [];
    const [node, join, key, ...rest] = line.split(" ");
    if (!node || parseJoin(join ?? "") === null || parseKey(key ?? "") === null || rest.length > 0) {
      throw new CarillonError(
        "config",
        `Cannot read learned keys from ${place}, line ${index + 1}: a line is a node, its join token's listing and its key; ` +
          `move the file away, and list the keys of the nodes it names in the cluster's file`,
      );
    }
    return [{ node, join: join!, key: key! }];
  });
}

/** `disk`: null where nothing is kept beyond this process. Throws CarillonError `config` for a file that is damaged. */
export async function readLearned(disk: Disk | null): Promise<readonly LearnedKey[]> {
  if (disk === null || !(await disk.list()).includes(learnedFile)) return [];
  const bytes = await disk.read(learnedFile, 0, Math.min(await disk.size(learnedFile), fileBytesMax));
  return parseLearned(new TextDecoder().decode(bytes), `${disk.root}/${learnedFile}`);
}

/** Durable once it resolves. */
export async function keepLearned(disk: Disk | null, keys: readonly LearnedKey[]): Promise<void> {
  await disk?.replace(learnedFile, new TextEncoder().encode(learnedText(keys)));
}
