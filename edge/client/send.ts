/** One HTTP exchange as the client needs it, whoever carries it out: the platform's `fetch`, or undici on Node. */

export interface Outgoing {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  /** Case does not matter; null if absent. */
  header(name: string): string | null;
  /** The whole body. */
  bytes(): Promise<Uint8Array>;
  /** The body as it comes. Leaving the loop ends the exchange. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Ends the exchange without reading the body. */
  discard(): Promise<void>;
}

export type Send = (url: string, outgoing: Outgoing) => Promise<Answer>;

/**
 * `fetch` repeats a request by itself when a connection it had kept turns out to be closed: Bun repeats PUT and DELETE, Deno
 * also POST. The node may have carried out the first one; a repeated append is a second record, a repeated compare-and-set
 * loses against itself. A body that can be read only once cannot be repeated, and a connection of its own is never stale.
 */
export const sendByFetch: Send = async (url, { method, headers, body, signal }) => {
  const write = method === "GET"
    ? {}
    : { body: once(body), duplex: "half", ...(body === undefined || body.length === 0 ? { keepalive: false } : {}) };
  const response = await fetch(url, { method, headers, signal, redirect: "error", ...write } as RequestInit);
  return {
    status: response.status,
    header: (name) => response.headers.get(name),
    bytes: async () => new Uint8Array(await response.arrayBuffer()),
    chunks: () => chunksOf(response.body),
    discard: async () => {
      await response.body?.cancel().catch(() => {});
    },
  };
};

const utf8 = new TextEncoder();

function once(body: Uint8Array | string | undefined): ReadableStream<Uint8Array> {
  const bytes = typeof body === "string" ? utf8.encode(body) : body;
  return new ReadableStream({
    start(controller): void {
      if (bytes !== undefined && bytes.byteLength > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

async function* chunksOf(body: ReadableStream<Uint8Array> | null): AsyncIterable<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
