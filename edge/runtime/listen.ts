/** Why a server could not begin, in one sentence whatever the runtime calls it. */
import { CarillonError } from "../../core/errors.ts";

export function cannotListen({ host, port }: { readonly host: string; readonly port: number }, cause: unknown): CarillonError {
  const { code, name, message } = cause as Error & { readonly code?: string };
  const inUse = code === "EADDRINUSE" || name === "AddrInUse";
  return new CarillonError("config", `Cannot listen on ${host}:${port}: ${inUse ? "the port is in use" : message}`, { cause });
}
