/** What a node says of its links, as it comes over HTTP: looked at before it is believed. */
import type { Carillon } from "../../services/api.ts";
import { problemOf } from "./failure.ts";
import { asDocument, type Document, documentsOf, misshapen, textOf } from "./items.ts";

/** One peer, as one node sees it; null is what that node cannot know. */
export interface LinkSeen {
  readonly peer: string;
  readonly address: string;
  readonly connected: boolean;
  readonly connectedMs: number | null;
  readonly heardMsAgo: number | null;
  /** `udp` or `h2`; empty if the node does not say. */
  readonly driver: string;
  readonly reason: string;
  readonly rttMs: number | null;
  readonly lossRatio: number | null;
  readonly mtuBytes: number | null;
  readonly congestionWindowBytes: number | null;
  readonly sentBytes: number | null;
  readonly receivedBytes: number | null;
  readonly retransmitted: number | null;
  /** By which the node lets the peer in because it was shown under a join token; null for a peer that is listed by keys. */
  readonly learnedKey: string | null;
  readonly udp: UdpSeen | null;
}

export interface UdpSeen {
  readonly state: string;
  readonly failure: string | null;
  readonly failingMs: number | null;
  readonly passedBytes: number | null;
  readonly stuckBytes: number | null;
}

export interface LinksSeen {
  readonly node: string;
  /** Of the node's clock, milliseconds since 1970. */
  readonly at: number;
  readonly links: readonly LinkSeen[];
  readonly handshakesRefused: number | null;
  /** All of it, as it came. */
  readonly document: Document;
}

export async function linksOf(carillon: Carillon, signal?: AbortSignal): Promise<LinksSeen> {
  const init = { headers: { accept: "application/json" }, ...(signal === undefined ? {} : { signal }) };
  const answer = await carillon.fetch(new Request("http://node/v1/links", init));
  const text = await answer.text();
  if (!answer.ok) throw problemOf(text, false) ?? misshapen(`status ${answer.status} without a problem document`);
  const document = asDocument(JSON.parse(text));
  return {
    node: textOf(document, "node"),
    at: Date.parse(textOf(document, "at")),
    links: documentsOf(document, "links").map(linkOf),
    handshakesRefused: document.counts === null ? null : numberOrNull(asDocument(document.counts), "handshakesRefused"),
    document,
  };
}

function linkOf(link: Document): LinkSeen {
  return {
    peer: textOf(link, "peer"),
    address: textOrEmpty(link, "address"),
    connected: link.connected === true,
    connectedMs: numberOrNull(link, "connectedMs"),
    heardMsAgo: numberOrNull(link, "heardMsAgo"),
    driver: textOrEmpty(link, "driver"),
    reason: textOrEmpty(link, "reason"),
    rttMs: numberOrNull(link, "rttMs"),
    lossRatio: numberOrNull(link, "lossRatio"),
    mtuBytes: numberOrNull(link, "mtuBytes"),
    congestionWindowBytes: numberOrNull(link, "congestionWindowBytes"),
    sentBytes: numberOrNull(link, "sentBytes"),
    receivedBytes: numberOrNull(link, "receivedBytes"),
    retransmitted: numberOrNull(link, "retransmitted"),
    learnedKey: textOrEmpty(link, "learnedKey") || null,
    udp: link.udp === null || link.udp === undefined ? null : udpOf(asDocument(link.udp)),
  };
}

function udpOf(udp: Document): UdpSeen {
  return {
    state: textOf(udp, "state"),
    failure: textOrEmpty(udp, "failure") || null,
    failingMs: numberOrNull(udp, "failingMs"),
    passedBytes: numberOrNull(udp, "passedBytes"),
    stuckBytes: numberOrNull(udp, "stuckBytes"),
  };
}

function numberOrNull(document: Document, name: string): number | null {
  const value = document[name];
  return typeof value === "number" ? value : null;
}

function textOrEmpty(document: Document, name: string): string {
  const value = document[name];
  return typeof value === "string" ? value : "";
}
