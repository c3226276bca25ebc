/** Calls of every kind at the services of several nodes, made of chance. */
import { expect } from "bun:test";
import type { Prng } from "../../core/prng.ts";
import type { Services } from "../../services/services.ts";
import { settled } from "./sequencer.ts";

/** A mix of everything, some of it bound to be refused. */
export async function load(services: readonly Services[], random: Prng, calls: number): Promise<void> {
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)]!;
  const logs = ["e1", "e2", "u1"];
  await Promise.all(logs.map((name) => services[0]!.log(name).create({ group: name[0] === "e" ? "eu" : "us" })));
  const versions: string[] = [];
  const running: Promise<unknown>[] = [];
  for (let n = 0; n < calls; n++) {
    const at = pick(services);
    const key = pick(["a", "b", "c", "x", "y"]);
    const value = `${n}`.repeat(random.below(200));
    const keep = (result: { ok: boolean; version?: string }) => result.ok && versions.push(result.version!);
    const call = [
      () => at.kv.put(key, value).then(keep),
      () => at.kv.insert(key, value).then(keep),
      () => at.kv.put(key, value, { ifVersion: versions.length > 0 ? pick(versions) : null }).then(keep),
      () => at.kv.delete(key),
      () => at.log(pick(logs)).appendAll([value, key]),
      () => at.log(pick(logs)).append(value, { expect: random.below(20) }),
      () => at.append(["e1", "u1"], [value]),
      () => at.append(["e2", "e1"], [value]),
      () => at.log(pick(logs)).trim(random.below(10)).catch((error: { code: string }) => expect(error.code).toBe("past-tail")),
      () => at.multicast(["eu", "us"], value),
      // Few keys and few values, so that some are replays and some are refused.
      () => at.kv.put(key, "v", { idempotencyKey: `${random.below(20)}` }).catch(refused),
      () => at.log(pick(logs)).append("v", { idempotencyKey: `${random.below(20)}` }).catch(refused),
      () => at.append(["u1", "e2"], ["v"], { idempotencyKey: `${random.below(20)}` }).catch(refused),
      () => at.multicast(pick([["eu"], ["eu", "us"]]), "v", { idempotencyKey: `${random.below(20)}` }).catch(refused),
    ];
    running.push(pick(call)());
    if (random.unit() < 0.2) await settled();
  }
  await Promise.all(running);
}

function refused({ code }: { readonly code: string }): void {
  expect(["key-reused", "in-progress"]).toContain(code);
}
