/** What a connection needs of packet protection: sealing and opening under keys that change. `packet.ts` is it. */
export interface PacketProtection {
  /** Bytes a packet has besides its payload. */
  readonly overheadBytes: number;
  /** The packet: header, hidden packet number, sealed payload. Packet numbers only rise within a connection, also across keys. */
  seal(packetNumber: number, payload: Uint8Array): Uint8Array;
  /** Null for what is not the peer's, damaged, replayed or too old; nothing has changed then but the count of failures. */
  open(packet: Uint8Array): { readonly packetNumber: number; readonly payload: Uint8Array } | null;
  /** Seals with the next key from now on; the peer follows when it sees that. False if the last change is not confirmed yet. */
  update(): boolean;
  /** A packet sealed under the current key has been acknowledged, or opened. */
  readonly confirmed: boolean;
  /** Packets opened that were not under any key: at a limit the connection ends. */
  readonly failures: number;
}
