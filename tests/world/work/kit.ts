/** What the kinds of users have in common. */
import { CarillonError } from "../../../core/errors.ts";
import type { GroupId } from "../../../core/ids.ts";
import type { Prng } from "../../sim/prng.ts";
import type { Client } from "../client.ts";
import type { Life } from "../machine.ts";
import type { World } from "../world.ts";

/** Users of one kind, and the checks of what they were told. */
export interface Users {
  /** One loop each; they end when the clients are closing. */
  begin(): Promise<void>[];
  /** What a node must be able to do once the world has healed, and what everybody then has to see there. */
  finish(client: Client): Promise<void>;
  check(): void;
}

export interface Kit {
  readonly world: World;
  readonly prng: Prng;
  client(name: string): Client;
}

/** A value of so many bytes nobody else writes. */
export function newValue(world: World): string {
  return world.acknowledged.newMark().padEnd(world.plan.work.valueBytes, ".");
}

/** The group that orders a key: the first letter says so, as the plan's topologies split them. */
export function groupOfKey(world: World, key: string): GroupId {
  const { groups } = world.plan.topology;
  const group = groups.find(({ keys }) => keys.some(({ from, to }) => key >= from && (to === null || key < to)));
  return group!.id;
}

/** What a stream of a node gives, until it fails, its process ends or `take` says false. Resolves to the error, if that was it. */
export function follow<T>(
  life: Life,
  stream: AsyncIterable<T>,
  take: (item: T) => Promise<boolean> | boolean,
): Promise<CarillonError | null> {
  const iterator = stream[Symbol.asyncIterator]();
  return new Promise((resolve, reject) => {
    const forget = life.onEnd(() => resolve(null));
    const listen = async (): Promise<void> => {
      for (;;) {
        const result = await iterator.next();
        if (result.done === true) return;
        if (await take(result.value) && life.alive) continue;
        await iterator.return?.();
        return;
      }
    };
    listen().then(() => resolve(null), (error) => error instanceof CarillonError ? resolve(error) : reject(error)).finally(forget);
  });
}
