/**
 * Room on the disk, and what is put by for when there is none: a reserve file that gives way to the next segment, so that
 * votes and trims can go on while nothing new is let in. Once there is room again, the reserve comes back first.
 */
import type { Millis } from "../../core/ids.ts";
import type { Clock, Disk } from "../runtime.ts";
import { isDiskFull } from "../runtime/trouble.ts";

export const reserveFile = "reserve";

/** A node that runs for less has no use for a reserve, and is not held up by making one. */
const reserveAfterMs: Millis = 1_000;
const probeMs: Millis = 1_000;

export interface SpaceOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  /** 0: no reserve. */
  readonly reserveBytes: number;
  readonly onSpace: (full: boolean) => void;
  /** What is no lack of room, and hence no reason to wait. */
  readonly onFailure: (error: Error) => void;
}

export class Space {
  /** No room for another segment but the reserve's. */
  full = false;
  readonly #options: SpaceOptions;
  #reserved = false;
  /** One at a time: two who look for room at once take it from each other. */
  #last: Promise<void> = Promise.resolve();
  #cancel: () => void = () => {};
  #closed = false;

  constructor(options: SpaceOptions) {
    this.#options = options;
  }

  /** `reserved`: the directory has its reserve already. */
  start(reserved: boolean): void {
    this.#reserved = reserved;
    if (!reserved && this.#options.reserveBytes > 0) this.#probeAfter(reserveAfterMs);
  }

  /** A zero-filled file, in the reserve's place if need be. */
  make(file: string, bytes: number): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await this.#preallocate(file, bytes);
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        await this.#giveWay();
        await this.#preallocate(file, bytes);
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#last.catch(() => {});
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const done = this.#last.then(act);
    this.#last = done.catch(() => {});
    return done;
  }

  async #giveWay(): Promise<void> {
    if (this.#reserved) await this.#options.disk.remove(reserveFile);
    this.#reserved = false;
    this.#turn(true);
    this.#probeAfter(probeMs);
  }

  #turn(full: boolean): void {
    if (this.full === full) return;
    this.full = full;
    this.#options.onSpace(full);
  }

  #probeAfter(ms: Millis): void {
    const { clock, onFailure } = this.#options;
    this.#cancel();
    if (this.#closed) return;
    this.#cancel = clock.wakeAt(clock.now().mono + ms, () => {
      this.#inTurn(() => this.#probe()).catch(onFailure);
    });
  }

  async #probe(): Promise<void> {
    const { reserveBytes } = this.#options;
    if (this.#closed || reserveBytes === 0) return;
    try {
      await this.#preallocate(reserveFile, reserveBytes);
      this.#reserved = true;
      this.#turn(false);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#turn(true);
      this.#probeAfter(probeMs);
    }
  }

  /** All of it, or no trace of it: half a file would keep the room that others look for. */
  async #preallocate(file: string, bytes: number): Promise<void> {
    const { disk } = this.#options;
    try {
      await disk.preallocate(file, bytes);
    } catch (error) {
      if (isDiskFull(error) && (await disk.list()).includes(file)) await disk.remove(file);
      throw error;
    }
  }
}
