/** That this runtime's cryptography makes the official Noise handshake, byte for byte. */
import { Cipher } from "../../edge/link/noise/cipher.ts";
import { Handshake } from "../../edge/link/noise/handshake.ts";
import type { Runtime } from "../../edge/runtime.ts";
import vectors from "../data/noise_vectors.json" with { type: "json" };
import { equal, test } from "./check.ts";

type Vector = typeof vectors.vectors[number];

export function noise(runtime: Runtime): void {
  for (const vector of vectors.vectors) test(`noise: ${vector.protocol_name} is the vector, at both ends`, () => sameAs(vector, runtime));
}

function sameAs(vector: Vector, { cryptography }: Runtime): void {
  const pair = (privateKey: Uint8Array) => ({ privateKey, publicKey: cryptography.publicKey(privateKey) });
  const [ours, theirs] = [pair(bytes(vector.init_static)), pair(bytes(vector.resp_static))];
  const initiator = new Handshake({
    cryptography,
    role: "initiator",
    prologue: bytes(vector.init_prologue),
    own: ours,
    ephemeral: bytes(vector.init_ephemeral),
    remote: bytes(vector.init_remote_static),
  });
  const responder = new Handshake({
    cryptography,
    role: "responder",
    prologue: bytes(vector.resp_prologue),
    own: theirs,
    ephemeral: bytes(vector.resp_ephemeral),
  });
  let at = 0;
  for (; !initiator.isDone; at++) {
    const [writer, reader] = at % 2 === 0 ? [initiator, responder] : [responder, initiator];
    const { payload, ciphertext } = vector.messages[at]!;
    const message = writer.write(bytes(payload));
    equal(message, bytes(ciphertext), `message ${at}`);
    equal(reader.read(message!), bytes(payload), `payload ${at}`);
  }
  equal(at, 2, "number of messages");
  equal([initiator.remote, responder.remote], [theirs.publicKey, ours.publicKey], "keys");
  const [here, there] = [initiator.split(), responder.split()];
  // The vector's hash stands before the last message; from there on it is the specification's to say.
  const last = bytes(vector.messages[at - 1]!.ciphertext);
  const hash = [last.subarray(0, 32), last.subarray(32)].reduce(
    (before, said) => cryptography.sha256(new Uint8Array([...before, ...said])),
    bytes(vector.handshake_hash),
  );
  equal([here.hash, there.hash], [hash, hash], "hashes");
  const ends = [here.send, there.receive, there.send, here.receive].map((key) => new Cipher(cryptography, key));
  for (; at < vector.messages.length; at++) {
    const [writer, reader] = at % 2 === 0 ? [ends[0]!, ends[1]!] : [ends[2]!, ends[3]!];
    const { payload, ciphertext } = vector.messages[at]!;
    equal(writer.seal(nothing, bytes(payload)), bytes(ciphertext), `message ${at}`);
    equal(reader.open(nothing, bytes(ciphertext)), bytes(payload), `payload ${at}`);
  }
}

const nothing = new Uint8Array(0);

function bytes(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/../g)!, (pair) => parseInt(pair, 16));
}
