/** An entry of which nothing is known any more but that it was there: what a lost condition met, told again after the next write. */
import { CarillonError } from "../../core/errors.ts";
import type { Entry } from "../api.ts";

export class GoneEntry implements Entry {
  readonly key: string;
  readonly keyBytes: Uint8Array;
  readonly version: string;
  readonly type = "";

  constructor(key: string, keyBytes: Uint8Array, version: string) {
    this.key = key;
    this.keyBytes = keyBytes;
    this.version = version;
  }

  bytes(): never {
    throw this.#gone();
  }

  text(): never {
    throw this.#gone();
  }

  json(): never {
    throw this.#gone();
  }

  cbor(): never {
    throw this.#gone();
  }

  #gone(): CarillonError {
    const key = JSON.stringify(this.key);
    return new CarillonError("compacted", `Cannot read what key ${key} had at version ${this.version}: it has been written since`);
  }
}
