/** IP addresses as text: an IPv4 address looks the same whichever kind of socket speaks to it. */
import { isIPv4 } from "node:net";

const mapped = "::ffff:";

/** A socket for both kinds of address calls those of IPv4 by a longer name. */
export function plainAddress(host: string): string {
  return host.startsWith(mapped) && isIPv4(host.slice(mapped.length)) ? host.slice(mapped.length) : host;
}

/** What such a socket has to be told. */
export function mappedAddress(host: string): string {
  return isIPv4(host) ? mapped + host : host;
}
