/** Meddles with system calls of a running node by strace(1): makes what is to be durable fail, or take its time. */
import type { RealNode } from "./real_cluster.ts";

/** A batch of the journal is one synchronous write, or a write and fdatasync (docs/journal.md). */
const calls = "fdatasync,pwrite64";

/** null if system calls of other processes can be tampered with here, else why not. */
export function noTampering(): string | null {
  if (Bun.which("strace") === null) return "strace is not installed";
  const { exitCode, stderr } = Bun.spawnSync(["strace", "-o", "/dev/null", "-e", `inject=${calls}:delay_enter=1`, "true"]);
  return exitCode === 0 ? null : `strace does not work here: ${stderr.toString().trim()}`;
}

/** From now until disposed, writes and syncs of this node do what `injection` says (see strace(1)). */
export async function tamper(node: RealNode, injection: string): Promise<AsyncDisposable> {
  const tracer = Bun.spawn([
    "strace",
    "-f",
    "-o",
    "/dev/null",
    "-e",
    `trace=${calls}`,
    "-e",
    `inject=${calls}:${injection}`,
    "-p",
    `${node.pid}`,
  ], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const reader = tracer.stderr.getReader();
  const { value } = await reader.read();
  const words = new TextDecoder().decode(value);
  if (!words.includes("attached")) throw new Error(`Cannot tamper with ${node.name}: strace says ${words.trim()}`);
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      tracer.kill("SIGINT");
      await tracer.exited;
      await reader.cancel();
    },
  };
}
