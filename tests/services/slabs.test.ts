/** Slabs: values stay what they were while memory is reused and given back. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Prng } from "../../core/prng.ts";
import { Slabs } from "../../services/slabs.ts";

function fill(slabs: Slabs, handle: number, byte: number): void {
  const start = slabs.start(handle);
  slabs.buffer(handle).fill(byte, start, start + slabs.size(handle));
}

function content(slabs: Slabs, handle: number): number[] {
  const start = slabs.start(handle);
  return [...slabs.buffer(handle).subarray(start, start + slabs.size(handle))];
}

test("values keep their bytes through any order of allocating and freeing", () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("allocate" as const), size: fc.oneof(fc.nat(40), fc.nat(600)) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("free" as const), which: fc.nat() }) },
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
    const slabs = new Slabs({ slabBytes: 256 });
    const model = new Map<number, number[]>();
    let byte = 0;
    for (const step of steps) {
      if (step.kind === "allocate") {
        const handle = slabs.allocate(step.size);
        expect(model.has(handle)).toBe(false);
        fill(slabs, handle, byte = (byte + 1) % 256);
        model.set(handle, new Array<number>(step.size).fill(byte));
      } else if (model.size > 0) {
        const handle = [...model.keys()][step.which % model.size]!;
        slabs.free(handle);
        model.delete(handle);
      }
    }
    for (const [handle, bytes] of model) expect(content(slabs, handle)).toEqual(bytes);
    expect(slabs.liveBytes).toBe([...model.values()].reduce((sum, bytes) => sum + 8 + bytes.length, 0));
  }));
});

test("dead values do not keep more than a fifth of the memory, plus the slabs at either end", () => {
  const slabs = new Slabs({ slabBytes: 4_096 });
  const random = new Prng(1);
  const handles = Array.from({ length: 2_000 }, () => slabs.allocate(100));
  const filled = handles.map((handle, at) => (fill(slabs, handle, at % 256), at % 256));
  let most = 0;
  for (let round = 0; round < 50_000; round++) {
    // Some are replaced again and again, so that a slab holds several records of one handle.
    const at = random.below(random.below(4) === 0 ? 10 : handles.length);
    slabs.free(handles[at]!);
    handles[at] = slabs.allocate(100);
    fill(slabs, handles[at]!, filled[at] = round % 256);
    most = Math.max(most, slabs.heldBytes);
  }
  const live = 2_000 * 108;
  expect(slabs.liveBytes).toBe(live);
  expect(most).toBeLessThan(live / 0.8 + 5 * 4_096 + 3_000 * 8);
  handles.forEach((handle, at) => expect(content(slabs, handle)).toEqual(new Array<number>(100).fill(filled[at]!)));
});

test("all memory but two slabs goes when the last value goes", () => {
  const slabs = new Slabs({ slabBytes: 1_024 });
  const handles = Array.from({ length: 500 }, (_, at) => slabs.allocate(at));
  for (const handle of handles) slabs.free(handle);
  expect(slabs.liveBytes).toBe(0);
  expect(slabs.heldBytes).toBeLessThanOrEqual(2 * 1_024 + 8 * 600);
});

test("a value above a quarter of a slab has memory of its own, exactly as much as it needs, and gives it back", () => {
  const slabs = new Slabs({ slabBytes: 1_024 });
  const before = slabs.heldBytes;
  const handle = slabs.allocate(5_000);
  expect(slabs.heldBytes - before).toBe(5_008);
  slabs.free(handle);
  expect(slabs.heldBytes).toBe(before);
});

test("freeing a value twice stops the node", () => {
  const slabs = new Slabs();
  const handle = slabs.allocate(1);
  slabs.free(handle);
  expect(() => slabs.free(handle)).toThrow("Cannot free value 0: it is not in use");
});
