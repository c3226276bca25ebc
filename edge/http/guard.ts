/**
 * Who may ask. With tokens: whoever sends one of them. Without any, anybody who reaches the port, except web pages of other
 * origins: a browser would carry out their requests with the user's network position.
 */
import { CarillonError } from "../../core/errors.ts";
import type { AppContext } from "./context.ts";

/** Throws `unauthenticated` or `forbidden`. */
export function guard(context: AppContext, request: Request): void {
  const { tokens, hosts } = context;
  if (tokens !== undefined && !tokens.none) {
    const sent = request.headers.get("authorization");
    if (sent === null) throw new CarillonError("unauthenticated", "Cannot answer: the request has no `Authorization: Bearer …` header");
    if (!tokens.admits(sent)) throw new CarillonError("unauthenticated", "Cannot answer: the token is not this node's");
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
