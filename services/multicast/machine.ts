/**
 * Multicast of one group: its machine tells the sender that the message has its place in the order, and those who listen whether one
 * that had a key is the first under it.
 */
import type { Position } from "../../core/position.ts";
import type { Rule } from "../../core/rules.ts";
import type { Reader } from "../bytes.ts";
import { Hash } from "../hash.ts";
import { type BadRequest, badRequest, type Machine, type Outcomes } from "../machine.ts";
import type { Intake } from "../restore.ts";
import type { Items } from "../snapshot.ts";
import { parseMessage } from "./command.ts";
import { Repeats, repeatsMax } from "./repeats.ts";

export type MulticastResult = { readonly kind: "sent" } | BadRequest;

const sent: MulticastResult = { kind: "sent" };

/** What is kept of a message that may come again: that it was one. */
const multicastOutcomes: Outcomes = {
  write: (result) => result === sent ? "\x01" : "\x00",
  read: (reader) => reader.u8() === 1 ? sent : badRequest,
};

export class MulticastMachine implements Machine {
  readonly outcomes: Outcomes = multicastOutcomes;
  readonly repeats: Repeats;

  constructor(without: ReadonlySet<Rule> = new Set()) {
    this.repeats = new Repeats(without.has("session-long") ? 1 : repeatsMax);
  }

  apply(_position: Position, reader: Reader, reply: boolean): MulticastResult | null {
    if (!reply) return null;
    return parseMessage(reader) === null ? badRequest : sent;
  }

  passOver(position: Position): void {
    this.repeats.add(position);
  }

  snapshot(): Items {
    return this.repeats.snapshot();
  }

  restore(position: Position): Intake {
    return this.repeats.restore(position);
  }

  digest(): string {
    const hash = new Hash();
    this.repeats.addTo(hash);
    return hash.digest();
  }
}
