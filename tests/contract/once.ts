/** Writes with an idempotency key: the same in this process and over HTTP. */
import type { Runtime } from "../../edge/runtime.ts";
import { flavoursOn } from "./carillon.ts";
import { equal, ok, rejects, test } from "./check.ts";

export function once(runtime: Runtime): void {
  for (const { name, run } of flavoursOn(runtime)) {
    test(`carillon, ${name}: a write with a key is made once, and tells its outcome again`, () =>
      run(async (carillon) => {
        const { kv } = carillon;
        const put = await kv.put("user/ada", "1", { idempotencyKey: "put" });
        equal(put.replayed, undefined, "the first is new");
        equal(await kv.put("user/ada", "1", { idempotencyKey: "put" }), { ...put, replayed: true });
        await rejects(kv.put("user/ada", "2", { idempotencyKey: "put" }), "key-reused");

        const lost = async () => await kv.insert("user/ada", "2", { idempotencyKey: "lost" });
        const first = await lost();
        ok(!first.ok && first.current?.text() === "1", "it met what was there");
        await kv.put("user/ada", "3");
        const again = await lost();
        ok(!again.ok && again.replayed === true && again.current !== null, "it stays lost");
        equal([again.current.version, again.position], [first.current.version, first.position]);
        await rejects(Promise.resolve().then(() => again.current!.text()), "compacted");

        const gone = await kv.delete("user/ada", { idempotencyKey: "delete" });
        await kv.put("user/ada", "4");
        equal(await kv.delete("user/ada", { idempotencyKey: "delete" }), { ...gone, replayed: true });
        equal((await kv.get("user/ada"))?.text(), "4");
        await rejects(kv.delete("user/ada", { idempotencyKey: "nothing", ifVersion: null }), "bad-request");
        await rejects(kv.put("user/ada", "5", { idempotencyKey: "ä" }), "bad-request");
      }));

    test(`carillon, ${name}: an append with a key is one record`, () =>
      run(async (carillon) => {
        await carillon.log("l").create({ group: "left" });
        await carillon.log("r").create({ group: "right" });
        const appended = await carillon.log("l").append("x", { idempotencyKey: "1" });
        equal(await carillon.log("l").append("x", { idempotencyKey: "1" }), { ...appended, replayed: true });
        const both = await carillon.append(["r", "l"], ["y", "z"], { idempotencyKey: "2" });
        const again = await carillon.append(["r", "l"], ["y", "z"], { idempotencyKey: "2" });
        equal(again, both.map((part) => ({ ...part, replayed: true as const })));
        const trimmed = await carillon.log("l").trim(1, { idempotencyKey: "3" });
        await carillon.log("l").append("more");
        equal(await carillon.log("l").trim(1, { idempotencyKey: "3" }), { ...trimmed, replayed: true });
        equal((await carillon.log("l").read({ from: 1 })).records.map((record) => record.text()), ["y", "z", "more"]);
        // In JavaScript nobody keeps a caller from giving a key where there is no place for one.
        const extra: object = { idempotencyKey: "4" };
        await rejects(carillon.log("n").create(extra), "bad-request");
      }));

    test(`carillon, ${name}: a message with a key is heard once, and its place is told again`, () =>
      run(async (carillon) => {
        const first = await carillon.multicast(["left", "right"], "once", { idempotencyKey: "1" });
        equal(first.replayed, undefined, "the first is new");
        equal(await carillon.multicast(["left", "right"], "once", { idempotencyKey: "1" }), { ...first, replayed: true });
        await rejects(carillon.multicast(["left", "right"], "other", { idempotencyKey: "1" }), "key-reused");
        const { position } = await carillon.multicast(["left"], "last");
        const heard: (readonly [string, string])[] = [];
        for await (const event of carillon.deliveries(["left"], { after: "start" })) {
          if (event.kind === "message") heard.push([event.text(), event.position]);
          if (heard.at(-1)?.[0] === "last") break;
        }
        equal(heard, [["once", first.position], ["last", position]]);
      }));
  }
}
