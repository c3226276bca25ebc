/** One process per directory, whatever runtime it is, until it ends, however it ends. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

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
