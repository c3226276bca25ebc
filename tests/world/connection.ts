/** One stream between two nodes, with the process at each end: bytes one way, an answer and its end the other. */
import type { NodeId } from "../../core/ids.ts";
import type { OutgoingStream, OutgoingStreamEvents } from "../../edge/runtime.ts";
import type { Life, Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import { Way } from "./way.ts";

/** What a sender may have under way before it is told to wait. */
const windowBytes = 256 << 10;

type Reading = (result: { readonly done: boolean; readonly value: Uint8Array | undefined }) => void;

export class Connection {
  readonly stream: OutgoingStream;
  /** The machine that lost its power and has not said so. */
  silentAt: NodeId = 0;
  readonly #network: Network;
  readonly #client: Life;
  readonly #machine: Machine;
  #server: Life | null = null;
  readonly #out: Way;
  readonly #back: Way;
  readonly #events: OutgoingStreamEvents;
  /** As the client sees it, and whether it has been told the end. */
  #open = true;
  #told = false;
  #pending = 0;
  #full = false;
  /** The server's side of the body. */
  readonly #arrived: Uint8Array[] = [];
  #reading: Reading | null = null;
  #ended = false;

  constructor(
    network: Network,
    client: Life,
    machine: Machine,
    request: { readonly url: string; readonly headers: Readonly<Record<string, string>> },
    events: OutgoingStreamEvents,
  ) {
    this.#network = network;
    this.#client = client;
    this.#machine = machine;
    this.#events = events;
    this.#out = new Way(network, client.machine.id, machine.id);
    this.#back = new Way(network, machine.id, client.machine.id);
    this.stream = { write: (bytes) => this.#write(bytes), close: () => this.#close() };
    this.#out.send(200, () => this.#request(request));
  }

  joins(a: NodeId, b: NodeId): boolean {
    return this.touches(a) && this.touches(b);
  }

  touches(machine: NodeId): boolean {
    return this.#client.machine.id === machine || this.#machine.id === machine;
  }

  /** Broken in the middle: what was under way is lost, and both sides notice. */
  reset(): void {
    this.#out.end();
    this.#back.end();
    this.#endBody();
    this.#tell("the connection broke");
  }

  /** The process at one end is gone, and its system says so. */
  hangUp(machine: NodeId): void {
    if (machine === this.#client.machine.id) {
      this.#out.send(0, () => this.#endBody());
      this.#network.forget(this);
    } else {
      this.#out.end();
      this.#back.send(40, () => this.#tell("the connection was reset"));
    }
  }

  /** The machine at one end has no power any more. What it had sent before still comes. */
  goSilent(machine: NodeId): void {
    this.silentAt = machine;
    if (machine === this.#client.machine.id) this.#network.forget(this);
    else this.#out.end();
  }

  // ── The client's side ─────────────────────────────────────────────────────────────────────────────────────────────

  #write(bytes: Uint8Array): boolean {
    if (!this.#open) return false;
    this.#pending += bytes.byteLength;
    this.#full = this.#pending >= windowBytes || this.#network.buggify.strikes("early-full") !== null;
    this.#out.send(bytes.byteLength, () => this.#arrive(bytes));
    return !this.#full;
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    // Behind what was written; the server sees the body end.
    this.#out.send(0, () => this.#endBody());
    this.#tell("closed here");
  }

  #tell(reason: string): void {
    if (this.#told) return;
    this.#told = true;
    this.#open = false;
    this.#network.forget(this);
    this.#client.after(0, () => this.#events.onClose(reason));
  }

  /** The server has taken so many bytes: there may be room again. */
  #taken(bytes: number): void {
    this.#pending -= bytes;
    if (!this.#full || this.#pending > 0) return;
    this.#full = false;
    this.#back.send(0, () =>
      this.#client.now(() => {
        if (this.#open) this.#events.onDrain();
      }));
  }

  // ── The server's side ─────────────────────────────────────────────────────────────────────────────────────────────

  #request({ url, headers }: { readonly url: string; readonly headers: Readonly<Record<string, string>> }): void {
    const server = this.#machine.life;
    if (server === null || server.listener === null) {
      // A machine without power does not even refuse.
      if (server !== null || this.#machine.powered) this.#back.send(40, () => this.#tell("connection refused"));
      else this.silentAt = this.#machine.id;
      return;
    }
    this.#server = server;
    server.now(() => {
      const reader = { read: () => this.#read(), cancel: () => Promise.resolve(this.#endBody()) };
      const request = { url, method: "POST", headers: { get: (name: string) => headers[name] ?? null }, body: { getReader: () => reader } };
      // All that a link looks at. A real Request would bring a real stream, with a pace of its own in each runtime.
      const response = server.listener?.(request as unknown as Request);
      if (response instanceof Response) this.#answer(response);
    });
  }

  #answer(response: Response): void {
    const late = this.#network.buggify.strikes("late-answer");
    if (late === null) return this.#sendAnswer(response);
    this.#server!.after(late * 500, () => this.#sendAnswer(response));
  }

  #sendAnswer(response: Response): void {
    this.#back.send(100, () =>
      this.#client.now(() => {
        if (!this.#open) return;
        this.#events.onAnswer?.(response.status, (name) => response.headers.get(name));
        if (response.status !== 200) this.#tell(`the peer answered ${response.status}`);
        else this.#events.onOpen();
        if (this.#open && this.#network.buggify.strikes("stillborn-stream") !== null) this.reset();
      }));
    if (response.status === 200) void this.#awaitEnd(response.body!.getReader());
  }

  async #awaitEnd(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    while (!(await reader.read()).done);
    if (this.#server?.alive === true) this.#back.send(0, () => this.#tell("the peer ended the stream"));
  }

  #arrive(bytes: Uint8Array): void {
    this.#server?.now(() => {
      if (this.#ended) return;
      this.#keep(bytes);
      if (this.#network.buggify.strikes("held-chunk") === null) this.#hand();
      // What was held must not be held for ever: with nothing behind it, it comes by itself.
      else this.#server!.after(5, () => this.#hand());
    });
  }

  #keep(bytes: Uint8Array): void {
    const cut = this.#network.buggify.strikes("split-chunk");
    const at = cut === null ? 0 : Math.floor(cut * bytes.byteLength);
    if (at > 0) this.#arrived.push(bytes.subarray(0, at), bytes.subarray(at));
    else this.#arrived.push(bytes);
  }

  #read(): Promise<{ readonly done: boolean; readonly value: Uint8Array | undefined }> {
    return new Promise((resolve) => {
      this.#reading = resolve;
      this.#hand();
    });
  }

  #hand(): void {
    if (this.#reading === null) return;
    const value = this.#arrived.shift();
    if (value === undefined && !this.#ended) return;
    const reading = this.#reading;
    this.#reading = null;
    if (value !== undefined) this.#taken(value.byteLength);
    reading({ done: value === undefined, value });
  }

  /** In an event of its own: the body ends, or nobody reads it any more. */
  #endBody(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#server?.after(0, () => {
      this.#arrived.length = 0;
      this.#hand();
    });
  }
}
