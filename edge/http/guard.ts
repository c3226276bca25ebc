/**
 * Who may ask. With a token: whoever sends it. Without one, anybody who reaches the port, except web pages of other
 * origins: a browser would carry out their requests with the user's network position.
 */
import { CarillonError } from "../../core/errors.ts";
import type { AppContext } from "./context.ts";

/** Throws `unauthenticated` or `forbidden`. */
export function guard(context: AppContext, request: Request): void {
  const { token, hosts } = context;
  if (token !== undefined && token !== null) {
    const sent = request.headers.get("authorization");
    if (sent === null) throw new CarillonError("unauthenticated", "Cannot answer: the request has no `Authorization: Bearer …` header");
    if (!sameText(sent, `Bearer ${token}`)) throw new CarillonError("unauthenticated", "Cannot answer: the token is not this node's");
    return;
  }
  const host = hostOf(request.url);
  if (hosts !== undefined && !hosts.includes(nameOf(host))) {
    throw new CarillonError(
      "forbidden",
      `Cannot answer: "${nameOf(host)}" is no name of this node; call it by one of its own or set a token`,
    );
  }
  const origin = request.headers.get("origin");
  if (origin !== null && hostOf(origin) !== host) {
    throw new CarillonError("forbidden", `Cannot answer: pages of ${JSON.stringify(origin)} may not use this node, which has no token`);
  }
}

/** Takes the same time wherever the texts differ, so that nobody can guess a token letter by letter. */
function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < b.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
}

/** `host:port` of a URL that has been parsed once already. */
function hostOf(url: string): string {
  const from = url.indexOf("://") + 3;
  const to = url.indexOf("/", from);
  return to === -1 ? url.slice(from) : url.slice(from, to);
}

function nameOf(host: string): string {
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]") ? host.slice(0, colon) : host;
}
