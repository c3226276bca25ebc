/** Large values, so that journals have several segments and nodes write checkpoints; and whether a node still has them as they were. */
import type { RealNode } from "../harness/real_cluster.ts";
import { request } from "./request.ts";

const keys = 8;
const valueBytes = 1 << 20;

export class Ballast {
  readonly #nodes: readonly RealNode[];
  readonly #last = new Map<string, string>();
  #written = 0;

  constructor(nodes: readonly RealNode[]) {
    this.#nodes = nodes;
  }

  /** So many values of 1 MiB, at whoever runs. */
  async put(values: number): Promise<void> {
    for (let left = values; left > 0;) {
      const node = this.#nodes.filter(({ running }) => running)[this.#written % this.#nodes.length] ??
        this.#nodes.find(({ running }) => running)!;
      const key = `ballast/${this.#written % keys}`;
      const line = `${key} ${this.#written++} `;
      const value = line.repeat(Math.floor(valueBytes / line.length));
      const reply = await request(`${node.url}/v1/kv/${key}`, { method: "PUT", body: value });
      // Written or not: only what is known can be compared.
      if (reply.kind !== "answer") this.#last.delete(key);
      else {
        this.#last.set(key, value);
        left--;
      }
    }
  }

  /** Throws if it has others than were written last. */
  async check(node: RealNode): Promise<void> {
    for (const [key, value] of this.#last) {
      const reply = await request(`${node.url}/v1/kv/${key}`);
      if (reply.kind !== "answer" || reply.body !== value) {
        throw new Error(`${node.name} has another value at ${key} than "${value.slice(0, 20)}…": ${JSON.stringify(reply).slice(0, 200)}`);
      }
    }
  }
}
