/**
 * The network between real nodes, in user space: every node reaches every other through a port of its own
 * here, and each direction of each pair can be cut, slowed down, narrowed or hung up on while it carries.
 * What is cut waits, as it would at a sender that gets no acknowledgements, and arrives when mended;
 * datagrams, on the same ports, are lost (`datagram_relay.ts`).
 */
import { createServer, type Server, Socket } from "node:net";
import { freePorts } from "../../edge/runtime/system.ts";
import { DatagramRelay } from "./datagram_relay.ts";

/** One direction between two nodes, for all connections that carry it. */
export interface Path {
  cut: boolean;
  delayMs: number;
  /** On top of the delay, at random; the order of bytes stays. */
  jitterMs: number;
  bytesPerSecond: number;
  /** Datagrams only: a share of them is lost, longer ones than this are, and all are where somebody does not let UDP through. */
  lossRatio: number;
  datagramBytesMax: number;
  blocked: boolean;
}

/** A sender is held back beyond it, as by a full pipe. */
const heldBytesMax = 256 << 10;

export class Relay implements AsyncDisposable {
  readonly #servers: Server[] = [];
  readonly #ports = new Map<string, number>();
  readonly #paths = new Map<string, Path>();
  readonly #connections = new Set<Connection>();
  readonly #datagrams: DatagramRelay[] = [];

  /** `targets`: node names with the ports they listen on. */
  static async start(targets: ReadonlyMap<string, number>): Promise<Relay> {
    const relay = new Relay();
    for (const from of targets.keys()) {
      for (const to of targets.keys()) if (from !== to) relay.#paths.set(key(from, to), open());
    }
    for (const from of targets.keys()) {
      for (const [to, port] of targets) if (from !== to) await relay.#open(from, to, port);
    }
    return relay;
  }

  /** Where `from` finds `to`. */
  port(from: string, to: string): number {
    return this.#ports.get(key(from, to))!;
  }

  path(from: string, to: string): Readonly<Path> {
    return this.#path(from, to);
  }

  /** Takes effect at once for what is on its way, delays only for what comes. */
  set(from: string, to: string, change: Partial<Path>): void {
    Object.assign(this.#path(from, to), change);
    for (const connection of this.#connections) connection.changed();
  }

  cut(from: string, to: string): void {
    this.set(from, to, { cut: true });
  }

  cutBoth(a: string, b: string): void {
    this.cut(a, b);
    this.cut(b, a);
  }

  /** Hears nobody any more. */
  deafen(node: string): void {
    for (const other of this.#others(node)) this.cut(other, node);
  }

  /** Is heard by nobody any more. */
  mute(node: string): void {
    for (const other of this.#others(node)) this.cut(node, other);
  }

  isolate(node: string): void {
    this.deafen(node);
    this.mute(node);
  }

  /** All directions carry again, as quickly and as much as they can. */
  heal(): void {
    for (const path of this.#paths.values()) Object.assign(path, open());
    for (const connection of this.#connections) connection.changed();
  }

  /** Both ways, one way `ms` each. */
  delayAll(ms: number): void {
    for (const path of this.#paths.values()) path.delayMs = ms;
  }

  /** Lets UDP through to and from the node, or not, as a firewall would. */
  block(node: string, blocked: boolean): void {
    for (const other of this.#others(node)) {
      this.set(node, other, { blocked });
      this.set(other, node, { blocked });
    }
  }

  /** Hangs up on whatever connects the two, whoever dialled. */
  hangUp(a: string, b: string): void {
    for (const connection of this.#connections) if (connection.joins(a, b)) connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.close();
    for (const datagrams of this.#datagrams) datagrams.close();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #others(node: string): Set<string> {
    return new Set([...this.#paths.keys()].map((path) => path.split(" ")[0]!).filter((name) => name !== node));
  }

  #path(from: string, to: string): Path {
    const path = this.#paths.get(key(from, to));
    if (path === undefined) throw new Error(`Cannot find the path from ${from} to ${to}: there is none`);
    return path;
  }

  async #open(from: string, to: string, target: number): Promise<void> {
    const server = createServer({ pauseOnConnect: true }, (near) => {
      const connection = new Connection([from, to], near, target, [this.#path(from, to), this.#path(to, from)], () => {
        this.#connections.delete(connection);
      });
      this.#connections.add(connection);
      connection.changed();
    });
    // One that is free for datagrams as well.
    const [free] = await freePorts(1);
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(free, "127.0.0.1", resolve));
    this.#servers.push(server);
    const { port } = server.address() as { port: number };
    this.#ports.set(key(from, to), port);
    this.#datagrams.push(await DatagramRelay.open(port, target, this.#path(from, to), this.#path(to, from)));
  }
}

/** A connection one node made to another: two sockets, and a pipe each way. */
class Connection {
  readonly #ends: readonly [string, string];
  readonly #near: Socket;
  readonly #far = new Socket();
  readonly #target: number;
  readonly #pipes: readonly [Pipe, Pipe];
  readonly #onClose: () => void;
  #dialled = false;
  #closed = false;

  constructor(ends: readonly [string, string], near: Socket, target: number, paths: readonly [Path, Path], onClose: () => void) {
    this.#ends = ends;
    this.#near = near;
    this.#target = target;
    this.#onClose = onClose;
    this.#pipes = [new Pipe(near, this.#far, paths[0], () => this.close()), new Pipe(this.#far, near, paths[1], () => this.close())];
    for (const socket of [near, this.#far]) socket.setNoDelay(true).on("error", () => {});
  }

  joins(a: string, b: string): boolean {
    return this.#ends.includes(a) && this.#ends.includes(b);
  }

  /** A connection is made by packets both ways: none while one is cut. */
  changed(): void {
    if (this.#closed) return;
    if (!this.#dialled && this.#pipes.every(({ path }) => !path.cut)) {
      this.#dialled = true;
      this.#far.connect(this.#target, "127.0.0.1");
      for (const pipe of this.#pipes) pipe.start();
    }
    for (const pipe of this.#pipes) pipe.pump();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const pipe of this.#pipes) pipe.stop();
    this.#near.destroy();
    this.#far.destroy();
    this.#onClose();
  }
}

class Pipe {
  readonly path: Path;
  readonly #source: Socket;
  readonly #target: Socket;
  readonly #onEnd: () => void;
  readonly #held: { readonly due: number; readonly bytes: Uint8Array }[] = [];
  #heldBytes = 0;
  /** When the last of what is held is due: nothing overtakes it. */
  #lastDue = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #full = false;
  #started = false;
  /** The source hung up; said on when everything before it has been. */
  #ended = false;

  constructor(source: Socket, target: Socket, path: Path, onEnd: () => void) {
    this.path = path;
    this.#source = source;
    this.#target = target;
    this.#onEnd = onEnd;
  }

  start(): void {
    this.#started = true;
    this.#source.on("data", (bytes: Uint8Array) => this.#hold(bytes));
    this.#source.on("close", () => {
      this.#ended = true;
      this.#hold(new Uint8Array(0));
    });
    this.#target.on("drain", () => {
      this.#full = false;
      this.pump();
    });
    this.#source.resume();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#held.length = 0;
  }

  /** Until it is due. The end of a connection travels as an empty piece. */
  #hold(bytes: Uint8Array): void {
    const { delayMs, jitterMs, bytesPerSecond } = this.path;
    const soonest = performance.now() + delayMs + jitterMs * Math.random();
    const due = Math.max(soonest, this.#lastDue) + (bytesPerSecond === Infinity ? 0 : bytes.byteLength / bytesPerSecond * 1_000);
    this.#lastDue = due;
    this.#held.push({ due, bytes });
    this.#heldBytes += bytes.byteLength;
    this.pump();
  }

  /** Passes on what is due, and no more while cut or while the target is full. */
  pump(): void {
    if (!this.#started) return;
    const now = performance.now();
    while (!this.path.cut && !this.#full && this.#held.length > 0 && this.#held[0]!.due <= now) {
      const { bytes } = this.#held.shift()!;
      this.#heldBytes -= bytes.byteLength;
      if (bytes.byteLength > 0) this.#full = !this.#target.write(bytes);
    }
    if (this.#heldBytes > heldBytesMax) this.#source.pause();
    else if (this.#source.isPaused()) this.#source.resume();
    if (this.path.cut) return;
    if (this.#ended && this.#held.length === 0) return this.#onEnd();
    if (this.#held.length === 0 || this.#full || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.pump();
    }, Math.max(0, this.#held[0]!.due - now));
  }
}

function key(from: string, to: string): string {
  return `${from} ${to}`;
}

function open(): Path {
  return {
    cut: false,
    delayMs: 0,
    jitterMs: 0,
    bytesPerSecond: Infinity,
    lossRatio: 0,
    datagramBytesMax: Infinity,
    blocked: false,
  };
}
