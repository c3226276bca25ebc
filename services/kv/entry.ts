/** An entry as users get it. */
import { formatPosition } from "../../core/position.ts";
import type { Entry } from "../api.ts";
import { binaryBytes } from "../bytes.ts";
import { binaryText } from "../keys.ts";
import { type Cbor, Reading } from "../values.ts";
import type { Stored } from "./machine.ts";

export class KvEntry extends Reading implements Entry {
  readonly version: string;
  readonly #key: string;

  constructor(stored: Stored, cbor: Cbor) {
    super(stored, cbor);
    this.version = formatPosition(stored.version);
    this.#key = stored.key;
  }

  get key(): string {
    return binaryText(this.#key);
  }

  get keyBytes(): Uint8Array {
    return binaryBytes(this.#key);
  }
}
