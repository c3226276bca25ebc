/**
 * Which stream goes next: control (0) before all, then order lanes (even), then bulk (odd), where each has its turn for a packet, so
 * that no group waits for another's payloads.
 */
import type { SendStream } from "./send_stream.ts";

export class Lanes {
  readonly #classes: readonly [SendStream[], SendStream[], SendStream[]] = [[], [], []];
  /** Index of the next in turn; what lies before it has had its turn. */
  readonly #heads: [number, number, number] = [0, 0, 0];

  push(stream: SendStream): void {
    if (stream.queued) return;
    stream.queued = true;
    this.#classes[classOf(stream.id)].push(stream);
  }

  get empty(): boolean {
    const [control, order, bulk] = this.#classes;
    return this.#heads[0] === control.length && this.#heads[1] === order.length && this.#heads[2] === bulk.length;
  }

  /** Takes the next in turn out; push it again if it has more. */
  shift(): SendStream | null {
    for (const index of [0, 1, 2] as const) {
      const queue = this.#classes[index];
      const head = this.#heads[index];
      if (head === queue.length) continue;
      const stream = queue[head]!;
      stream.queued = false;
      if (head + 1 === queue.length || head >= 1_024) {
        queue.splice(0, head + 1);
        this.#heads[index] = 0;
      } else {
        this.#heads[index] = head + 1;
      }
      return stream;
    }
    return null;
  }

  /** Back to the front: its turn was not used. */
  unshift(stream: SendStream): void {
    const index = classOf(stream.id);
    stream.queued = true;
    if (this.#heads[index] > 0) {
      this.#heads[index] -= 1;
      this.#classes[index][this.#heads[index]] = stream;
    } else {
      this.#classes[index].unshift(stream);
    }
  }
}

function classOf(stream: number): 0 | 1 | 2 {
  return stream === 0 ? 0 : isBulk(stream) ? 2 : 1;
}

export function isBulk(stream: number): boolean {
  return stream % 2 === 1;
}
