/**
 * Packets, before and after decryption: two ends seal and change keys, and whoever is between them damages, repeats, splices and
 * delays. What is opened has been sealed by the peer, is what was sealed, and is opened once. Some packets are sealed with the
 * right keys by a peer that breaks the rules of headers.
 */
import { headerMask, PhaseKey } from "../../../edge/link/udp/keys.ts";
import { packetHeaderBytes, Packets } from "../../../edge/link/udp/packet.ts";
import { cryptography } from "./cryptography.ts";
import { sameBytes, Tape } from "./tape.ts";
import type { Target } from "./target.ts";

const secrets = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;
const ids = [new Uint8Array(8).fill(0xa0), new Uint8Array(8).fill(0xb0)] as const;
const stepsMax = 150;
/** A window of packets, and what the low 32 bits of a number can tell. */
const jumpMax = 2 ** 31;

interface Sealed {
  readonly number: number;
  readonly payload: Uint8Array;
  readonly bytes: Uint8Array;
  opened: boolean;
}

/** One end, and all it has sealed. */
class Side {
  readonly packets: Packets;
  readonly sealed: Sealed[] = [];
  /** Largest number opened. */
  largest = -1;
  next = 0;
  constructor(self: 0 | 1) {
    const [send, receive] = [secrets[self], secrets[1 - self]!];
    this.packets = new Packets(cryptography, { send, receive }, ids[1 - self]!);
  }

  seal(number: number, payload: Uint8Array): void {
    this.next = number + 1;
    this.sealed.push({ number, payload, bytes: this.packets.seal(number, payload), opened: false });
  }
}

export const packetsTarget: Target = {
  name: "packets",
  make: (random) => random.bytes(20 + random.below(300)),
  check: (input) => {
    const tape = new Tape(input);
    const sides = [new Side(0), new Side(1)] as const;
    let changed = false;
    let accepted = false;
    let given = 0;
    for (let steps = 0; !tape.ended && steps < stepsMax; steps++) {
      const what = tape.byte();
      const from = sides[what & 1]!;
      const to = sides[1 - (what & 1)]!;
      switch ((what >> 1) % 8) {
        case 0:
        case 1: {
          const number = from.next + (tape.below(4) === 0 ? tape.number() : 0);
          if (number < Number.MAX_SAFE_INTEGER) from.seal(number, tape.rest(tape.below(50)));
          break;
        }
        case 2:
          changed = from.packets.update() || changed;
          break;
        case 3:
          // Whatever becomes of it, from now on the two may not agree any more on what the next packet is.
          given++;
          to.packets.open(forged(tape, (what & 1) as 0 | 1));
          changed = true;
          break;
        default: {
          if (from.sealed.length === 0) break;
          const { bytes } = tape.pick(from.sealed);
          const asIs = tape.below(3) > 0;
          given++;
          accepted = read(to, from, asIs ? bytes : tape.damaged(bytes, tape.pick(from.sealed).bytes), changed) || accepted;
        }
      }
    }
    return { accepted, read: given };
  },
};

/** Whether it is opened, which it must be if it is new and no key has changed. */
function read(to: Side, from: Side, bytes: Uint8Array, changed: boolean): boolean {
  const sealed = from.sealed.find((other) => sameBytes(other.bytes, bytes));
  const failures = to.packets.failures;
  const opened = to.packets.open(bytes.slice());
  if (opened === null) {
    if (to.packets.failures > failures + 1) throw new Error("one packet counts as several failures");
    const reachable = sealed !== undefined && !sealed.opened && !changed && sealed.number - to.largest < jumpMax;
    if (reachable && sealed.number > to.largest) throw new Error(`packet ${sealed.number} is not opened, after ${to.largest}`);
    return false;
  }
  if (sealed === undefined) throw new Error("it opens what was never sealed");
  if (sealed.opened) throw new Error(`it opens packet ${sealed.number} a second time`);
  if (opened.packetNumber !== sealed.number) throw new Error(`it takes packet ${sealed.number} for ${opened.packetNumber}`);
  if (!sameBytes(opened.payload, sealed.payload)) throw new Error("the payload has changed");
  sealed.opened = true;
  to.largest = Math.max(to.largest, sealed.number);
  return true;
}

/** With the right keys, now or next, and any flags and number: a member may say that. */
function forged(tape: Tape, self: 0 | 1): Uint8Array {
  const now = new PhaseKey(cryptography, secrets[self]);
  const key = tape.below(2) === 0 ? now : now.next();
  const header = new Uint8Array(packetHeaderBytes);
  header[0] = tape.byte();
  header.set(ids[1 - self]!, 1);
  const number = tape.number();
  new DataView(header.buffer).setUint32(9, number >>> 0);
  const packet = key.seal(number, header, tape.rest(tape.below(20)));
  packet.set(header);
  const mask = headerMask(cryptography, secrets[self])(packet, packetHeaderBytes);
  packet[0]! ^= mask[0]! & 0x1f;
  for (let at = 0; at < 4; at++) packet[9 + at]! ^= mask[1 + at]!;
  return packet;
}
