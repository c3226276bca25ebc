/**
 * Makes a node that is listed by a join token known to one peer: while the peer does not let it in, and with pauses that grow, it
 * shows its key under its token.
 */
import type { Millis, NodeId } from "../../../core/ids.ts";
import type { OutgoingStream, Runtime } from "../../runtime.ts";
import { Backoff } from "../backoff.ts";
import { headerNames } from "../call.ts";
import { type Identity, keyText, ownKeys } from "../identity.ts";
import { randomBytes } from "../node_key.ts";
import { again, Greeter, joinPath } from "./greeting.ts";
import type { JoinHappening, Joins } from "./joins.ts";
import { isExpired } from "./token.ts";

/** A peer that knows us has let us in by then. */
const firstMs = 100;
const pauseMsMax = 10_000;
const answerMs = 5_000;

export interface JoinerOptions {
  readonly peer: NodeId;
  /** Of the peer, and of this node. */
  readonly names: { readonly peer: string; readonly self: string };
  readonly address: string;
  /** The peer lets us in. */
  isIn(): boolean;
  /** The peer knows our key now. */
  onKnown(): void;
  onNotice(sentence: string): void;
}

/** What the peer is meant by. */
interface Meaning {
  readonly remote: Uint8Array;
  /** It is the peer's token, and not a key of its own: what it answers is news. */
  readonly byToken: boolean;
  /** There is nothing else to try. */
  readonly isLast: boolean;
}

export class Joiner {
  readonly #runtime: Runtime;
  readonly #identity: Identity;
  readonly #options: JoinerOptions;
  readonly #backoff: Backoff;
  #stream: OutgoingStream | null = null;
  #attempts = 0;
  #nextAt: Millis;
  /** Since the latest attempt. */
  #wasIn = false;
  #cancelAlarm: () => void = nothing;
  #told: JoinHappening["kind"] | null = null;
  #closed = false;

  constructor(runtime: Runtime, identity: Identity, options: JoinerOptions) {
    this.#runtime = runtime;
    this.#identity = identity;
    this.#options = options;
    this.#backoff = new Backoff(() => runtime.entropy(), pauseMsMax);
    this.#nextAt = this.#now() + firstMs;
    if (this.#token !== null) this.#cancelAlarm = runtime.clock.wakeAt(this.#nextAt, () => this.check());
  }

  /** To be called now and then. */
  check(): void {
    if (this.#closed || this.#stream !== null || this.#token === null) return;
    if (this.#options.isIn()) this.#wasIn = true;
    if (this.#options.isIn() || this.#now() < this.#nextAt) return;
    const meaning = this.#newMeaning();
    if (meaning === null) this.#pause();
    else this.#greet(meaning, null);
  }

  close(): void {
    this.#closed = true;
    this.#end();
  }

  get #token(): Joins["token"] {
    return this.#identity.joins?.token ?? null;
  }

  /** Null if there is nothing that the peer could be meant by. */
  #newMeaning(): Meaning | null {
    const { roster, joins } = this.#identity;
    const { peer } = this.#options;
    const listing = joins!.listingOf(peer);
    const isFresh = listing !== null && !isExpired(listing, this.#runtime.clock.now().wall);
    const remotes = [...roster.keysOf(peer), ...(isFresh ? [listing.publicKey] : [])];
    if (remotes.length === 0) return null;
    const nth = this.#attempts++ % remotes.length;
    const isLast = nth === remotes.length - 1;
    return { remote: remotes[nth]!, byToken: isFresh && isLast, isLast };
  }

  /** `word`: from the answer before, if that wants it said again. */
  #greet(meaning: Meaning, word: Uint8Array | null): void {
    const { cluster, self } = this.#identity;
    const { peer, address } = this.#options;
    const { cryptography, entropy } = this.#runtime;
    const greeter = new Greeter({
      cryptography,
      greeting: { cluster, from: self, to: peer },
      token: this.#token!,
      remote: meaning.remote,
      lasting: ownKeys(this.#identity)[0]!.publicKey,
      word,
      ephemeral: randomBytes(32, entropy),
    });
    if (greeter.said === null) return this.#pause();
    let status = 0;
    let answer = "";
    const stream = this.#runtime.openStream(`http://${address}${joinPath}`, {
      [headerNames.from]: String(self),
      [headerNames.handshake]: greeter.said,
      "content-type": "application/octet-stream",
    }, {
      onAnswer: (answered, header) => {
        status = answered;
        answer = header(headerNames.handshake) ?? "";
      },
      onOpen: () => done(),
      onDrain: nothing,
      onClose: () => done(),
    });
    const done = (): void => {
      // Of one that has been given up nothing is heard any more.
      if (this.#stream !== stream) return;
      this.#end();
      if (status === again && word === null) return this.#sayAgain(meaning, greeter, answer);
      this.#pause();
      if (status === 200) void this.#onWelcome(meaning, greeter, answer);
      else if (status === 409 || status === 403 && meaning.isLast) this.#onRefusal(status);
    };
    this.#stream = stream;
    this.#cancelAlarm = this.#runtime.clock.wakeAt(this.#now() + answerMs, done);
  }

  #sayAgain(meaning: Meaning, greeter: Greeter, answer: string): void {
    const heard = greeter.hear(answer);
    // Without the token there is nobody to say it any more.
    if (heard !== null && this.#token !== null) return this.#greet(meaning, heard.word);
    this.#pause();
    if (heard === null) this.#onStranger();
  }

  async #onWelcome({ byToken }: Meaning, greeter: Greeter, answer: string): Promise<void> {
    const heard = greeter.hear(answer);
    if (heard === null) return this.#onStranger();
    if (byToken && !await this.#learn(heard.key) || this.#closed) return;
    this.#tellOnce({ kind: "joined", peer: this.#options.names.peer });
    this.#options.onKnown();
  }

  /** False if the peer is not known by this key now. */
  async #learn(key: Uint8Array): Promise<boolean> {
    const { names, peer, onNotice } = this.#options;
    const joins = this.#identity.joins!;
    const listing = joins.listingOf(peer);
    if (listing === null) return false;
    const lesson = await joins.learn(peer, listing, key).catch((error: Error) => error);
    if (lesson instanceof Error) onNotice(`Cannot keep the key of node ${names.peer}: ${lesson.message}`);
    else if (lesson === "learned") joins.tell({ kind: "key-learned", peer: names.peer, key: keyText(key) });
    else if (lesson === "another") {
      const known = joins.learnedOf(peer);
      this.#tellOnce({
        kind: "join-used-twice",
        peer: names.peer,
        key: known === null ? "another key" : keyText(known),
        other: keyText(key),
      });
    }
    return lesson === "learned" || lesson === "known";
  }

  #onStranger(): void {
    this.#options.onNotice(`Cannot join node ${this.#options.names.peer}: whoever answers there is not the node we mean`);
  }

  #onRefusal(status: number): void {
    const { names: { peer, self } } = this.#options;
    const own = this.#identity.joins!.listingOf(this.#identity.self);
    if (status === 409) {
      return this.#tellOnce({
        kind: "join-refused",
        peer,
        by: peer,
        reason: "the token has been used for another key there, or the key is not ours",
      });
    }
    if (own !== null && isExpired(own, this.#runtime.clock.now().wall)) return this.#tellOnce({ kind: "join-expired", peer, of: self });
    this.#tellOnce({ kind: "join-refused", peer, by: peer, reason: "it is not listed there, or this peer here by another key or token" });
  }

  /** The same is not told twice in a row. */
  #tellOnce(happening: JoinHappening): void {
    if (this.#told === happening.kind || this.#closed) return;
    this.#told = happening.kind;
    this.#identity.joins!.tell(happening);
  }

  #pause(): void {
    const now = this.#now();
    this.#nextAt = now + this.#backoff.waitMs(this.#wasIn ? Infinity : 0);
    this.#wasIn = false;
    this.#cancelAlarm();
    this.#cancelAlarm = this.#runtime.clock.wakeAt(this.#nextAt, () => this.check());
  }

  #end(): void {
    const stream = this.#stream;
    this.#stream = null;
    this.#cancelAlarm();
    stream?.close();
  }

  #now(): Millis {
    return this.#runtime.clock.now().mono;
  }
}

function nothing(): void {}
