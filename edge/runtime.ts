/** What the edge needs of the machine: the one contract behind `#runtime`. Production and simulator implement it. */
import type { Micros, Millis, Now } from "../core/ids.ts";

export interface Clock {
  now(): Now;
  /**
   * Calls back once at or after `at` (monotonic ms), never early; returns a cancel. Infinity never fires. What may be later by
   * `graceMs` comes along with something else then: an idle process is not woken for it.
   */
  wakeAt(at: Millis, callback: () => void, graceMs?: Millis): () => void;
  /** Calls back in this turn of the event loop, after whatever is already queued for it. */
  soon(callback: () => void): void;
}

/** Files of one directory; names are plain (no slashes). Every `done` is called exactly once, later, with null or an error. */
export interface Disk {
  readonly root: string;
  /** Names in the directory. */
  list(): Promise<string[]>;
  read(file: string, offset: number, length: number): Promise<Uint8Array>;
  size(file: string): Promise<number>;
  /** A zero-filled file of so many bytes, durable itself and in its directory. */
  preallocate(file: string, bytes: number): Promise<void>;
  /** Opens for positioned writes and reads. */
  open(file: string): Promise<DiskFile>;
  /** Atomic: the file holds either the old bytes or the new, durably. */
  replace(file: string, bytes: Uint8Array): Promise<void>;
  remove(file: string): Promise<void>;
  /** Gives a file another name, durably; one that has that name is replaced. */
  rename(file: string, name: string): Promise<void>;
  /** What a copy of the directory does not share with it: the file system's own numbers of the directory and of `file`. */
  place(file: string): Promise<string>;
  /** Throws CarillonError `config` if another process holds the directory. */
  lock(): Promise<() => Promise<void>>;
}

export interface DiskFile {
  /** Writes all of `bytes`; off the event loop. */
  write(offset: number, bytes: Uint8Array, done: (error: Error | null) => void): void;
  /**
   * Writes all of `bytes` and makes them durable; what was written before may stay as it is. Off the event loop, in one step where the
   * system has one.
   */
  commit(offset: number, bytes: Uint8Array, done: (error: Error | null) => void): void;
  /** fdatasync, off the event loop. */
  sync(done: (error: Error | null) => void): void;
  /** As much of it as the file has; in the memory of `into`, if that is given and long enough. */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface HttpServer {
  /** As bound, e.g. 127.0.0.1:4100. */
  readonly host: string;
  readonly port: number;
  /** Stops listening and ends what is open. */
  close(): Promise<void>;
}

export type Fetch = (request: Request) => Response | Promise<Response>;

/** One long request whose body is written piece by piece: the sending half of a link. */
export interface OutgoingStream {
  /**
   * False: the transport's buffer is above its high-water mark; `onDrain` says when it is not. The bytes are kept, not
   * copied, until they have left: the caller does not write into them again. After the close they go nowhere.
   */
  write(bytes: Uint8Array): boolean;
  close(): void;
}

export interface OutgoingStreamEvents {
  /** The peer's answer has come, whatever it says; `onOpen` or `onClose` follows. */
  onAnswer?(status: number, header: (name: string) => string | null): void;
  /** The peer answered 200 and the stream is open. */
  onOpen(): void;
  onDrain(): void;
  /** Exactly once, never inside `openStream`, `write` or `close`: refused, broken or closed. */
  onClose(reason: string): void;
}

/** One datagram, and the address it goes to or came from: an IP address as text, and a port. */
export interface Datagram {
  readonly host: string;
  readonly port: number;
  readonly bytes: Uint8Array;
}

export interface DatagramSocket {
  /** As bound. */
  readonly host: string;
  readonly port: number;
  /** The longest datagram that is received whole, and may be sent. */
  readonly datagramBytesMax: number;
  /**
   * In as few calls to the system as the runtime allows. The bytes are not written to any more. What the system has no room
   * for is lost, and so is what is too long or has no way; the others are not.
   */
  send(datagrams: readonly Datagram[]): void;
  close(): Promise<void>;
}

export interface DatagramEvents {
  /** The bytes are the receiver's to keep. */
  onDatagram(datagram: Datagram): void;
  /** The system reports something about the socket. It goes on; datagrams may have been lost. */
  onTrouble(reason: string): void;
}

/** AES-GCM with a tag of 16 bytes, under one key. A nonce (12 bytes) is used once. */
export interface Aead {
  /** The ciphertext and its tag, behind `room` bytes (default none) that are the caller's to fill: what goes before it needs no copy. */
  seal(nonce: Uint8Array, header: Uint8Array, plain: Uint8Array, room?: number): Uint8Array;
  /** What lies behind the first `room` bytes (default none) of `sealed`; null if it was not sealed under this key, nonce and header. */
  open(nonce: Uint8Array, header: Uint8Array, sealed: Uint8Array, room?: number): Uint8Array | null;
}

export interface Cryptography {
  /** X25519; 32 random bytes make a private key. */
  publicKey(privateKey: Uint8Array): Uint8Array;
  /** X25519; null for a public key that no honest peer has (of low order). */
  agree(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  sha256(data: Uint8Array): Uint8Array;
  /** 32 bytes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
  /** Compares secrets in a time that tells nothing about where they differ. */
  sameBytes(a: Uint8Array, b: Uint8Array): boolean;
  /** With a key of 16 or 32 bytes. */
  aead(key: Uint8Array): Aead;
  /** One AES block, the 16 bytes at `at`, under a key of 16 or 32 bytes; hides packet numbers. */
  block(key: Uint8Array): (bytes: Uint8Array, at: number) => Uint8Array;
}

export interface Runtime {
  readonly name: "bun" | "deno" | "node";
  readonly version: string;
  readonly clock: Clock;
  openDisk(directory: string): Promise<Disk>;
  /** HTTP/1.1 and h2c (prior knowledge) on one port. Port 0 picks one. Throws CarillonError `config` if it cannot listen there. */
  serveHttp(address: { readonly host: string; readonly port: number }, fetch: Fetch): Promise<HttpServer>;
  /** POST over HTTP/2 with a streamed body. */
  openStream(url: string, headers: Readonly<Record<string, string>>, events: OutgoingStreamEvents): OutgoingStream;
  /** UDP. Port 0 picks one. Throws CarillonError `config` if it cannot be bound. */
  openDatagrams(address: { readonly host: string; readonly port: number }, events: DatagramEvents): Promise<DatagramSocket>;
  /** The IP address of a name, or null if there is none now. */
  resolve(host: string): Promise<string | null>;
  readonly cryptography: Cryptography;
  /** 32 random bits, good enough for keys. */
  entropy(): number;
  /** CRC-32 (the zlib one) of `bytes`, continuing from `seed` (default 0). */
  crc32(bytes: Uint8Array, seed?: number): number;
  /** Collects garbage now, all of it, where the runtime lets a program ask for that; else nothing. */
  collectGarbage(): void;
}

const wallBeginsAt = 1_704_067_200_000;

/** Microseconds since 2024-01-01T00:00Z, from milliseconds since 1970. */
export function wallMicros(unixMs: number): Micros {
  return Math.round((unixMs - wallBeginsAt) * 1_000);
}

/** The other way round. */
export function unixMillis(wall: Micros): number {
  return wallBeginsAt + wall / 1_000;
}
