/**
 * A write is sent once. `fetch` repeats a request by itself when a connection it had kept turns out to be closed: Bun repeats
 * PUT and DELETE, Deno also POST. The node may have carried out the first one; a repeated append is a second record, a
 * repeated compare-and-set loses against itself. A body that can be read only once cannot be repeated, and a connection of
 * its own is never stale.
 */

/** What to give `fetch` for a write with this body, beside method and headers. */
export function sentOnce(body: Uint8Array | null): RequestInit {
  const empty = body === null || body.byteLength === 0;
  const stream = new ReadableStream<Uint8Array>({
    start(controller): void {
      if (!empty) controller.enqueue(body);
      controller.close();
    },
  });
  // Bun takes an empty stream for no body at all; then only a fresh connection is safe.
  return { body: stream, duplex: "half", ...(empty ? { keepalive: false } : {}) } as RequestInit;
}
