/** A user of the simulated cluster: calls one node at a time, as from another machine, and remembers what came of it. */
import { CarillonError } from "../../core/errors.ts";
import type { Millis, NodeId } from "../../core/ids.ts";
import type { Services } from "../../services/services.ts";
import type { Prng } from "../sim/prng.ts";
import type { Loop } from "./loop.ts";
import type { Life, Machine } from "./machine.ts";

/** One way between a user and a node. */
const wayMs = 0.2;

export interface Times {
  readonly node: NodeId;
  readonly calledAt: Millis;
  readonly answeredAt: Millis;
}

export type Reply<T> =
  | (Times & { readonly ok: true; readonly value: T })
  /** `outcome` of the call: `none` if it certainly had no effect. */
  | (Times & { readonly ok: false; readonly code: string; readonly outcome: "none" | "unknown"; readonly error: CarillonError | null });

export interface ClientSurroundings {
  readonly loop: Loop;
  readonly machines: ReadonlyMap<NodeId, Machine>;
  /** Nodes users know of. */
  reachable(): readonly NodeId[];
  /** Users are to come to an end. */
  readonly closing: boolean;
  /** How long users call nobody from now on. */
  readonly restMs: Millis;
  answered(client: Client, code: string): void;
}

export class Client {
  readonly name: string;
  readonly prng: Prng;
  readonly patienceMs: Millis;
  /** Stays at its node whatever happens. */
  readonly pinned: boolean;
  readonly #world: ClientSurroundings;
  #node: NodeId;

  constructor(world: ClientSurroundings, name: string, prng: Prng, patienceMs: Millis, node: NodeId | null = null) {
    this.#world = world;
    this.name = name;
    this.prng = prng;
    this.patienceMs = patienceMs;
    this.pinned = node !== null;
    this.#node = node ?? prng.pick(world.reachable());
  }

  get now(): Millis {
    return this.#world.loop.queue.now;
  }

  get closing(): boolean {
    return this.#world.closing;
  }

  /** The node it speaks to at the moment. */
  get node(): NodeId {
    return this.#node;
  }

  async pause(meanMs: Millis): Promise<void> {
    const think = (): Promise<void> => this.#world.loop.sleep(this.prng.range(0, 2 * meanMs));
    await think();
    const { restMs } = this.#world;
    if (restMs === 0) return;
    await this.#world.loop.sleep(restMs);
    // They do not come back all at once.
    await think();
  }

  moveOn(): void {
    if (!this.pinned) this.#node = this.prng.pick(this.#world.reachable());
  }

  /** The process a stream is opened at, if one runs at the node. */
  life(): Life | null {
    const life = this.#world.machines.get(this.#node)!.life;
    return life?.up === true ? life : null;
  }

  /** After a failure it turns to another node. */
  async ask<T>(call: (services: Services) => Promise<T>): Promise<Reply<T>> {
    if (!this.#world.reachable().includes(this.#node)) this.moveOn();
    const reply = await this.#call(call, this.#node);
    this.#world.answered(this, reply.ok ? "ok" : reply.code);
    if (!reply.ok) this.moveOn();
    return reply;
  }

  #call<T>(call: (services: Services) => Promise<T>, node: NodeId): Promise<Reply<T>> {
    const { loop } = this.#world;
    const { queue } = loop;
    const calledAt = queue.now;
    return new Promise((resolve) => {
      let done = false;
      const fail = (code: string, outcome: "none" | "unknown", error: CarillonError | null = null): void => {
        if (done) return;
        done = true;
        queue.cancel(patience);
        resolve({ ok: false, code, outcome, error, node, calledAt, answeredAt: queue.now });
      };
      const patience = queue.after(this.patienceMs + 2 * wayMs, () => fail("patience", "unknown"));
      queue.after(wayMs, () => {
        const life = this.#world.machines.get(node)!.life;
        if (life === null || !life.up) return void queue.after(wayMs, () => fail("refused", "none"));
        const forget = life.onEnd(() => void queue.after(wayMs, () => fail("reset", "unknown")));
        life.now(() => {
          // A node that has just been told to go has no services any more.
          call(life.services!).then(
            (value) => {
              forget();
              queue.after(wayMs, () => {
                if (done) return;
                done = true;
                queue.cancel(patience);
                resolve({ ok: true, value, node, calledAt, answeredAt: queue.now });
              });
            },
            (error: unknown) => {
              if (!(error instanceof CarillonError)) return loop.fail(error);
              forget();
              queue.after(wayMs, () => fail(error.code, error.outcome === "none" ? "none" : "unknown", error));
            },
          );
        });
      });
    });
  }
}
