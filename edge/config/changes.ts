/** What of a changed configuration a running node does not take over: everything but the lists of keys. */
import type { Config } from "../config.ts";

/** The settings and sections that are others, by name. */
export function waitingIn(before: Config, after: Config): string[] {
  const values = new Map(before.origins.map(({ key, value }) => [key, value]));
  const settings = after.origins.filter(({ key, value }) => values.get(key) !== value).map(({ key }) => key);
  // Where it is written down itself, its value is not shown.
  if (before.token !== after.token && !settings.includes("listen.token")) settings.push("listen.token");
  const sections: [string, (config: Config) => unknown][] = [
    ["[[nodes]]", ({ topology }) => topology.nodes],
    ["[groups]", ({ topology }) => topology.groups ?? []],
    ["[dev]", ({ delays }) => [...delays]],
  ];
  const differ = sections.filter(([, part]) => JSON.stringify(part(before)) !== JSON.stringify(part(after)));
  return [...settings, ...differ.map(([name]) => name)];
}
