/** Key files are for their owner alone, and never overwritten, on every runtime. */
import { chmod, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addKey, dropKeys, makeKeyFile, readKeyFile } from "../../edge/link/key_file.ts";
import { keyText } from "../../edge/link/identity.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { equal, ok, rejects, test } from "./check.ts";

export function keyFiles(runtime: Runtime): void {
  test("key files: made once with mode 600, added to, dropped from, and refused where others may read them", async () => {
    const directory = await mkdtemp(join(tmpdir(), "carillon-keys-"));
    try {
      const path = join(directory, "deep", "node.key");
      const [first] = (await makeKeyFile(path, runtime)).keys;
      const text = await readFile(path, "utf8");
      equal((await stat(path)).mode & 0o777, 0o600, "mode");
      equal((await makeKeyFile(path, runtime)).made, false);
      equal(await readFile(path, "utf8"), text, "file that was there");
      const young = keyText((await addKey(path, runtime))[1]!.publicKey);
      equal((await dropKeys(path, [young], runtime)).dropped, [keyText(first!.publicKey)]);
      equal((await readKeyFile(path, runtime.cryptography)).map(({ publicKey }) => keyText(publicKey)), [young]);
      equal((await stat(path)).mode & 0o777, 0o600, "mode after both");
      await chmod(path, 0o640);
      const refusal = await rejects(readKeyFile(path, runtime.cryptography), "config");
      ok(refusal.message.includes("chmod 600"), "it says what to do");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
}
