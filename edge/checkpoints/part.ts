/** A checkpoint's file on its way: written here piece by piece, or fetched from peers, then also over several lives of this node. */
import type { DiskFile } from "../runtime.ts";
import type { Files } from "./store.ts";

/** Written and not yet synced at most: a sync of much at once would hold up the journal's. */
const syncEveryBytes = 4 << 20;

export class Part {
  readonly name: string;
  bytes: number;
  readonly #files: Files;
  readonly #file: DiskFile;
  #unsynced = 0;

  private constructor(files: Files, name: string, file: DiskFile, bytes: number) {
    this.#files = files;
    this.name = name;
    this.#file = file;
    this.bytes = bytes;
  }

  static async create(files: Files, name: string): Promise<Part> {
    await files.preallocate(name, 0);
    return new Part(files, name, await files.open(name), 0);
  }

  /** Goes on behind the first `bytes` of one that is there. */
  static async resume(files: Files, name: string, bytes: number): Promise<Part> {
    return new Part(files, name, await files.open(name), bytes);
  }

  async append(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) =>
      this.#file.write(this.bytes, bytes, (error) => error === null ? resolve() : reject(error))
    );
    this.bytes += bytes.byteLength;
    this.#unsynced += bytes.byteLength;
    if (this.#unsynced >= syncEveryBytes) await this.#sync();
  }

  /** Whole and durable. */
  async finish(): Promise<this> {
    await this.#sync();
    await this.#file.close();
    return this;
  }

  /** Left as it is, for another try. */
  async leave(): Promise<void> {
    await this.#file.close();
  }

  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await this.#files.remove(this.name).catch(() => {});
  }

  #sync(): Promise<void> {
    this.#unsynced = 0;
    return new Promise((resolve, reject) => this.#file.sync((error) => error === null ? resolve() : reject(error)));
  }
}
