/**
 * Feeds the core and carries out what it asks; decides nothing itself. Whatever reaches the node in one
 * turn of the event loop is stepped together and drained once: one journal append, one frame per peer.
 */
import type { Confirmation, Delivery, Effects, Envelope, Input, Lost, ReadRequest, Refusal } from "../core/effects.ts";
import type { GroupId, Lsn, Millis } from "../core/ids.ts";
import type { CoreNode } from "../core/node.ts";
import type { Rule } from "../core/rules.ts";
import type { NodeView } from "../core/view.ts";
import type { Journal } from "./journal/journal.ts";
import type { Clock } from "./runtime.ts";

/** Where effects go. Called from a turn, never inside `submit`. */
export interface Outlets {
  send(envelope: Envelope): void;
  deliver(delivery: Delivery): void;
  refuse(refusal: Refusal): void;
  confirm(confirmation: Confirmation): void;
  /** The subscription has ended: what it needs next is gone. */
  lose(lost: Lost): void;
  /** Only a checkpoint gets this node further in the group. Said again until one does. */
  behind(group: GroupId): void;
  /** Asked of every proposal right before it is stepped. False: its time is over, and it is dropped. */
  begins(ticket: number, now: Millis): boolean;
  /** Proposals with this ticket or a lower one have been stepped: those not refused by now will not be. */
  proposed(ticket: number): void;
  /** The node cannot go on: a broken invariant or a failed disk. Once; nothing else is called after it. */
  crash(error: Error): void;
}

/** A turn ends there, and the rest waits for the next: other things than our inbox need the event loop too. */
const turnInputsMax = 2_048;

interface Held {
  readonly lsn: Lsn;
  readonly envelopes: readonly Envelope[];
}

export class Host {
  readonly #core: CoreNode;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #outlets: Outlets;
  readonly #without: ReadonlySet<Rule>;
  #inbox: Input[] = [];
  #scheduled = false;
  #stopped = false;
  /** Records handed to the journal, and those known to be durable. */
  #handed: Lsn = 0;
  #durable: Lsn = 0;
  /** What speaks for records that are on their way to the disk, oldest first. */
  readonly #held: Held[] = [];
  #view: NodeView | null = null;
  #wakeAt: Millis = Infinity;
  #cancelWake: () => void = () => {};
  readonly #onTurn = (): void => this.#guard(() => this.#turn());
  readonly #onWake = (): void => {
    this.#wakeAt = Infinity;
    this.submit({ kind: "wake" });
  };

  /** `core` has its records back and has not been stepped. */
  constructor(
    options: {
      readonly core: CoreNode;
      readonly journal: Journal;
      readonly clock: Clock;
      readonly outlets: Outlets;
      /** Rules the simulator takes away. */
      readonly without?: ReadonlySet<Rule>;
    },
  ) {
    this.#core = options.core;
    this.#journal = options.journal;
    this.#clock = options.clock;
    this.#outlets = options.outlets;
    this.#without = options.without ?? new Set();
  }

  /** Inputs queue; the turn after the one that is running steps them. */
  submit(input: Input): void {
    if (this.#stopped) return;
    this.#inbox.push(input);
    this.#schedule();
  }

  /** Lets a restart begin with what the node is now. Between two turns. */
  rebase(): void {
    this.#guard(() => {
      this.#journal.rebase(this.#core.bases(), (error) => {
        if (error !== null) this.crash(error);
      });
    });
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Records handed to the journal so far, and how many of them are durable. */
  get records(): { readonly handed: Lsn; readonly durable: Lsn } {
    return { handed: this.#handed, durable: this.#durable };
  }

  /** The same until the next turn: nothing changes in between. */
  view(): NodeView {
    return this.#view ??= this.#core.view();
  }

  /** Nothing is stepped or carried out any more. */
  stop(): void {
    this.#stopped = true;
    this.#inbox = [];
    this.#held.length = 0;
    this.#cancelWake();
  }

  /** Something outside the turns broke what they rely on. */
  crash(error: Error): void {
    if (this.#stopped) return;
    this.stop();
    this.#outlets.crash(error);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(this.#onTurn);
  }

  #turn(): void {
    this.#scheduled = false;
    if (this.#stopped) return;
    const inputs = this.#inbox.length > turnInputsMax ? this.#inbox.splice(0, turnInputsMax) : this.#inbox;
    if (inputs === this.#inbox) this.#inbox = [];
    else this.#schedule();
    const ticket = this.#step(inputs);
    const effects = this.#core.drain();
    this.#view = null;
    this.#send(effects.send);
    this.#persist(effects);
    for (const request of effects.reads) this.#read(request);
    for (const delivery of effects.deliveries) this.#outlets.deliver(delivery);
    for (const refusal of effects.refusals) this.#outlets.refuse(refusal);
    for (const confirmation of effects.confirmations) this.#outlets.confirm(confirmation);
    for (const { group, upTo } of effects.trims) this.#journal.trim(group, upTo);
    for (const lost of effects.lost) this.#outlets.lose(lost);
    for (const group of effects.behind) this.#outlets.behind(group);
    if (ticket > 0) this.#outlets.proposed(ticket);
    this.#wake(effects.wakeAt);
  }

  /** Returns the last ticket among them. */
  #step(inputs: readonly Input[]): number {
    const now = this.#clock.now();
    let ticket = 0;
    for (const input of inputs) {
      if (input.kind === "propose") {
        ticket = input.ticket;
        if (!this.#outlets.begins(ticket, now.mono)) continue;
      }
      this.#core.step(input, now);
    }
    return ticket;
  }

  #persist({ records, sendAfterPersist }: Effects): void {
    if (sendAfterPersist.length > 0) this.#hold(records.length, sendAfterPersist);
    if (records.length > 0) {
      const upTo = this.#handed += records.length;
      this.#journal.append(records, (error) => {
        // A failed sync is not tried again: what is on the disk is unknown.
        if (error !== null) return this.crash(error);
        this.#guard(() => {
          this.#durable = upTo;
          this.#release();
          this.submit({ kind: "persisted", upTo });
        });
      });
    }
    this.#release();
  }

  #hold(records: number, envelopes: readonly Envelope[]): void {
    const free = this.#without.has("hold-until-durable") || records === 0 && this.#without.has("hold-for-older");
    if (free) this.#send(envelopes);
    else this.#held.push({ lsn: this.#handed + records, envelopes });
  }

  /** A message waits for every record handed over before it, also those of earlier turns. */
  #release(): void {
    let released = 0;
    while (released < this.#held.length && this.#held[released]!.lsn <= this.#durable) this.#send(this.#held[released++]!.envelopes);
    if (released > 0) this.#held.splice(0, released);
  }

  #send(envelopes: readonly Envelope[]): void {
    for (const envelope of envelopes) this.#outlets.send(envelope);
  }

  #read({ request, group, from, to, bytesMax }: ReadRequest): void {
    this.#journal.read(group, from, to, bytesMax).then(
      (entries) => this.submit({ kind: "read", request, entries }),
      (error: Error) => this.crash(error),
    );
  }

  #wake(at: Millis): void {
    if (at === this.#wakeAt) return;
    const cancel = this.#cancelWake;
    this.#wakeAt = at;
    // The new alarm before the old one goes: the clock then keeps its timer.
    this.#cancelWake = this.#clock.wakeAt(at, this.#onWake);
    cancel();
  }

  /** A broken invariant ends the node where it is noticed; carried on from, it would spread. */
  #guard(action: () => void): void {
    if (this.#stopped) return;
    try {
      action();
    } catch (error) {
      this.crash(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
