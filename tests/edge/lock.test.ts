/** One process per directory, whatever runtime it is, until it ends, however it ends. */
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { lockDirectory } from "../../edge/runtime/lock.ts";

const root = join(import.meta.dir, "../..");

interface Holder {
  readonly said: string;
  kill(): Promise<void>;
}

async function hold(command: readonly string[], directory: string): Promise<Holder> {
  const child = Bun.spawn([...command, directory], { cwd: root, stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  return {
    said: new TextDecoder().decode(value).trim(),
    async kill(): Promise<void> {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

test("a second process is refused, and a killed one holds nothing", async () => {
  const directory = await mkdtemp(join(tmpdir(), "carillon-lock-"));
  const source = join(import.meta.dir, "lock_holder.ts");
  const bundle = join(directory, "node.mjs");
  try {
    await Bun.build({ entrypoints: [source], target: "node", outdir: directory, naming: "node.mjs" });
    const commands = [[process.execPath, source], [join(root, "node_modules/.bin/deno"), "run", "-A", source], ["node", bundle]];
    const data = join(directory, "data");
    for (const command of commands) {
      const first = await hold(command, data);
      expect(first.said).toBe("locked");
      for (const other of commands) {
        const second = await hold(other, data);
        expect(second.said).toBe(`Cannot use "${data}": another process is using it`);
        await second.kill();
      }
      await first.kill();
    }
  } finally {
    await rm(directory, { recursive: true });
  }
}, 30_000);

test("a directory that is removed while it is locked does not leave its lock to a new one", async () => {
  const directory = await mkdtemp(join(tmpdir(), "carillon-lock-"));
  const releases: (() => Promise<void>)[] = [];
  try {
    const gone = join(directory, "gone");
    await mkdir(gone);
    releases.push(await lockDirectory(gone));
    await rm(gone, { recursive: true });
    // File systems give numbers that are free again to the next.
    for (let number = 0; number < 50; number++) {
      const fresh = join(directory, `${number}`);
      await mkdir(fresh);
      releases.push(await lockDirectory(fresh));
    }
  } finally {
    for (const release of releases) await release();
    await rm(directory, { recursive: true });
  }
});
