/** What an operator is told of the way to a peer: that it does not work, once for each reason, and that it works again. */
import type { Millis } from "../../core/ids.ts";

/** Nodes start one after the other: a peer that is not there for a moment is no news. */
const tellMs = 3_000;

export class Standing {
  readonly #peer: string;
  readonly #tell: (sentence: string) => void;
  #failingSince: Millis | null = null;
  /** The trouble an operator has been told of. */
  #told = "";

  /** `peer`: as in "Cannot reach …". */
  constructor(peer: string, tell: (sentence: string) => void) {
    this.#peer = peer;
    this.#tell = tell;
  }

  get failingSince(): Millis | null {
    return this.#failingSince;
  }

  works(): void {
    this.#failingSince = null;
    if (this.#told !== "") this.#tell(`Connected to ${this.#peer} again`);
    this.#told = "";
  }

  /** `atOnce`: it will not pass by itself. */
  fails(reason: string, now: Millis, atOnce: boolean = false): void {
    this.#failingSince ??= now;
    if (reason === this.#told || !atOnce && now - this.#failingSince < tellMs) return;
    this.#told = reason;
    this.#tell(`Cannot reach ${this.#peer}: ${reason}`);
  }
}
