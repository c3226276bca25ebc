/** On Node a pooled undici request costs a tenth of the global `fetch`. Bun and Deno have better fetches of their own. */
import { Agent, request } from "undici";
import type { Send } from "./send.ts";

/** One pool of connections, and how to close it. */
export function newUndiciSend(): { readonly send: Send; readonly close: () => Promise<void> } {
  // The transport has deadlines of its own, and streams may be quiet for long.
  const dispatcher = new Agent({ bodyTimeout: 0, headersTimeout: 0, connections: 64, connect: { timeout: 5_000 } });
  const send: Send = async (url, { method, headers, body, signal }) => {
    const answer = await request(url, { dispatcher, method: method as "GET", headers, signal, body: body ?? null });
    // An aborted exchange emits an error even when nobody reads any more.
    answer.body.on("error", () => {});
    return {
      status: answer.statusCode,
      header: (name) => {
        const value = answer.headers[name.toLowerCase()];
        return value === undefined ? null : Array.isArray(value) ? value.join(", ") : value;
      },
      bytes: async () => new Uint8Array(await answer.body.arrayBuffer()),
      chunks: () => answer.body as AsyncIterable<Uint8Array>,
      discard: async () => {
        answer.body.destroy();
        await Promise.resolve();
      },
    };
  };
  return { send, close: () => dispatcher.destroy() };
}
