/** A 64-bit hash of bytes and numbers, for telling requests apart and comparing the state of replicas; no protection against malice. */
export class Hash {
  #a = 0x811c9dc5;
  #b = 0x1b873593;

  #mix(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#b = Math.imul(this.#b ^ value, 0x85ebca6b);
    this.#b = this.#b << 13 | this.#b >>> 19;
  }

  number(value: number): this {
    this.#mix(value >>> 0);
    this.#mix(Math.floor(value / 2 ** 32) >>> 0);
    return this;
  }

  /** Its length counts, so that moving a border between two texts changes the hash. */
  text(text: string): this {
    this.number(text.length);
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.number(bytes.byteLength);
    for (let i = 0; i < bytes.byteLength; i++) this.#mix(bytes[i]!);
    return this;
  }

  digest(): string {
    return hex(finish(this.#a)) + hex(finish(this.#b ^ this.#a));
  }
}

function finish(value: number): number {
  value = Math.imul(value ^ value >>> 16, 0x85ebca6b);
  value = Math.imul(value ^ value >>> 13, 0xc2b2ae35);
  return (value ^ value >>> 16) >>> 0;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
