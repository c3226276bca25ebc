/**
 * UDP sockets of Deno's own: its node:dgram takes a thousand times as long per datagram. They have the system's buffers, which
 * hold some 200 KiB, and no way to ask for larger ones.
 */
import type { DatagramEvents, DatagramSocket } from "../runtime.ts";
import { mappedAddress, plainAddress } from "./addresses.ts";
import { deliver } from "./deliver.ts";
import { cannotListen } from "./listen.ts";

/** Longer datagrams are cut off. A buffer that holds all there may be makes every one of them nine times as slow. */
const datagramBytesMax = 2_048;

// deno-lint-ignore require-await
export async function openDatagrams(
  { host, port }: { readonly host: string; readonly port: number },
  events: DatagramEvents,
): Promise<DatagramSocket> {
  const socket = bind(host, port);
  const nameOf = host.includes(":") ? mappedAddress : (host: string): string => host;
  let closed = false;
  const receive = async (): Promise<void> => {
    while (!closed) {
      try {
        const [bytes, from] = await socket.receive(new Uint8Array(datagramBytesMax));
        const { hostname, port } = from as Deno.NetAddr;
        deliver(events, { host: plainAddress(hostname), port, bytes });
      } catch (error) {
        if (closed) return;
        events.onTrouble((error as Error).message);
      }
    }
  };
  const received = receive();
  return {
    host,
    port: (socket.addr as Deno.NetAddr).port,
    datagramBytesMax,
    send(datagrams): void {
      for (const { host, port, bytes } of datagrams) {
        if (!closed) socket.send(bytes, { transport: "udp", hostname: nameOf(host), port }).catch(ignore);
      }
    },
    close(): Promise<void> {
      if (!closed) socket.close();
      closed = true;
      // The port is free once nobody waits for what comes.
      return received;
    },
  };
}

function bind(hostname: string, port: number): Deno.DatagramConn {
  try {
    return Deno.listenDatagram({ transport: "udp", hostname, port });
  } catch (error) {
    throw cannotListen({ host: hostname, port }, error);
  }
}

/** One that is too long, or has no way. */
function ignore(): void {}
