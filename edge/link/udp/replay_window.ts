/** Which packet numbers have been seen: all of the newest 2 048 are remembered, and older ones count as seen. */

export const windowPackets = 2_048;

export class ReplayWindow {
  /** One bit for each of the newest numbers, at the number modulo the window. */
  readonly #bits: Uint32Array = new Uint32Array(windowPackets / 32);
  #largest = -1;

  /** −1 before the first. */
  get largest(): number {
    return this.#largest;
  }

  has(packetNumber: number): boolean {
    if (packetNumber > this.#largest) return false;
    if (packetNumber <= this.#largest - windowPackets) return true;
    const bit = packetNumber % windowPackets;
    return (this.#bits[bit >>> 5]! & (1 << (bit & 31))) !== 0;
  }

  add(packetNumber: number): void {
    if (packetNumber > this.#largest) {
      if (packetNumber - this.#largest >= windowPackets) this.#bits.fill(0);
      else for (let passed = this.#largest + 1; passed < packetNumber; passed++) this.#clear(passed % windowPackets);
      this.#largest = packetNumber;
    }
    const bit = packetNumber % windowPackets;
    this.#bits[bit >>> 5]! |= 1 << (bit & 31);
  }

  #clear(bit: number): void {
    this.#bits[bit >>> 5]! &= ~(1 << (bit & 31));
  }
}
