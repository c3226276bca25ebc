/** Damage as decoders meet it: bits flipped, lengths that lie, ends cut off or grown, pieces of others. */
import type { Random } from "./random.ts";

const lies: readonly number[] = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

export function mutate(random: Random, good: Uint8Array, other: Uint8Array): Uint8Array {
  let bytes: Uint8Array = good.slice();
  for (let rounds = 1 + random.below(3); rounds > 0; rounds--) {
    const at = random.below(Math.max(1, bytes.length));
    switch (random.below(7)) {
      case 0:
        if (bytes.length > 0) bytes[at]! ^= 1 << random.below(8);
        break;
      case 1:
        if (bytes.length > 0) bytes[at] = random.below(256);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = joined(bytes, random.bytes(random.below(20)));
        break;
      case 4:
        if (at + 4 <= bytes.length) new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, random.pick(lies), random.chance(0.7));
        break;
      case 5:
        bytes = joined(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)));
        break;
      case 6:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + random.below(8))));
        break;
    }
  }
  return bytes;
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + tail.length);
  bytes.set(head);
  bytes.set(tail, head.length);
  return bytes;
}
