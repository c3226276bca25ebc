/** One direction of a connection: what is sent arrives in order, or not at all. */
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Network } from "./network.ts";

export class Way {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly #network: Network;
  readonly #pieces: { readonly due: Millis; readonly bytes: number; readonly arrive: () => void }[] = [];
  #lastDue: Millis = 0;
  #awaiting = false;
  #dead = false;

  constructor(network: Network, from: NodeId, to: NodeId) {
    this.#network = network;
    this.from = from;
    this.to = to;
  }

  send(bytes: number, arrive: () => void): void {
    if (this.#dead) return;
    const { queue } = this.#network.loop;
    const due = Math.max(queue.now + this.#network.delay(this.from, this.to), this.#lastDue) + bytes / this.#network.faults.bytesPerMs;
    this.#lastDue = due;
    this.#pieces.push({ due, bytes, arrive });
    this.#wait();
  }

  /** A cut path has been mended. */
  goOn(delay: Millis): void {
    this.#awaiting = false;
    this.#wait(delay);
  }

  end(): void {
    this.#dead = true;
    this.#pieces.length = 0;
  }

  #wait(atLeast: Millis = 0): void {
    const first = this.#pieces[0];
    if (this.#awaiting || first === undefined || this.#dead) return;
    this.#awaiting = true;
    const { queue } = this.#network.loop;
    queue.at(Math.max(first.due, queue.now + atLeast), () => {
      if (this.#dead || !this.#network.passes(this)) return;
      this.#awaiting = false;
      const piece = this.#pieces.shift()!;
      this.#wait();
      if (piece.bytes > 0) this.#network.arrived(this.from, this.to, piece.bytes);
      piece.arrive();
    });
  }
}
