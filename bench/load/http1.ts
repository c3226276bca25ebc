/** A closed-loop client on its own HTTP/1.1 connection: one request in flight, parsed just far enough to know its end. */
import type { Socket } from "bun";

export interface Connection {
  /** Sends one request; `onAnswer` is called when the whole answer is there. */
  send(request: Buffer): void;
  close(): void;
}

/** `onAnswer(status)` once per request; status 0 if the connection broke. */
export async function connectHttp1(host: string, port: number, onAnswer: (status: number) => void): Promise<Connection> {
  let rest: Buffer | null = null;
  let unsent: Buffer | null = null;
  let waiting = false;
  let closed = false;
  const finish = (status: number) => {
    waiting = false;
    rest = null;
    onAnswer(status);
  };
  const socket: Socket<undefined> = await Bun.connect<undefined>({
    hostname: host,
    port,
    socket: {
      data(_socket, chunk) {
        if (!waiting) return;
        const bytes: Buffer = rest === null ? chunk : Buffer.concat([rest, chunk]);
        const end = answerEnd(bytes);
        // The runtime may reuse the chunk it handed out, so what is kept is copied.
        if (end < 0 || end > bytes.length) rest = rest === null ? Buffer.from(chunk) : bytes;
        else finish(statusOf(bytes));
      },
      drain(socket) {
        if (unsent === null) return;
        const written = socket.write(unsent);
        unsent = written < unsent.length ? unsent.subarray(Math.max(0, written)) : null;
      },
      close() {
        closed = true;
        if (waiting) finish(0);
      },
      error() {},
    },
  });
  socket.setNoDelay(true);
  return {
    send(request) {
      waiting = true;
      if (closed) return queueMicrotask(() => finish(0));
      const written = socket.write(request);
      if (written < request.length) unsent = Buffer.from(request.subarray(Math.max(0, written)));
    },
    close() {
      closed = true;
      socket.end();
    },
  };
}

/** Where the answer ends, or −1 if that cannot be said yet. */
export function answerEnd(bytes: Buffer): number {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return -1;
  const head = bytes.toString("latin1", 0, headEnd);
  const body = headEnd + 4;
  const status = statusOf(bytes);
  if (status === 204 || status === 304) return body;
  const length = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (length !== null) return body + Number(length[1]);
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return body;
  const last = bytes.indexOf("0\r\n\r\n", body);
  return last === body || (last > body && bytes[last - 1] === 10) ? last + 5 : -1;
}

/** "HTTP/1.1 201 …" */
export function statusOf(bytes: Buffer): number {
  return (bytes[9]! - 48) * 100 + (bytes[10]! - 48) * 10 + bytes[11]! - 48;
}
