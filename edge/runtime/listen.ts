/** Why a server could not begin, in one sentence whatever the runtime calls it. */
import { CarillonError } from "../../core/errors.ts";

/** By Node's codes and Deno's names; Bun says EAGAIN where it does not find the host. */
const troubles: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use",
  AddrInUse: "the port is in use",
  EADDRNOTAVAIL: "this machine has no such address",
  AddrNotAvailable: "this machine has no such address",
  ENOTFOUND: "no host of that name is known",
  EAI_AGAIN: "no host of that name is known",
  EAGAIN: "no host of that name is known",
  EACCES: "this user may not use that port",
};

export function cannotListen({ host, port }: { readonly host: string; readonly port: number }, cause: unknown): CarillonError {
  const { code, name, message } = cause as Error & { readonly code?: string };
  const trouble = troubles[code ?? ""] ?? troubles[name] ?? message;
  return new CarillonError("config", `Cannot listen on ${host}:${port}: ${trouble}`, { cause });
}
