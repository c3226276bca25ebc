/** One HTTP exchange as the client needs it, whoever carries it out: the platform's `fetch`, or undici on Node. */
import { sentOnce } from "../once.ts";

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

export const sendByFetch: Send = async (url, { method, headers, body, signal }) => {
  const bytes = typeof body === "string" ? utf8.encode(body) : body ?? null;
  const response = await fetch(url, { method, headers, signal, redirect: "error", ...(method === "GET" ? {} : sentOnce(bytes)) });
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
