/** Where datagrams come from and go to: an IP address as text, and a port. */
import type { Address } from "./paths.ts";

export function sameAddress(a: Address, b: Address): boolean {
  return a.port === b.port && a.host === b.host;
}

/** What somebody has who has one address: the /24 of an IPv4 address, the /64 of an IPv6 address. */
export function neighbourhood(host: string): string {
  if (!host.includes(":")) return host.slice(0, host.lastIndexOf("."));
  const [before = "", after] = host.split("%")[0]!.split("::");
  const groups = before === "" ? [] : before.split(":");
  if (after !== undefined) {
    const last = after === "" ? [] : after.split(":");
    while (groups.length + last.length < 8) groups.push("0");
    groups.push(...last);
  }
  return groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(":");
}
