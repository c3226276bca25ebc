/** What every clock of `edge/runtime` promises. */
import { newClock } from "../../edge/runtime/clock.ts";
import { type Clock, type Runtime, wallMicros } from "../../edge/runtime.ts";
import { equal, ok, test } from "./check.ts";

export function clock({ clock }: Runtime): void {
  test("clock: the wall clock is the system's and the monotonic one never goes back", () => twoClocks(clock));
  test("clock: an alarm rings once and never early", () => neverEarly(clock));
  test("clock: cancelled and distant alarms do not ring", () => cancelled(clock));
  test("clock: an alarm that may be later comes along with the next one, and by itself when its time is over", gracious);
  test("clock: soon comes after the call and in order", () => soon(clock));
  test("clock: setting an alarm anew costs microseconds", () => cheap(clock));
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function twoClocks(clock: Clock): void {
  const first = clock.now();
  ok(Math.abs(first.wall - wallMicros(Date.now())) < 20_000, "the wall clock is the system's");
  ok(Number.isSafeInteger(first.wall), "the wall clock counts whole microseconds");
  let last = first.mono;
  let forward = true;
  for (let i = 0; i < 10_000; i++) {
    const { mono } = clock.now();
    forward &&= mono >= last;
    last = mono;
  }
  ok(forward, "the monotonic clock never goes back");
}

async function neverEarly(clock: Clock): Promise<void> {
  const early: number[] = [];
  let rung = 0;
  await Promise.all([0, 0.3, 1, 2.5, 7, 20].map((ms) =>
    new Promise<void>((resolve) => {
      const at = clock.now().mono + ms;
      clock.wakeAt(at, () => {
        const lateBy = clock.now().mono - at;
        if (lateBy < 0) early.push(lateBy);
        rung++;
        resolve();
      });
    })
  ));
  equal(early, [], "what rang early");
  await sleep(20);
  equal(rung, 6, "rings");

  const order: string[] = [];
  clock.wakeAt(clock.now().mono - 5, () => order.push("alarm"));
  order.push("call");
  await sleep(20);
  equal(order, ["call", "alarm"], "order of an alarm for the past");
}

async function cancelled(clock: Clock): Promise<void> {
  const rings: string[] = [];
  const cancelA = clock.wakeAt(clock.now().mono + 10, () => rings.push("a"));
  clock.wakeAt(clock.now().mono + 50, () => rings.push("b"));
  cancelA();
  cancelA();
  clock.wakeAt(Infinity, () => rings.push("never"))();
  clock.wakeAt(Infinity, () => rings.push("never"));
  // More than a platform timer can wait, and more than its 32 bits hold.
  const cancelFar = clock.wakeAt(clock.now().mono + 2 ** 31 + 100, () => rings.push("far"));
  const cancelVeryFar = clock.wakeAt(clock.now().mono + 2 ** 40, () => rings.push("very far"));
  const cancelNone = clock.wakeAt(clock.now().mono + 15, () => {
    rings.push("c");
    // Set from inside an alarm, and earlier than what is left.
    clock.wakeAt(clock.now().mono + 1, () => rings.push("d"));
  });
  await sleep(120);
  cancelNone();
  // A machine that was busy elsewhere rings "c" and "b" together, and "d", which "c" sets, after both.
  ok(["c,d,b", "c,b,d"].includes(rings.join()), `alarms ring in the order of their times (${rings})`);
  cancelFar();
  cancelVeryFar();
}

/** Of a clock of its own: any alarm of somebody else would take it along as well. */
async function gracious(): Promise<void> {
  const clock = newClock();
  const began = clock.now().mono;
  const rings: string[] = [];
  const times = new Map<string, number>();
  const ring = (name: string) => (): void => {
    rings.push(name);
    times.set(name, clock.now().mono - began);
  };
  clock.wakeAt(began + 5, ring("lazy"), 60_000);
  clock.wakeAt(began + 60, ring("prompt"));
  const cancelled = clock.wakeAt(began + 5, ring("cancelled"), 60_000);
  cancelled();
  await sleep(150);
  // In the order of their times, in one wake.
  equal(rings, ["lazy", "prompt"]);
  ok(times.get("lazy")! >= 60, `it waited for the other (${times.get("lazy")} ms)`);
  clock.wakeAt(clock.now().mono + 5, ring("alone"), 20);
  await sleep(150);
  equal(rings, ["lazy", "prompt", "alone"]);
}

async function soon(clock: Clock): Promise<void> {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    clock.soon(() => order.push("first"));
    clock.soon(() => {
      order.push("second");
      clock.soon(() => {
        order.push("third");
        resolve();
      });
    });
    order.push("now");
  });
  equal(order, ["now", "first", "second", "third"]);
}

function cheap(clock: Clock): void {
  // A host sets its alarm anew after every turn: that has to be cheap.
  const began = performance.now();
  let cancel = clock.wakeAt(clock.now().mono + 50, () => {});
  for (let i = 0; i < 20_000; i++) {
    const next = clock.wakeAt(clock.now().mono + 50 + i * 0.001, () => {});
    cancel();
    cancel = next;
  }
  cancel();
  ok(performance.now() - began < 500, "setting an alarm anew costs microseconds");
}
