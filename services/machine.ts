/** A deterministic state machine: equal commands in equal order make equal states and equal results at every replica. */
import type { Position } from "../core/position.ts";
import type { Reader } from "./bytes.ts";

/** A command this machine cannot read. It changes nothing, the same at every replica. */
export interface BadRequest {
  readonly kind: "bad-request";
}

export const badRequest: BadRequest = { kind: "bad-request" };

/** How a machine's results are kept for commands that come again: only what an answer needs, a few bytes. */
export interface Outcomes {
  /** As a binary string; never empty. */
  write(result: object): string;
  read(reader: Reader): object;
}

export interface Machine {
  /**
   * Applies the command whose body `reader` stands at; what it reads is valid only during the call. Never throws for what a
   * command says. `reply` is false where nobody waits: then the result may be null. Null also says that the command is for
   * replicas of other groups only.
   */
  apply(position: Position, reader: Reader, reply: boolean): object | null;
  /** Absent where no command may carry a key. */
  readonly outcomes?: Outcomes;
  /** A hash of the whole state. */
  digest(): string;
}
