/** Outgoing streams as the request body of a `fetch` that answers while it is still being sent. */
import type { OutgoingStream, OutgoingStreamEvents } from "../runtime.ts";

const highWaterBytes = 1 << 20;
const explainMs = 100;

/** `init` is what makes the runtime's own `fetch` speak HTTP/2. */
export function openFetchStream(
  url: string,
  headers: Readonly<Record<string, string>>,
  events: OutgoingStreamEvents,
  init: object,
): OutgoingStream {
  const aborter = new AbortController();
  let open = true;
  let full = false;
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start(given): void {
      controller = given;
    },
    pull(): void {
      if (!full) return;
      full = false;
      if (open) events.onDrain();
    },
    cancel(): void {
      // An answer that explains it may be right behind.
      setTimeout(() => close("the peer stopped reading"), explainMs);
    },
  }, new ByteLengthQueuingStrategy({ highWaterMark: highWaterBytes }));

  const close = (reason: string): void => {
    if (!open) return;
    open = false;
    aborter.abort();
    try {
      // Deno lets go of a request only when its body fails.
      controller.error(new Error(reason));
    } catch {
      // Cancelled already.
    }
    setTimeout(() => events.onClose(reason), 0);
  };

  const run = async (): Promise<void> => {
    const request = { method: "POST", headers, body, duplex: "half", signal: aborter.signal, ...init };
    const response = await fetch(url, request as RequestInit);
    if (open) events.onAnswer?.(response.status, (name) => response.headers.get(name));
    if (response.status !== 200) {
      close(`the peer answered ${response.status}`);
      return;
    }
    if (open) events.onOpen();
    // The answer has no content of interest, but its end is news.
    for await (const _ of response.body ?? []);
    close("the peer ended the stream");
  };
  run().catch((error: unknown) => close(error instanceof Error ? error.message : String(error)));

  return {
    write(bytes: Uint8Array): boolean {
      if (!open) return false;
      try {
        controller.enqueue(bytes);
      } catch {
        // Cancelled: onClose is on its way.
        return false;
      }
      full = (controller.desiredSize ?? 0) <= 0;
      return !full;
    },
    close: () => close("closed here"),
  };
}
