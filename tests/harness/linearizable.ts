/**
 * Was this history possible for one copy of the data? The search of Wing and Gong, with Lowe's
 * memory of configurations already seen: pick an operation that was not preceded by an unpicked
 * one, apply it to the model, go on; step back when the model disagrees.
 */
export interface Operation<Request, Answer> {
  readonly client: string;
  readonly request: Request;
  readonly answer: Answer;
  /** Of one clock. */
  readonly calledAt: number;
  readonly answeredAt: number;
}

export interface Model<State, Request, Answer> {
  readonly initial: State;
  /** The state afterwards, or undefined if the operation cannot have had this answer in `state`. */
  step(state: State, request: Request, answer: Answer): State | undefined;
  /** Equal texts for equal states. */
  describeState(state: State): string;
  describe(request: Request, answer: Answer): string;
}

/** null if the history is linearizable, else a text that shows where the longest attempt got stuck. */
export function findViolation<State, Request, Answer>(
  model: Model<State, Request, Answer>,
  history: readonly Operation<Request, Answer>[],
): string | null {
  const operations = [...history].sort((a, b) => a.calledAt - b.calledAt);
  const list = linkEvents(operations);
  const seen = new Set<string>();
  const done = new Configuration(operations.length);
  const path: { event: Event; state: State }[] = [];
  let state = model.initial;
  let event = list.next;
  let best: { count: number; state: State; stuckOn: number } = { count: -1, state, stuckOn: -1 };

  while (done.left > 0) {
    // The end of the list is never reached: an operation not picked yet still has its answer in it.
    if (event === null) throw new Error("Cannot search the history: its events are not linked right");
    const { index } = event;
    if (event.kind === "call") {
      const { request, answer } = operations[index]!;
      const next = model.step(state, request, answer);
      if (next !== undefined) {
        done.add(index);
        const configuration = `${done.describe()}|${model.describeState(next)}`;
        if (!seen.has(configuration)) {
          seen.add(configuration);
          path.push({ event, state });
          state = next;
          unlink(event);
          event = list.next;
          continue;
        }
        done.remove(index);
      }
      event = event.next;
      continue;
    }
    // An answer came before its operation was picked: some choice before was wrong.
    if (path.length > best.count) best = { count: path.length, state, stuckOn: index };
    const last = path.pop();
    if (last === undefined) return explain(model, operations, best);
    state = last.state;
    done.remove(last.event.index);
    relink(last.event);
    event = last.event.next;
  }
  return null;
}

interface Event {
  readonly kind: "call" | "answer" | "head";
  readonly index: number;
  next: Event | null;
  previous: Event | null;
  /** Of a call. */
  readonly answer: Event | null;
}

/** Calls and answers in the order of time; where times are equal calls come first, which allows more. */
function linkEvents(operations: readonly Operation<unknown, unknown>[]): Event {
  const timed = operations.flatMap((operation, index) => {
    const answer: Event = { kind: "answer", index, next: null, previous: null, answer: null };
    const call: Event = { kind: "call", index, next: null, previous: null, answer };
    return [{ at: operation.calledAt, event: call }, { at: operation.answeredAt, event: answer }];
  });
  timed.sort((a, b) => a.at - b.at || Number(a.event.kind === "answer") - Number(b.event.kind === "answer"));
  const head: Event = { kind: "head", index: -1, next: null, previous: null, answer: null };
  let last = head;
  for (const { event } of timed) {
    last.next = event;
    event.previous = last;
    last = event;
  }
  return head;
}

function unlink(call: Event): void {
  for (const event of [call, call.answer!]) {
    event.previous!.next = event.next;
    if (event.next !== null) event.next.previous = event.previous;
  }
}

/** Undoes the last `unlink`; the events still know their neighbours of then. */
function relink(call: Event): void {
  for (const event of [call.answer!, call]) {
    event.previous!.next = event;
    if (event.next !== null) event.next.previous = event;
  }
}

/** The set of operations picked so far, short to describe because it is nearly a prefix. */
class Configuration {
  left: number;
  readonly #picked: Uint8Array;
  /** Everything before it is picked. */
  #low = 0;
  /** Picked, but not before `#low`. */
  readonly #extra = new Set<number>();

  constructor(operations: number) {
    this.left = operations;
    this.#picked = new Uint8Array(operations);
  }

  add(index: number): void {
    this.left--;
    this.#picked[index] = 1;
    this.#extra.add(index);
    for (; this.#picked[this.#low] === 1; this.#low++) this.#extra.delete(this.#low);
  }

  remove(index: number): void {
    this.left++;
    this.#picked[index] = 0;
    this.#extra.delete(index);
    while (this.#low > index) {
      this.#low--;
      if (this.#picked[this.#low] === 1) this.#extra.add(this.#low);
    }
  }

  describe(): string {
    return `${this.#low}:${[...this.#extra].sort((a, b) => a - b).join()}`;
  }
}

function explain<State, Request, Answer>(
  model: Model<State, Request, Answer>,
  operations: readonly Operation<Request, Answer>[],
  best: { readonly count: number; readonly state: State; readonly stuckOn: number },
): string {
  const stuck = operations[best.stuckOn]!;
  const around = operations.filter((operation) => operation.calledAt <= stuck.answeredAt && operation.answeredAt >= stuck.calledAt).slice(
    -12,
  );
  return [
    `not linearizable: ${best.count} of ${operations.length} operations fit, leaving ${model.describeState(best.state)}; then`,
    ...around.map((operation) => {
      const mark = operation === stuck ? " ← cannot be" : "";
      return `  ${operation.client} ${operation.calledAt.toFixed(3)}–${operation.answeredAt.toFixed(3)} ${
        model.describe(operation.request, operation.answer)
      }${mark}`;
    }),
  ].join("\n");
}
