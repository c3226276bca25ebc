/** IP addresses as text: an IPv4 address looks the same whichever kind of socket speaks to it. */
import { lookup } from "node:dns/promises";
import { isIPv4 } from "node:net";
import { cannotListen } from "./listen.ts";

const mapped = "::ffff:";

/** A socket for both kinds of address calls those of IPv4 by a longer name. */
export function plainAddress(host: string): string {
  return host.startsWith(mapped) && isIPv4(host.slice(mapped.length)) ? host.slice(mapped.length) : host;
}

/** What such a socket has to be told. */
export function mappedAddress(host: string): string {
  return isIPv4(host) ? mapped + host : host;
}

/** Null if there is no such name now. */
export async function resolve(host: string): Promise<string | null> {
  return await lookup(host).then(({ address }) => address, () => null);
}

/** Throws CarillonError `config` for a name that nobody has. */
export async function ownAddress({ host, port }: { readonly host: string; readonly port: number }): Promise<string> {
  const found = await resolve(host);
  if (found === null) throw cannotListen({ host, port }, Object.assign(new Error(`no address of ${host}`), { code: "ENOTFOUND" }));
  return found;
}
