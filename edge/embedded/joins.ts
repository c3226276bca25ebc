/** What a node in this process knows of nodes that are listed by a join token: their tokens, and the keys it has learned. */
import type { NodeId } from "../../core/ids.ts";
import type { Topology } from "../../core/topology.ts";
import { joinOf, type NodeKeys } from "../config/keys.ts";
import { type KeyPair, keyText, parseKey } from "../link/identity.ts";
import type { JoinHappening, Joins, Lesson } from "../link/join/joins.ts";
import { keepLearned, type LearnedKey, readLearned } from "../link/join/learned.ts";
import type { JoinListing } from "../link/join/token.ts";
import type { Disk } from "../runtime.ts";

/** What the lists and the files say now. */
export interface JoinFacts {
  readonly listed: NodeKeys;
  readonly held: readonly KeyPair[];
  /** By which this node is listed; null for one that is listed by keys. */
  readonly token: KeyPair | null;
}

export class OwnJoins implements Joins {
  readonly #topology: Topology;
  readonly #disk: Disk | null;
  #facts: JoinFacts;
  /** Those of tokens that are not listed any more are passed over, and dropped when the file is written next. */
  #learned: readonly LearnedKey[];
  /** One key is learned after the other. */
  #busy: Promise<unknown> = Promise.resolve();
  /** A key was learned: it is to let its node in. */
  onLearned: () => void = () => {};
  onHappening: (happening: JoinHappening) => void = () => {};

  private constructor(topology: Topology, disk: Disk | null, { facts, learned }: { facts: JoinFacts; learned: readonly LearnedKey[] }) {
    this.#topology = topology;
    this.#disk = disk;
    this.#facts = facts;
    this.#learned = learned;
  }

  /** `disk`: null where nothing outlives this process. Throws CarillonError `config` for a file that is damaged. */
  static async open(topology: Topology, disk: Disk | null, facts: JoinFacts): Promise<OwnJoins> {
    return new OwnJoins(topology, disk, { facts, learned: await readLearned(disk) });
  }

  get token(): KeyPair | null {
    return this.#facts.token;
  }

  listingOf(node: NodeId): JoinListing | null {
    const name = this.#nameOf(node);
    return name === null ? null : joinOf(this.#facts.listed, name);
  }

  learnedOf(node: NodeId): Uint8Array | null {
    const listing = this.listingOf(node);
    const learned = listing === null ? undefined : this.#learned.find(({ join }) => join === listing.text);
    return learned === undefined || this.#isListed(learned.key) ? null : parseKey(learned.key);
  }

  /** From now on these. */
  replace(facts: JoinFacts): void {
    this.#facts = facts;
  }

  learn(node: NodeId, listing: JoinListing, key: Uint8Array): Promise<Lesson> {
    const lesson = this.#busy.then(() => this.#learn(node, listing, key));
    this.#busy = lesson.catch(() => {});
    return lesson;
  }

  tell(happening: JoinHappening): void {
    this.onHappening(happening);
  }

  async #learn(node: NodeId, listing: JoinListing, key: Uint8Array): Promise<Lesson> {
    if (this.listingOf(node)?.text !== listing.text) return "unlisted";
    const known = this.learnedOf(node);
    if (known !== null) return keyText(known) === keyText(key) ? "known" : "another";
    if (this.#isTaken(keyText(key))) return "taken";
    const current = this.#learned.filter(({ node: name, join }) => this.#facts.listed.get(name)?.[0] === join);
    const learned = [...current, { node: this.#nameOf(node)!, join: listing.text, key: keyText(key) }];
    await keepLearned(this.#disk, learned);
    this.#learned = learned;
    this.onLearned();
    return "learned";
  }

  #isTaken(key: string): boolean {
    const others = this.#topology.nodes.flatMap(({ id }) => [this.listingOf(id)?.publicKey ?? null, this.learnedOf(id)]);
    const own = this.#facts.held.map(({ publicKey }) => publicKey);
    return this.#isListed(key) || [...others, ...own].some((other) => other !== null && keyText(other) === key);
  }

  #isListed(key: string): boolean {
    return [...this.#facts.listed.values()].some((keys) => keys.includes(key));
  }

  #nameOf(node: NodeId): string | null {
    return this.#topology.nodes.find(({ id }) => id === node)?.name ?? null;
  }
}
