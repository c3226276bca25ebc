/** A deterministic state machine: equal commands in equal order make equal states and equal results at every replica. */
import type { Position } from "../core/position.ts";
import type { Reader } from "./bytes.ts";
import type { Intake } from "./restore.ts";
import type { Items } from "./snapshot.ts";

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

/** What a checkpoint needs of a state. */
export interface State {
  /** As it is now, behind the command at `position`, whatever is applied from now on. */
  snapshot(position: Position): Items;
  /** Takes such a state in. Until that is finished the machine goes on with what it has, and so do snapshots that are under way. */
  restore(position: Position): Intake;
}

/** A machine without state has neither. */
export interface Machine extends Partial<State> {
  /**
   * Applies the command whose body `reader` stands at; what it reads is valid only during the call. Never throws for what a
   * command says. `reply` is false where nobody waits: then the result may be null. Null also says that the command is for
   * replicas of other groups only.
   */
  apply(position: Position, reader: Reader, reply: boolean): object | null;
  /** Absent where no command may carry a key. */
  readonly outcomes?: Outcomes;
  /** Instead of `apply`, for a command under a key that had been used. */
  passOver?(position: Position): void;
  /** A hash of the whole state. */
  digest(): string;
}

export function hasState<M extends Machine>(machine: M | null): machine is M & State {
  return machine?.snapshot !== undefined && machine.restore !== undefined;
}
