/**
 * Closed-loop clients as streams of one cleartext HTTP/2 connection, framed by hand (RFC 9113): the
 * runtime's own client costs ten times what the servers under test do. Requests are small, so only
 * the connection's window can run out, not a stream's.
 */
import type { Socket } from "bun";
import type { Template } from "./request.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const endStream = 1;
const acknowledge = 1;
const endHeaders = 4;
/** What the server may send before it hears from us again. */
const receiveWindow = 1 << 30;

export interface Http2Connection {
  /** Sends a request for one of the clients; what is sent in one turn leaves as one write. */
  send(client: number, request: Template): void;
  close(): void;
}

/** `onAnswer(client, status)` once per request: status 0 if it broke, 599 for an answer 200 without a body (a failed gRPC call). */
export async function connectHttp2(
  host: string,
  port: number,
  onAnswer: (client: number, status: number) => void,
): Promise<Http2Connection> {
  const connection = new Streams(onAnswer);
  connection.socket = await Bun.connect<undefined>({
    hostname: host,
    port,
    socket: {
      data: (_socket, chunk) => connection.receive(chunk),
      drain: () => connection.flush(),
      close: () => connection.broken(),
      error() {},
    },
  });
  connection.socket.setNoDelay(true);
  connection.open();
  return connection;
}

interface Stream {
  readonly client: number;
  status: number;
  body: boolean;
}

class Streams implements Http2Connection {
  socket: Socket<undefined> | null = null;
  readonly #onAnswer: (client: number, status: number) => void;
  readonly #streams = new Map<number, Stream>();
  #nextId = 1;
  #sendWindow = 65_535;
  #consumed = 0;
  #rest: Buffer | null = null;
  /** Encoded and not yet taken by the socket: `#out[0 … #outBytes]`. */
  #out = Buffer.alloc(256 << 10);
  #outBytes = 0;
  /** Requests the connection window has no room for. */
  readonly #held: { client: number; head: Buffer; body: Buffer }[] = [];
  #flushing = false;
  #closed = false;

  constructor(onAnswer: (client: number, status: number) => void) {
    this.#onAnswer = onAnswer;
  }

  open(): void {
    this.#append(preface);
    // No dynamic header table (so that a status is a constant), no push, a large window per stream.
    const settings = Buffer.alloc(18);
    [[1, 0], [2, 0], [4, receiveWindow]].forEach(([id, value], index) => {
      settings.writeUInt16BE(id!, index * 6);
      settings.writeUInt32BE(value!, index * 6 + 2);
    });
    this.#frame(frame.settings, 0, 0, settings);
    this.#grant(receiveWindow);
    this.flush();
  }

  send(client: number, request: Template): void {
    if (this.#closed) return queueMicrotask(() => this.#onAnswer(client, 0));
    if (this.#held.length > 0 || request.body.length > this.#sendWindow) {
      // The template is patched for the next key only after this answer, but other clients may share it.
      this.#held.push({ client, head: Buffer.from(request.head), body: Buffer.from(request.body) });
    } else this.#start(client, request.head, request.body);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.flush());
  }

  receive(chunk: Buffer): void {
    const bytes: Buffer = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 9) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes.length - at < 9 + length) break;
      this.#onFrame(bytes[at + 3]!, bytes[at + 4]!, bytes.readUInt32BE(at + 5) & 0x7fff_ffff, bytes, at + 9, at + 9 + length);
      at += 9 + length;
    }
    this.#rest = at === bytes.length ? null : Buffer.from(bytes.subarray(at));
    if (this.#consumed > receiveWindow / 2) this.#grant(this.#consumed);
    this.flush();
  }

  flush(): void {
    this.#flushing = false;
    if (this.#outBytes === 0 || this.socket === null || this.#closed) return;
    const written = Math.max(0, this.socket.write(this.#out.subarray(0, this.#outBytes)));
    this.#out.copyWithin(0, written, this.#outBytes);
    this.#outBytes -= written;
  }

  broken(): void {
    this.#closed = true;
    const clients = [...this.#streams.values()].map((stream) => stream.client).concat(this.#held.map((held) => held.client));
    this.#streams.clear();
    this.#held.length = 0;
    for (const client of clients) this.#onAnswer(client, 0);
  }

  close(): void {
    this.#closed = true;
    this.socket?.end();
  }

  #start(client: number, head: Buffer, body: Buffer): void {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, { client, status: 0, body: false });
    this.#frame(frame.headers, endHeaders | (body.length === 0 ? endStream : 0), id, head);
    if (body.length > 0) this.#frame(frame.data, endStream, id, body);
    this.#sendWindow -= body.length;
  }

  #onFrame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number): void {
    const stream = this.#streams.get(id);
    switch (type) {
      case frame.headers:
        // Trailers come as headers too: only the first block has the status.
        if (stream !== undefined && stream.status === 0) {
          stream.status = readStatus(bytes, from + (flags & 0x08 ? 1 : 0) + (flags & 0x20 ? 5 : 0));
        }
        break;
      case frame.data:
        this.#consumed += to - from;
        if (stream !== undefined && to > from) stream.body = true;
        break;
      case frame.reset:
        if (stream !== undefined) stream.status = 0;
        this.#finish(id, stream);
        return;
      case frame.settings:
        if ((flags & acknowledge) === 0) this.#frame(frame.settings, acknowledge, 0, Buffer.alloc(0));
        return;
      case frame.ping:
        if ((flags & acknowledge) === 0) this.#frame(frame.ping, acknowledge, 0, bytes.subarray(from, to));
        return;
      case frame.windowUpdate:
        if (id === 0) this.#sendWindow += bytes.readUInt32BE(from);
        while (this.#held.length > 0 && this.#held[0]!.body.length <= this.#sendWindow) {
          const { client, head, body } = this.#held.shift()!;
          this.#start(client, head, body);
        }
        return;
      case frame.goAway:
        this.socket?.end();
        return;
    }
    if ((type === frame.headers || type === frame.data) && (flags & endStream) !== 0) this.#finish(id, stream);
  }

  #finish(id: number, stream: Stream | undefined): void {
    if (stream === undefined) return;
    this.#streams.delete(id);
    this.#onAnswer(stream.client, stream.status === 200 && !stream.body ? 599 : stream.status);
  }

  #grant(bytes: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    this.#frame(frame.windowUpdate, 0, 0, payload);
    this.#consumed = 0;
  }

  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    const at = this.#reserve(9 + payload.length);
    this.#out.writeUIntBE(payload.length, at, 3);
    this.#out[at + 3] = type;
    this.#out[at + 4] = flags;
    this.#out.writeUInt32BE(id, at + 5);
    payload.copy(this.#out, at + 9);
  }

  #append(bytes: Buffer): void {
    bytes.copy(this.#out, this.#reserve(bytes.length));
  }

  #reserve(bytes: number): number {
    const at = this.#outBytes;
    this.#outBytes += bytes;
    if (this.#outBytes > this.#out.length) this.#out = Buffer.concat([this.#out], this.#outBytes * 2);
    return at;
  }
}

const staticStatus = [200, 204, 206, 304, 400, 404, 500];

/** The first field of a header block is `:status`, from the static table or as a literal of three digits. */
export function readStatus(bytes: Buffer, at: number): number {
  // Before it may stand changes of the dynamic table's size (001…).
  while ((bytes[at]! & 0xe0) === 0x20) at++;
  const first = bytes[at]!;
  if (first >= 0x88 && first <= 0x8e) return staticStatus[first - 0x88]!;
  const length = bytes[at + 1]!;
  if ((length & 0x80) === 0) return Number(bytes.toString("latin1", at + 2, at + 5));
  return huffmanDigits(bytes, at + 2);
}

/** Three digits in HPACK's Huffman code: 0 to 2 have five bits (00000 …), 3 to 9 six (011001 …). */
function huffmanDigits(bytes: Buffer, at: number): number {
  const bits = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | (bytes[at + 2] ?? 0xff);
  let from = 24;
  let value = 0;
  for (let digit = 0; digit < 3; digit++) {
    const five = (bits >> (from - 5)) & 31;
    if (five <= 2) {
      value = value * 10 + five;
      from -= 5;
    } else {
      value = value * 10 + ((bits >> (from - 6)) & 63) - 0b011001 + 3;
      from -= 6;
    }
  }
  return value;
}
