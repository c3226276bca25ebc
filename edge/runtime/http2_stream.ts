/**
 * Outgoing streams on node:http2, each on a connection of its own: a link that is stuck then holds up
 * nobody else's. Not for Deno, whose node:http2 ends the process now and then.
 */
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import type { OutgoingStream, OutgoingStreamEvents } from "../runtime.ts";

const windowBytes = 1 << 20;
/**
 * Ours, because Node's own mark cannot be set. Little is handed over at a time: what waits inside node:http2 is copied together
 * there, while the sender's own queue joins neighbours without a copy.
 */
const highWaterBytes = 32 << 10;

export function openStream(url: string, headers: Readonly<Record<string, string>>, events: OutgoingStreamEvents): OutgoingStream {
  const { origin, hostname, port, pathname, search } = new URL(url);
  const session = connectHttp2(origin, {
    createConnection: () => connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80), noDelay: true }),
    settings: { enablePush: false, initialWindowSize: windowBytes },
  });
  const stream = session.request({ ...headers, ":method": "POST", ":path": pathname + search }, { endStream: false });
  let reason: string | null = null;
  let told = false;
  let open = true;
  let pending = 0;
  let full = false;

  const close = (why: string): void => {
    open = false;
    reason ??= why;
    stream.destroy();
    session.destroy();
    if (told) return;
    told = true;
    setTimeout(() => events.onClose(reason!), 0);
  };
  stream.on("response", (response) => {
    const status = response[":status"] ?? 0;
    if (open) events.onAnswer?.(status, (name) => response[name]?.toString() ?? null);
    if (status !== 200) return close(`the peer answered ${status}`);
    if (open) events.onOpen();
  });
  stream.on("error", (error) => close(error.message));
  session.on("error", (error) => close(error.message));
  stream.on("close", () => close("the peer closed the stream"));
  session.on("close", () => close("the connection closed"));
  // The answer has no content of interest, but its end is news.
  stream.on("end", () => close("the peer ended the stream"));
  stream.resume();

  return {
    write(bytes: Uint8Array): boolean {
      if (!open) return false;
      pending += bytes.byteLength;
      full = pending >= highWaterBytes;
      stream.write(bytes, () => {
        pending -= bytes.byteLength;
        if (!full || pending > 0) return;
        full = false;
        if (open) events.onDrain();
      });
      return !full;
    },
    close: () => close("closed here"),
  };
}
