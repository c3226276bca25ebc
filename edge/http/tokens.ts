/**
 * The tokens by which users are known, changed while a node runs: two are listed while one takes the place of the other. Whoever has
 * a stream open under one that is gone is told so.
 */

export interface TokenChange {
  readonly added: number;
  readonly gone: number;
}

interface Watcher {
  readonly authorization: string | null;
  readonly revoked: () => void;
}

export class Tokens {
  /** Grows with every change, so that a request knows whether there was one while it waited. */
  changes = 0;
  #tokens: readonly string[] = [];
  readonly #watchers = new Set<Watcher>();

  constructor(tokens: readonly string[] = []) {
    this.#tokens = tokens;
  }

  /** None: nothing is asked for. */
  get none(): boolean {
    return this.#tokens.length === 0;
  }

  /** Takes the same time whichever it is and wherever it differs, so that nobody can guess a token letter by letter. */
  admits(authorization: string | null): boolean {
    if (this.none) return true;
    let admitted = 0;
    for (const token of this.#tokens) admitted |= Number(sameText(authorization ?? "", `Bearer ${token}`));
    return admitted === 1;
  }

  change(tokens: readonly string[]): TokenChange {
    const added = tokens.filter((token) => !this.#tokens.includes(token)).length;
    const gone = this.#tokens.filter((token) => !tokens.includes(token)).length;
    this.#tokens = tokens;
    if (added + gone > 0) this.changes++;
    for (const watcher of [...this.#watchers]) this.#look(watcher);
    return { added, gone };
  }

  /** Calls back once, maybe at once, when what was sent admits no longer. Returns a cancel. */
  watch(authorization: string | null, revoked: () => void): () => void {
    const watcher = { authorization, revoked };
    this.#watchers.add(watcher);
    this.#look(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  #look(watcher: Watcher): void {
    if (this.admits(watcher.authorization) || !this.#watchers.delete(watcher)) return;
    watcher.revoked();
  }
}

function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < b.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
}
