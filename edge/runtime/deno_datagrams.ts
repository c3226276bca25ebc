/** UDP sockets of Deno's own: its node:dgram takes a thousand times as long per datagram. */
import type { DatagramEvents, DatagramSocket } from "../runtime.ts";
import { cannotListen } from "./listen.ts";

/** Longer datagrams are cut off; a larger buffer makes every one of them slower. */
const datagramBytesMax = 2_048;

// deno-lint-ignore require-await
export async function openDatagrams(
  { host, port }: { readonly host: string; readonly port: number },
  events: DatagramEvents,
): Promise<DatagramSocket> {
  const socket = bind(host, port);
  let closed = false;
  const receive = async (): Promise<void> => {
    while (!closed) {
      try {
        const [bytes, from] = await socket.receive(new Uint8Array(datagramBytesMax));
        const { hostname, port } = from as Deno.NetAddr;
        events.onDatagram({ host: hostname, port, bytes });
      } catch (error) {
        if (closed) return;
        events.onTrouble((error as Error).message);
      }
    }
  };
  void receive();
  return {
    host,
    port: (socket.addr as Deno.NetAddr).port,
    send(datagrams): void {
      for (const { host, port, bytes } of datagrams) {
        if (!closed) {
          socket.send(bytes, { transport: "udp", hostname: host, port }).catch((error: Error) => events.onTrouble(error.message));
        }
      }
    },
    // deno-lint-ignore require-await
    async close(): Promise<void> {
      if (closed) return;
      closed = true;
      socket.close();
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
