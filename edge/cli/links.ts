/** carillon links: how the node that is asked reaches each of the others. */
import { type LinkSeen, linksOf } from "../client/links.ts";
import { type Call, exits } from "./command.ts";
import { withNode } from "./connect.ts";
import { bytesText, span } from "./units.ts";

export function links(call: Call): Promise<number> {
  return withNode(call, async (carillon) => {
    const timeoutMs = call.duration("timeout");
    const seen = await linksOf(carillon, timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs));
    if (call.output.format !== "text") await call.output.json(seen.document);
    else await call.output.table(headings, seen.links.map(row));
    return exits.fine;
  });
}

const headings = ["PEER", "DRIVER", "STATE", "RTT", "LOSS", "MTU", "WINDOW", "SENT", "RECEIVED", "AGAIN", "SINCE", "WHY"];

function row(link: LinkSeen): (string | number | null)[] {
  return [
    link.peer,
    link.driver || null,
    stateOf(link),
    link.rttMs === null ? null : `${link.rttMs.toFixed(1)} ms`,
    link.lossRatio === null ? null : `${(link.lossRatio * 100).toFixed(1)} %`,
    link.mtuBytes,
    link.congestionWindowBytes === null ? null : bytesText(link.congestionWindowBytes),
    link.sentBytes === null ? null : bytesText(link.sentBytes),
    link.receivedBytes === null ? null : bytesText(link.receivedBytes),
    link.retransmitted,
    link.connectedMs === null ? null : span(link.connectedMs),
    link.reason || null,
  ];
}

function stateOf({ connected, heardMsAgo }: LinkSeen): string {
  if (connected) return "connected";
  return heardMsAgo === null ? "never heard" : `heard ${span(heardMsAgo)} ago`;
}
