/** Which segment or slab is needed by whom: the highest instance each group has in it, in step with the index. */
import type { GroupId, Instance } from "../../core/ids.ts";

export class Coverage {
  readonly #units = new Map<number, Map<GroupId, Instance>>();
  /** Nearly every note is of the unit that the one before was of. */
  #last = { unit: -1, highest: new Map<GroupId, Instance>() };

  note(unit: number, group: GroupId, instance: Instance): void {
    if (unit !== this.#last.unit) {
      let highest = this.#units.get(unit);
      if (highest === undefined) this.#units.set(unit, highest = new Map());
      this.#last = { unit, highest };
    }
    const { highest } = this.#last;
    if (instance > (highest.get(group) ?? 0)) highest.set(group, instance);
  }

  /** What units before this one hold of the group above `upTo` is held again by that unit or later ones. */
  clamp(before: number, group: GroupId, upTo: Instance): void {
    for (const [unit, highest] of this.#units) {
      if (unit < before && (highest.get(group) ?? 0) > upTo) highest.set(group, upTo);
    }
  }

  /** Does any group have an entry in it that is above what that group was trimmed to? */
  needed(unit: number, trimmedTo: (group: GroupId) => Instance): boolean {
    for (const [group, highest] of this.#units.get(unit) ?? []) if (highest > trimmedTo(group)) return true;
    return false;
  }

  forget(unit: number): void {
    this.#units.delete(unit);
    if (this.#last.unit === unit) this.#last = { unit: -1, highest: new Map() };
  }

  clear(): void {
    this.#units.clear();
    this.#last = { unit: -1, highest: new Map() };
  }
}
