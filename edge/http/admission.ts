/**
 * The one door of a node: how much it takes on at once. Whoever comes while the house is full is told so at once, before the body
 * is read; whoever is in gets an answer in time, because nobody waits in a queue that is longer than the work of a moment.
 */
import { CarillonError } from "../../core/errors.ts";

export interface AdmissionLimits {
  /** Requests under way while the node keeps up, and while it does not: see `adapt`. */
  readonly requestsMax: number;
  readonly requestsMin: number;
  /** What they brought along. A body of unknown length counts as it comes. */
  readonly requestBytesMax: number;
  /** Streams that are open, and requests that were told to wait until something happens: they cost memory and no work. */
  readonly streamsMax: number;
}

export const defaultAdmissionLimits: AdmissionLimits = {
  requestsMax: 2_048,
  // Enough to keep every part of a node busy.
  requestsMin: 128,
  requestBytesMax: 64 << 20,
  streamsMax: 4_096,
};

/** What is under way now, and what was turned away since the process started. */
export interface AdmissionStats {
  readonly requests: number;
  /** How many may be under way now. */
  readonly room: number;
  readonly bytes: number;
  readonly streams: number;
  readonly refused: number;
}

/** An event loop that is this late does more at a time than is good for anybody: what waits for it waits several times over. */
const lateMs = 50;
/** How fast the room shrinks and grows, each time it is looked at. */
const shrink = 0.75;
const growth = 64;

/** The work of about this long is what a full house holds: then there is room again. */
const retryAfterMs = 1_000;

export class Admission {
  readonly #limits: AdmissionLimits;
  #room: number;
  #requests = 0;
  #bytes = 0;
  #streams = 0;
  #refused = 0;

  constructor(limits: Partial<AdmissionLimits> = {}) {
    this.#limits = { ...defaultAdmissionLimits, ...limits };
    this.#room = this.#limits.requestsMax;
  }

  /**
   * To be told now and then how late the event loop runs. How long requests take says nothing of the load (it may be the distance),
   * but a late loop does: then less at a time gets as much done, and sooner.
   */
  adapt(lateBy: number): void {
    const { requestsMin, requestsMax } = this.#limits;
    if (lateBy > lateMs) this.#room = Math.max(Math.min(requestsMin, requestsMax), Math.floor(this.#room * shrink));
    else this.#room = Math.min(requestsMax, this.#room + growth);
  }

  /** Nobody else gets in before somebody has left. */
  get full(): boolean {
    return this.#requests >= this.#room;
  }

  /** What is said in a full house. The same to everybody, so that whoever does this often can say it once, and `count`. */
  refusal(): CarillonError {
    return overloaded("as many requests as it can bear are under way in this node");
  }

  /** `bytes`: of the body, as far as its length is announced. Throws `overloaded`; the newest goes, for the others are half done. */
  enter(request: Request, bytes: number): Admitted {
    if (this.full) throw this.#counted(this.refusal());
    this.hold(bytes);
    this.#requests++;
    const admitted = new Admitted(this, bytes);
    inside.set(request, admitted);
    return admitted;
  }

  stats(): AdmissionStats {
    return { requests: this.#requests, room: this.#room, bytes: this.#bytes, streams: this.#streams, refused: this.#refused };
  }

  // ── What the admitted call ────────────────────────────────────────────────────────────────────────────────────────

  hold(bytes: number): void {
    if (this.#bytes + bytes > this.#limits.requestBytesMax) {
      throw this.#counted(overloaded(`${this.#bytes} bytes of requests are under way in this node`));
    }
    this.#bytes += bytes;
  }

  linger(): void {
    if (this.#streams >= this.#limits.streamsMax) throw this.#counted(overloaded(`${this.#streams} streams are open in this node`));
    this.#streams++;
    this.#requests--;
  }

  leave(bytes: number, lingering: boolean): void {
    this.#bytes -= bytes;
    if (lingering) this.#streams--;
    else this.#requests--;
  }

  /** One more was told what `refusal` says. */
  count(): void {
    this.#refused++;
  }

  #counted(error: CarillonError): CarillonError {
    this.#refused++;
    return error;
  }
}

function overloaded(state: string): CarillonError {
  return new CarillonError("overloaded", `Cannot take this on now: ${state}`, { retryable: true, retryAfterMs });
}

const inside = new WeakMap<Request, Admitted>();

/** Undefined for a request that nobody had to let in. */
export function admittedOf(request: Request): Admitted | undefined {
  return inside.get(request);
}

/** One request that is in. Whoever let it in sees that it leaves. */
export class Admitted {
  /** When it came: a deadline counts from there. */
  readonly since: number = performance.now();
  readonly #admission: Admission;
  #bytes: number;
  #lingering = false;
  #left = false;

  constructor(admission: Admission, bytes: number) {
    this.#admission = admission;
    this.#bytes = bytes;
  }

  /** More of the body has come than was announced. Throws `overloaded`. */
  hold(bytes: number): void {
    if (this.#left) return;
    this.#admission.hold(bytes);
    this.#bytes += bytes;
  }

  /** From now on it only waits for something to happen. Throws `overloaded`. */
  linger(): void {
    if (this.#left || this.#lingering) return;
    this.#admission.linger();
    this.#lingering = true;
  }

  /** Doing it again does nothing. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#admission.leave(this.#bytes, this.#lingering);
  }
}
