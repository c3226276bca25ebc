/**
 * `open`: a Carillon in this process, or one reached over HTTP. The same interface either way.
 */
import type { Carillon } from "../services/api.ts";
import { connect, type ConnectOptions } from "./client.ts";
import type { LocalCarillon, NodeOptions } from "./embedded/options.ts";
import { runtime } from "#runtime";

export type { ConnectOptions } from "./client.ts";
export type { LocalCarillon, NodeOptions, PublicKeys } from "./embedded/options.ts";

/** Connects to running nodes; nothing is sent before the first call. Throws CarillonError `config` for a URL that is none. */
export function open(urls: string | readonly string[], options?: ConnectOptions): Promise<Carillon>;
/**
 * Starts a node in this process. Resolves once it listens, and for a node alone (or with `readyWithinMs`) once it is ready.
 * Throws CarillonError `config` for a topology, directory or address that cannot be used, `corrupt` for a damaged journal,
 * `joining` if it is not ready in time.
 */
export function open(options?: NodeOptions): Promise<LocalCarillon>;
export async function open(
  target: string | readonly string[] | NodeOptions = {},
  options: ConnectOptions = {},
): Promise<Carillon | LocalCarillon> {
  if (typeof target === "string" || Array.isArray(target)) return await connectFromHere(target, options);
  // Loaded only by who starts a node: a command that asks one starts faster without.
  const { openNode } = await import("./embedded/node.ts");
  return await openNode(target as NodeOptions);
}

/** On Node through undici, elsewhere by the platform's own `fetch`. */
async function connectFromHere(urls: string | readonly string[], options: ConnectOptions): Promise<Carillon> {
  if (runtime.name !== "node" || options.send !== undefined) return connect(urls, options);
  const { newUndiciSend } = await import("./client/undici.ts");
  const { send, close } = newUndiciSend();
  return connect(urls, {
    ...options,
    send,
    onClose: async () => {
      await close();
      await options.onClose?.();
    },
  });
}
