/** Run by the lock's test as a process of its own: locks the directory it is given, says what came of it, and holds it until killed. */
import process from "node:process";
import { runtime } from "#runtime";

const disk = await runtime.openDisk(process.argv.at(-1)!);
try {
  await disk.lock();
  console.log("locked");
  setInterval(() => {}, 1_000);
} catch (error) {
  console.log((error as Error).message);
  process.exit(1);
}
