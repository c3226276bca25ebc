/**
 * Where nodes that are listed by a join token come with their keys. What a node is let in by later is on the disk before it is
 * answered. Whoever does not know the cluster's file costs a few hashes; whoever has no token, a key agreement, of which there is
 * never more than one under way.
 */
import type { NodeId } from "../../../core/ids.ts";
import { Bucket } from "../bucket.ts";
import { headerNames } from "../call.ts";
import { type Identity, keyText, ownKeys } from "../identity.ts";
import { randomBytes } from "../node_key.ts";
import { problem } from "../problem.ts";
import type { ServerOptions } from "../server.ts";
import { again, answerGreeting, keyMeant, parseGreeting } from "./greeting.ts";
import type { JoinHappening, Joins } from "./joins.ts";
import { isExpired, type JoinListing } from "./token.ts";

/** Of greetings that may be a node's. A cluster's nodes join one by one, and each asks again after a pause. */
const greetings = { perSecond: 5, atOnce: 20 } as const;
/** Events that are remembered so as not to be told twice: one of a kind for each token. */
const toldMax = 256;

const text: TextEncoder = new TextEncoder();

export class Door {
  readonly #options: ServerOptions;
  readonly #onNotice: (sentence: string) => void;
  readonly #greetings = new Bucket(greetings);
  readonly #told = new Set<string>();
  /** Makes the words that greetings are to come again with. */
  readonly #wordKey: Uint8Array;
  #refused = 0;

  constructor(options: ServerOptions, onNotice: (sentence: string) => void) {
    this.#options = options;
    this.#onNotice = onNotice;
    this.#wordKey = randomBytes(32, options.runtime.entropy);
  }

  /** So far. */
  get refused(): number {
    return this.#refused;
  }

  /** All there is to read is in the headers: a body is not looked at. */
  async fetch(request: Request): Promise<Response> {
    if (request.method !== "POST") return refusal(405, "bad-request", "a first contact is a POST");
    const sender = request.headers.get(headerNames.from) ?? "";
    const greeting = parseGreeting(request.headers.get(headerNames.handshake) ?? "");
    if (!/^[0-9]{1,6}$/.test(sender) || greeting === null) {
      return refusal(400, "bad-request", "a first contact names its sender and greets");
    }
    const from = Number(sender);
    const { joins } = this.#options.identity;
    const listing = from === this.#options.identity.self ? null : joins?.listingOf(from) ?? null;
    if (joins === undefined || listing === null) return this.#refuse(from, "no join token is listed for it");
    const { runtime, identity } = this.#options;
    if (isExpired(listing, runtime.clock.now().wall) && joins.learnedOf(from) === null) {
      this.#tellOnce(joins, listing.text, { kind: "join-expired", peer: this.#nameOf(from), of: this.#nameOf(from) });
      return this.#refuse(from, "its join token has expired");
    }
    const own = keyMeant(runtime.cryptography, greeting, listing.publicKey, ownersOf(identity));
    if (own === null) return this.#refuse(from, "it means another key of ours or another token than is listed");
    if (!this.#greetings.take(runtime.clock.now().mono)) return refusal(429, "overloaded", "too many first contacts at once");
    const answered = answerGreeting({
      cryptography: runtime.cryptography,
      greeting: { cluster: identity.cluster, from, to: identity.self },
      own,
      token: listing.publicKey,
      lasting: ownKeys(identity)[0]!.publicKey,
      wordFor: (key) => runtime.cryptography.hmacSha256(this.#wordKey, text.encode(`${from} ${listing.text} ${keyText(key)}`)),
      ephemeral: randomBytes(32, runtime.entropy),
    }, greeting.message);
    if (answered === null) return this.#refuse(from, "it has not the token that is listed for it, or is of another cluster");
    const { key, isProved, answer } = answered;
    // What is known already needs no proof: nothing comes of it.
    const known = joins.learnedOf(from);
    if (isProved) return await this.#learn(joins, { from, listing, key, answer });
    return welcome(known !== null && keyText(known) === keyText(key) ? 200 : again, answer);
  }

  async #learn(
    joins: Joins,
    { from, listing, key, answer }: {
      readonly from: NodeId;
      readonly listing: JoinListing;
      readonly key: Uint8Array;
      readonly answer: string;
    },
  ): Promise<Response> {
    const peer = this.#nameOf(from);
    const by = this.#nameOf(this.#options.identity.self);
    const lesson = await joins.learn(from, listing, key).catch((error: Error) => error);
    if (lesson instanceof Error) {
      this.#onNotice(`Cannot keep the key of node ${peer}: ${lesson.message}`);
      return refusal(503, "internal", "the key cannot be kept now");
    }
    switch (lesson) {
      case "another": {
        const known = joins.learnedOf(from);
        const [mine, other] = [known === null ? "another key" : keyText(known), keyText(key)];
        this.#tellOnce(joins, listing.text, { kind: "join-used-twice", peer, key: mine, other });
        return this.#refuse(from, `its join token has been used for another key before`, 409);
      }
      case "taken":
        this.#tellOnce(joins, listing.text, {
          kind: "join-refused",
          peer,
          by,
          reason: "the key it shows is not its own",
        });
        return this.#refuse(from, "the key it shows is not its own", 409);
      case "unlisted":
        return this.#refuse(from, "its join token is not listed any more");
      case "learned":
        joins.tell({ kind: "key-learned", peer, key: keyText(key) });
    }
    return welcome(200, answer);
  }

  /** Who has the token may know that it was used; others learn nothing. */
  #refuse(from: NodeId, why: string, status = 403): Response {
    this.#refused++;
    this.#onNotice(`Cannot get to know who says to be node ${from}: ${why}`);
    return status === 409 ? refusal(409, "key-reused", why) : refusal(403, "forbidden", "this node does not let you in");
  }

  #tellOnce(joins: Joins, word: string, happening: JoinHappening): void {
    const told = `${happening.kind} ${word}`;
    if (this.#told.has(told) || this.#told.size >= toldMax) return;
    this.#told.add(told);
    joins.tell(happening);
  }

  #nameOf(node: NodeId): string {
    return this.#options.topology.nodes.find(({ id }) => id === node)?.name ?? String(node);
  }
}

function welcome(status: number, answer: string): Response {
  return new Response("welcome\n", { status, headers: { [headerNames.handshake]: answer, "cache-control": "no-store" } });
}

/** The keys this node may be meant by: while its own are not known, its token. */
function ownersOf({ keys, joins }: Identity): Identity["keys"] {
  const token = joins?.token ?? null;
  return token === null ? keys : [...keys, token];
}

function refusal(status: number, code: string, detail: string): Response {
  return problem("Cannot get to know you", { status, code, detail });
}
