/**
 * Users who watch keys, leave and come back at another node behind the last position they were told. They see every
 * change once, in order, and what they began with and every change since is what was written.
 */
import type { Change, WatchRange } from "../../../services/api.ts";
import { demand } from "../../sim/oracle/violation.ts";
import type { Versions } from "../check/versions.ts";
import type { Client } from "../client.ts";
import { follow, type Kit, type Users } from "./kit.ts";

interface Story {
  readonly who: string;
  readonly range: WatchRange;
  /** Key → version of what there was when it had caught up, at `from`. */
  readonly begun: Map<string, string>;
  from: string;
  /** Versions of changes since, ascending. */
  readonly changes: string[];
  /** Everything up to here has been seen. */
  upTo: string;
}

export class Watches implements Users {
  seen = 0;
  resumed = 0;
  readonly #kit: Kit;
  readonly #versions: Versions;
  readonly #stories: Story[] = [];

  constructor(kit: Kit, versions: Versions) {
    this.#kit = kit;
    this.#versions = versions;
  }

  begin(): Promise<void>[] {
    const { work } = this.#kit.world.plan;
    return Array.from({ length: work.watchers }, (_, index) => this.#use(this.#kit.client(`watcher ${index + 1}`)));
  }

  /** One that looks at everything there is in the end. */
  async finish(client: Client): Promise<void> {
    const story = this.#newStory(client, {});
    while (story.from === "") {
      const life = client.life();
      if (life !== null) {
        await follow(life, life.services!.kv.watch({}), (change) => this.#take(story, change, client) && story.from === "");
      }
      await client.pause(20);
    }
  }

  check(): void {
    for (const story of this.#stories) this.#checkStory(story);
  }

  async #use(client: Client): Promise<void> {
    const { prng } = client;
    const { world } = this.#kit;
    const anything: readonly WatchRange[] = [{}, { prefix: "a-" }, { prefix: "z-" }, { key: "a-r0-0" }];
    let story = this.#newStory(client, prng.pick(anything));
    while (!client.closing) {
      const life = client.life();
      if (life === null) {
        client.moveOn();
        await client.pause(20);
        continue;
      }
      const resume = story.from !== "";
      if (resume) this.resumed++;
      else story = this.#newStory(client, story.range);
      const leaving = prng.between(1, 60);
      const slow = prng.chance(0.3);
      let taken = 0;
      // Nothing may ever come: a watcher that has waited for long leaves too.
      const aborter = new AbortController();
      const alarm = world.loop.queue.after(prng.range(200, 2_000), () => aborter.abort());
      const error = await follow(
        life,
        life.services!.kv.watch(story.range, { signal: aborter.signal, ...(resume ? { after: story.upTo } : {}) }),
        async (change) => {
          const goesOn = this.#take(story, change, client);
          if (slow) await client.pause(10);
          return goesOn && ++taken < leaving && !client.closing;
        },
      );
      world.loop.queue.cancel(alarm);
      if (error?.code === "compacted") story = this.#newStory(client, story.range);
      client.moveOn();
      await client.pause(5);
    }
  }

  #newStory(client: Client, range: WatchRange): Story {
    const story: Story = { who: client.name, range, begun: new Map(), from: "", changes: [], upTo: "" };
    this.#stories.push(story);
    return story;
  }

  #take(story: Story, change: Change, client: Client): boolean {
    this.seen++;
    const who = `${story.who} at n${client.node}`;
    if (change.kind === "caught-up") {
      demand(change.position >= story.upTo, "watch", () => `${who} is told to be at ${change.position} after ${story.upTo}`);
      if (story.from === "") story.from = change.position;
      story.upTo = change.position;
      return true;
    }
    const [key, version, value] = change.kind === "put"
      ? [change.entry.key, change.entry.version, change.entry.text()]
      : [change.key, change.position, null];
    this.#versions.write(key, version, value, who);
    if (story.from === "") {
      // Not yet in order: the newest of each key counts.
      if (version > (story.begun.get(key) ?? "")) story.begun.set(key, version);
      return true;
    }
    demand(
      version > story.upTo,
      "watch",
      () => `${who} is told of ${JSON.stringify(key)} at ${version} after it was told of ${story.upTo}`,
    );
    story.changes.push(version);
    story.upTo = version;
    return true;
  }

  #checkStory({ who, range, begun, from, changes, upTo }: Story): void {
    if (from === "") return;
    const inRange = (key: string): boolean => range.key === undefined ? key.startsWith(String(range.prefix ?? "")) : key === range.key;
    const told = new Set(changes);
    const newest = new Map<string, { version: string; value: string | null }>();
    for (const { key, version, value } of this.#versions.writes(inRange)) {
      if (version <= from) newest.set(key, { version, value });
      else if (version <= upTo) {
        demand(
          told.has(version),
          "watch",
          () => `${who} was told everything from ${from} to ${upTo} but for ${JSON.stringify(key)} at ${version}`,
        );
      }
    }
    for (const [key, { version, value }] of newest) {
      const seen = begun.get(key);
      demand(
        value === null ? seen === undefined || seen <= version : seen === version || this.#versions.mayBeDeleted(key, Infinity),
        "watch",
        () => `${who} began at ${from} with ${JSON.stringify(key)} from ${seen ?? "never"}, which was last written at ${version}`,
      );
    }
  }
}
