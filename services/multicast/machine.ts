/** Multicast has no state: its machine only tells the sender that the message has its place in the order. */
import type { Position } from "../../core/position.ts";
import type { Reader } from "../bytes.ts";
import { type BadRequest, badRequest, type Machine } from "../machine.ts";
import { parseMessage } from "./command.ts";

export type MulticastResult = { readonly kind: "sent" } | BadRequest;

const sent: MulticastResult = { kind: "sent" };

export class MulticastMachine implements Machine {
  apply(_position: Position, reader: Reader, reply: boolean): MulticastResult | null {
    if (!reply) return null;
    return parseMessage(reader) === null ? badRequest : sent;
  }

  digest(): string {
    return "";
  }
}
