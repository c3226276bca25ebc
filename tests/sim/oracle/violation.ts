/** What an oracle throws: its name, and a sentence that says what it saw. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly oracle: string;

  constructor(oracle: string, message: string) {
    super(message);
    this.oracle = oracle;
  }
}

/** The sentence is only made when it is needed: oracles look at every step. */
export function demand(condition: boolean, oracle: string, sentence: () => string): asserts condition {
  if (!condition) throw new Violation(oracle, sentence());
}
