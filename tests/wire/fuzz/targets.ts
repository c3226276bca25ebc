/** What strangers and peers can reach of links over UDP, from bytes to whole nodes, and what must hold of it whatever they send. */
import { connectionTarget } from "./connection.ts";
import { endpointTarget } from "./endpoint.ts";
import { framesTarget } from "./frames.ts";
import { handshakesTarget } from "./handshakes.ts";
import { packetsTarget } from "./packets.ts";
import type { Target } from "./target.ts";

export const targets: readonly Target[] = [framesTarget, packetsTarget, handshakesTarget, connectionTarget, endpointTarget];
