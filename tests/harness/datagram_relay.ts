/**
 * The part of the relay that carries datagrams: towards one node for one other, and what it answers. What is cut, blocked, too
 * long, or finds the queue full is lost; with jitter, datagrams overtake each other.
 */
import { createSocket, type Socket } from "node:dgram";
import type { Path } from "./relay.ts";

/** What waits at a narrow place; beyond it datagrams are lost. */
const queueBytesMax = 256 << 10;
const host = "127.0.0.1";
const bufferBytes = 4 << 20;

export class DatagramRelay {
  readonly #near = newSocket();
  readonly #far = newSocket();
  /** Where the one that speaks first speaks from. */
  #nearPort = 0;
  #closed = false;

  private constructor() {}

  /** Carries what comes to `port` to `target`, and back. */
  static async open(port: number, target: number, there: Path, back: Path): Promise<DatagramRelay> {
    const relay = new DatagramRelay();
    await Promise.all([bind(relay.#near, port), bind(relay.#far, 0)]);
    const outwards = new Way(there, (bytes) => relay.#send(relay.#far, bytes, target));
    const homewards = new Way(back, (bytes) => relay.#send(relay.#near, bytes, relay.#nearPort));
    relay.#near.on("message", (bytes, from) => {
      relay.#nearPort = from.port;
      outwards.carry(bytes);
    });
    relay.#far.on("message", (bytes) => {
      if (relay.#nearPort !== 0) homewards.carry(bytes);
    });
    return relay;
  }

  close(): void {
    this.#closed = true;
    this.#near.close();
    this.#far.close();
  }

  #send(from: Socket, bytes: Uint8Array, port: number): void {
    if (!this.#closed) from.send(bytes, port, host, ignore);
  }
}

class Way {
  readonly #path: Path;
  readonly #arrive: (bytes: Uint8Array) => void;
  /** The narrow place is busy until then with what it has been given. */
  #busyUntil = 0;

  constructor(path: Path, arrive: (bytes: Uint8Array) => void) {
    this.#path = path;
    this.#arrive = arrive;
  }

  carry(bytes: Uint8Array): void {
    const { delayMs, jitterMs, bytesPerSecond, lossRatio, datagramBytesMax } = this.#path;
    if (bytes.byteLength > datagramBytesMax || Math.random() < lossRatio) return;
    const now = performance.now();
    const waitsMs = Math.max(0, this.#busyUntil - now);
    if (waitsMs > 0 && waitsMs / 1_000 * bytesPerSecond > queueBytesMax) return;
    this.#busyUntil = now + waitsMs + bytes.byteLength / bytesPerSecond * 1_000;
    const tookMs = this.#busyUntil - now + delayMs + jitterMs * Math.random();
    if (tookMs < 1) this.#pass(bytes);
    else setTimeout(() => this.#pass(bytes), tookMs);
  }

  #pass(bytes: Uint8Array): void {
    if (!this.#path.cut && !this.#path.blocked) this.#arrive(bytes);
  }
}

function newSocket(): Socket {
  return createSocket({ type: "udp4", recvBufferSize: bufferBytes, sendBufferSize: bufferBytes });
}

async function bind(socket: Socket, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => socket.once("error", reject).bind(port, host, resolve));
  socket.removeAllListeners("error").on("error", ignore);
}

function ignore(): void {}
