/** What of a changed configuration a running node does not take over: everything but keys and tokens. */
import type { Config } from "../config.ts";

/** The settings and sections that are others, by name. */
export function waitingIn(before: Config, after: Config): string[] {
  const values = new Map(before.origins.map(({ key, value }) => [key, value]));
  const changed = after.origins.filter(({ key, value }) => key !== "listen.token" && values.get(key) !== value);
  const sections: [string, (config: Config) => unknown][] = [
    ["[[nodes]]", ({ topology }) => topology.nodes],
    ["[groups]", ({ topology }) => topology.groups ?? []],
    ["[dev]", ({ delays }) => [...delays]],
  ];
  const differ = sections.filter(([, part]) => JSON.stringify(part(before)) !== JSON.stringify(part(after)));
  return [...changed.map(({ key }) => key), ...differ.map(([name]) => name)];
}
