/**
 * What is said before there is a connection, as bytes. INIT begins a handshake and is as long as a packet may be everywhere;
 * whatever answers it is shorter. Its first MAC shows that the sender knows whom it speaks to (without it there is no
 * answer at all), its second that it receives what is sent to its address (asked for only under load).
 */
import type { NodeId } from "../../../core/ids.ts";
import type { Cryptography } from "../../runtime.ts";
import { joined } from "../noise/symmetric.ts";
import { connectionIdBytes } from "./keys.ts";
import { handshakeFlag } from "./packet.ts";

export const protocolVersion = 1;
export const initBytes = 1_200;
export const macBytes = 16;

const init: number = handshakeFlag | 1;
const response: number = handshakeFlag | 2;
const cookie: number = handshakeFlag | 3;
const version: number = handshakeFlag | 4;

const idAt = 2;
const bodyAt: number = idAt + connectionIdBytes;
/** In INIT a node stands before the rest. */
const initBodyAt: number = bodyAt + 2;
/** Bytes of an INIT besides its Noise message. */
export const initOverheadBytes: number = initBodyAt + 2 * macBytes;
const nonceBytes = 16;
const sealedCookieBytes: number = macBytes + 16;
const oneNonce: Uint8Array = new Uint8Array(12);

export type HandshakeMessage =
  | {
    readonly kind: "init";
    readonly version: number;
    /** The initiator's; so are those of the other messages. */
    readonly connectionId: Uint8Array;
    /** Whom the initiator claims to be. */
    readonly from: NodeId;
    readonly noise: Uint8Array;
    readonly mac1: Uint8Array;
    /** The message itself. */
    readonly bytes: Uint8Array;
  }
  | { readonly kind: "response"; readonly connectionId: Uint8Array; readonly noise: Uint8Array; readonly bytes: Uint8Array }
  | { readonly kind: "cookie"; readonly connectionId: Uint8Array; readonly nonce: Uint8Array; readonly sealed: Uint8Array }
  | { readonly kind: "version"; readonly connectionId: Uint8Array; readonly version: number };

/** Null for what no message of ours looks like. An INIT of another version has its id and its MACs in the same places. */
export function parseHandshake(bytes: Uint8Array): HandshakeMessage | null {
  const length = bytes.byteLength;
  if (length < bodyAt) return null;
  const connectionId = bytes.subarray(idAt, bodyAt);
  const spoken = bytes[1]!;
  switch (bytes[0]) {
    case init: {
      if (length < initBytes) return null;
      const from = bytes[bodyAt]! + bytes[bodyAt + 1]! * 256;
      const macAt = length - 2 * macBytes;
      const [noise, mac1] = [bytes.subarray(initBodyAt, macAt), bytes.subarray(macAt, macAt + macBytes)];
      return { kind: "init", version: spoken, connectionId, from, noise, mac1, bytes };
    }
    case response:
      if (spoken !== protocolVersion || length < bodyAt + macBytes) return null;
      return { kind: "response", connectionId, noise: bytes.subarray(bodyAt, length - macBytes), bytes };
    case cookie: {
      if (spoken !== protocolVersion || length !== bodyAt + nonceBytes + sealedCookieBytes) return null;
      const sealedAt = bodyAt + nonceBytes;
      return { kind: "cookie", connectionId, nonce: bytes.subarray(bodyAt, sealedAt), sealed: bytes.subarray(sealedAt) };
    }
    case version:
      return length === bodyAt ? { kind: "version", connectionId, version: spoken } : null;
    default:
      return null;
  }
}

/** What INITs to the holder of this key are authenticated with. Whoever knows the key can make it, nobody else. */
export function macKey({ sha256 }: Cryptography, publicKey: Uint8Array): Uint8Array {
  return sha256(joined(text.encode("carillon udp mac"), publicKey));
}

/** With an empty second MAC. */
export function writeInit(
  cryptography: Cryptography,
  key: Uint8Array,
  { connectionId, from, noise }: { readonly connectionId: Uint8Array; readonly from: NodeId; readonly noise: Uint8Array },
): Uint8Array {
  const head = joined(Uint8Array.of(init, protocolVersion), connectionId, Uint8Array.of(from & 0xff, from >>> 8), noise);
  return joined(head, mac(cryptography, key, head), new Uint8Array(macBytes));
}

export function hasFirstMac(cryptography: Cryptography, key: Uint8Array, bytes: Uint8Array): boolean {
  const at = bytes.byteLength - 2 * macBytes;
  return cryptography.sameBytes(mac(cryptography, key, bytes.subarray(0, at)), bytes.subarray(at, at + macBytes));
}

/** A copy that shows the cookie. */
export function withCookie(cryptography: Cryptography, bytes: Uint8Array, cookie: Uint8Array): Uint8Array {
  const head = bytes.subarray(0, bytes.byteLength - macBytes);
  return joined(head, mac(cryptography, cookie, head));
}

export function showsCookie(cryptography: Cryptography, bytes: Uint8Array, cookie: Uint8Array): boolean {
  const at = bytes.byteLength - macBytes;
  return cryptography.sameBytes(mac(cryptography, cookie, bytes.subarray(0, at)), bytes.subarray(at));
}

/** `key` came in the INIT, sealed: a response that others made up costs one hash, and spoils nothing. */
export function writeResponse(cryptography: Cryptography, key: Uint8Array, connectionId: Uint8Array, noise: Uint8Array): Uint8Array {
  const head = joined(Uint8Array.of(response, protocolVersion), connectionId, noise);
  return joined(head, mac(cryptography, key, head));
}

export function hasResponseMac(cryptography: Cryptography, key: Uint8Array, bytes: Uint8Array): boolean {
  const at = bytes.byteLength - macBytes;
  return cryptography.sameBytes(mac(cryptography, key, bytes.subarray(0, at)), bytes.subarray(at));
}

/** Only who sees the INIT it answers, and knows to whom that went, can read or make it. */
export function writeCookie(
  cryptography: Cryptography,
  key: Uint8Array,
  trigger: { readonly connectionId: Uint8Array; readonly mac1: Uint8Array },
  { nonce, cookie: value }: { readonly nonce: Uint8Array; readonly cookie: Uint8Array },
): Uint8Array {
  const sealed = cookieKey(cryptography, key, nonce).seal(oneNonce, trigger.mac1, value);
  return joined(Uint8Array.of(cookie, protocolVersion), trigger.connectionId, nonce, sealed);
}

/** The cookie; null if it is no answer to the INIT with this MAC. */
export function readCookie(
  cryptography: Cryptography,
  key: Uint8Array,
  mac1: Uint8Array,
  { nonce, sealed }: { readonly nonce: Uint8Array; readonly sealed: Uint8Array },
): Uint8Array | null {
  return cookieKey(cryptography, key, nonce).open(oneNonce, mac1, sealed);
}

export function writeVersion(connectionId: Uint8Array): Uint8Array {
  return joined(Uint8Array.of(version, protocolVersion), connectionId);
}

const text: TextEncoder = new TextEncoder();

function mac({ hmacSha256 }: Cryptography, key: Uint8Array, head: Uint8Array): Uint8Array {
  return hmacSha256(key, head).subarray(0, macBytes);
}

/** Good for one cookie. */
function cookieKey(cryptography: Cryptography, key: Uint8Array, nonce: Uint8Array): ReturnType<Cryptography["aead"]> {
  return cryptography.aead(cryptography.hmacSha256(key, joined(text.encode("cookie"), nonce)));
}
