/** Hands a datagram on. What the receiver throws is its own mistake: it ends the process, and is not taken for trouble of the socket. */
import type { Datagram, DatagramEvents } from "../runtime.ts";

export function deliver(events: DatagramEvents, datagram: Datagram): void {
  try {
    events.onDatagram(datagram);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
