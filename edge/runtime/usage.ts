/** What this process takes of the machine: for `/metrics`. */
import process from "node:process";

export function processUsage(): { readonly residentBytes: number; readonly cpuSeconds: number } {
  const { user, system } = process.cpuUsage();
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
}
