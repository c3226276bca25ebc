/** What nodes report, judged: pure, from reports to sentences. Nothing is said that no node has reported. */
import type { LinkSeen, LinksSeen } from "../../client/links.ts";
import { span } from "../units.ts";
import type { Quantiles } from "./samples.ts";

export interface Report {
  readonly name: string;
  /** Empty: nobody has said where it listens for users. */
  readonly url: string;
  /** Why it gave no answer; null if it did. */
  readonly trouble: string | null;
  readonly notReady: readonly string[];
  readonly durability: string;
  readonly links: LinksSeen | null;
  /** Its clock minus ours, measured to ± `clockErrorMs`. */
  readonly clockAheadMs: number;
  readonly clockErrorMs: number;
  readonly syncs: Quantiles | null;
  readonly diskFull: boolean;
}

export interface Finding {
  readonly level: "fine" | "warning" | "wrong";
  readonly what: string;
  readonly text: string;
  /** What to do about it. */
  readonly remedy: string | null;
}

/** Clocks that differ by less are as good as one: what is ordered waits for the slowest. */
const clocksApartMs = 50;
const slowSyncMs = 50;
const lossWorthTelling = 0.02;
/** Every path of IPv6 carries this much; a smaller one has something in between. */
const smallMtuBytes = 1_252;

export function findingsOf(reports: readonly Report[]): Finding[] {
  const answering = reports.filter(({ trouble }) => trouble === null);
  return [
    ...ofNodes(reports, answering),
    ...ofClocks(answering),
    ...ofDisks(answering),
    ...ofLinks(answering),
    ...ofJoins(answering),
    ...ofDoors(answering),
  ];
}

function ofNodes(reports: readonly Report[], answering: readonly Report[]): Finding[] {
  const findings = reports.flatMap(({ name, url, trouble, notReady }): Finding[] => {
    const what = `node ${name}`;
    if (url === "") {
      return [
        warning(
          what,
          "cannot be asked: its entry in the configuration has no http address",
          `http = "http://${name}:4100" in its [[nodes]]`,
        ),
      ];
    }
    if (trouble !== null) return [wrong(what, `gives no answer at ${url}: ${trouble}`, `is it running? on ${name}: carillon start`)];
    return notReady.map((reason) => wrong(what, `is not ready: ${reason}`, `carillon status --url ${url}`));
  });
  if (findings.length > 0) return findings;
  return [fine("nodes", answering.length === 1 ? `${answering[0]!.name} is ready` : `all ${answering.length} answer and are ready`)];
}

function ofClocks(reports: readonly Report[]): Finding[] {
  if (reports.length < 2) return [];
  const ordered = reports.toSorted((a, b) => a.clockAheadMs - b.clockAheadMs);
  const [slow, fast] = [ordered[0]!, ordered.at(-1)!];
  const apartMs = fast.clockAheadMs - slow.clockAheadMs;
  const errorMs = fast.clockErrorMs + slow.clockErrorMs;
  const measured = `measured to ± ${span(errorMs)}`;
  if (apartMs - errorMs <= clocksApartMs) return [fine("clock", `${span(apartMs)} apart at most, ${measured}`)];
  return [
    warning(
      "clock",
      `${fast.name} is ${span(apartMs)} ahead of ${slow.name}, ${measured}`,
      `a time service (chrony, systemd-timesyncd) on ${slow.name} and ${fast.name}`,
    ),
  ];
}

function ofDisks(reports: readonly Report[]): Finding[] {
  const full = reports.filter(({ diskFull }) => diskFull)
    .map(({ name }) => wrong("disk", `${name} refuses writes: its disk is full`, `df -h on ${name}, and make room`));
  const timed = reports.flatMap(({ name, syncs }) => syncs === null ? [] : [{ name, ...syncs }]);
  const text = ({ name, p50Ms, p99Ms, count }: (typeof timed)[number]): string =>
    `${name}: fdatasync p50 ≤ ${span(p50Ms)}, p99 ≤ ${span(p99Ms)} (${count} calls)`;
  const slow = timed.filter(({ p99Ms }) => p99Ms > slowSyncMs)
    .map((one) => warning("disk", text(one), "every acknowledged write waits for it: a faster disk, or one of its own"));
  if (full.length + slow.length > 0) return [...full, ...slow];
  if (timed.length > 0) {
    const worst = timed.reduce((a, b) => b.p99Ms > a.p99Ms ? b : a);
    return [fine("disk", timed.length === 1 ? text(worst) : `the slowest of ${timed.length} is ${text(worst)}`)];
  }
  const inMemory = reports.filter(({ durability }) => durability === "memory");
  return inMemory.length > 0 && inMemory.length === reports.length ? [fine("disk", "nothing is kept on one (durability memory)")] : [];
}

function ofLinks(reports: readonly Report[]): Finding[] {
  const all = reports.flatMap(({ name, links }) => (links?.links ?? []).map((link) => ({ from: name, link })));
  if (all.length === 0) return [];
  const findings = all.flatMap(({ from, link }) => ofLink(from, link));
  const connected = all.filter(({ link }) => link.connected);
  const over = (driver: string): number => connected.filter(({ link }) => link.driver === driver).length;
  const trips = connected.flatMap(({ link }) => link.rttMs ?? []);
  const rtt = trips.length === 0 ? "" : `, round trips ${Math.min(...trips).toFixed(1)} to ${Math.max(...trips).toFixed(1)} ms`;
  const summary = `${connected.length} of ${all.length} connected: ${over("udp")} over UDP, ${over("h2")} over HTTP/2${rtt}`;
  return [...(connected.length === all.length ? [fine("links", summary)] : []), ...findings];
}

function ofLink(from: string, link: LinkSeen): Finding[] {
  const way = `${from}→${link.peer}`;
  const { udp } = link;
  const port = /:(\d+)$/.exec(link.address)?.[1] ?? link.address;
  const findings: Finding[] = [];
  if (!link.connected) {
    const silence = link.heardMsAgo === null ? "nothing was ever heard of it" : `heard ${span(link.heardMsAgo)} ago`;
    const why = udp?.failure === null || udp?.failure === undefined ? "" : `; over UDP: ${udp.failure}`;
    findings.push(
      wrong(
        `link ${way}`,
        `no connection to ${link.address || link.peer}, ${silence}${why}`,
        `is it running, with this node's key in its file? open TCP and UDP ${port} from ${from}`,
      ),
    );
  } else if (udp?.state === "failing" && link.driver === "h2") {
    const since = udp.failingMs === null ? "" : ` (since ${span(udp.failingMs)})`;
    findings.push(
      wrong(`udp ${way}`, `${udp.failure ?? "does not work"}${since}; h2 works, link falls back to h2`, `open UDP ${port} from ${from}`),
    );
  }
  const small = udp !== null && link.mtuBytes !== null && link.mtuBytes < smallMtuBytes;
  const lossy = link.lossRatio !== null && link.lossRatio > lossWorthTelling;
  if (!small && !lossy) return findings;
  const parts: string[] = [];
  if (lossy) parts.push(`${Math.round(link.lossRatio! * 100)} % loss`);
  if (small) {
    const stuck = udp.stuckBytes === null ? "" : `${udp.stuckBytes} bytes do not get through: `;
    parts.push(`${stuck}path MTU is smaller than usual; using ${link.mtuBytes}`);
  }
  findings.push(
    warning(`udp ${way}`, parts.join("; "), small ? `link.mtu = ${link.mtuBytes} in ${from}'s configuration spares it the search` : null),
  );
  return findings;
}

/** Two keys of one node are two findings: somebody is in who should not be. */
function ofJoins(reports: readonly Report[]): Finding[] {
  const learned = reports.flatMap(({ name, links }) =>
    (links?.links ?? []).flatMap(({ peer, learnedKey }) => learnedKey === null ? [] : [{ by: name, peer, key: learnedKey }])
  );
  const first = learned.filter((one, index) => learned.findIndex(({ peer, key }) => peer === one.peer && key === one.key) === index);
  return first.map(({ peer, key }) => {
    const by = learned.filter((one) => one.peer === peer && one.key === key).map((one) => one.by);
    const text = `${by.join(", ")} ${by.length === 1 ? "lets" : "let"} it in by a key that it has shown under its join token`;
    return warning(`join ${peer}`, text, `key = "${key}" in its [[nodes]] in the cluster's file, in place of "join"`);
  });
}

function ofDoors(reports: readonly Report[]): Finding[] {
  return reports.flatMap(({ name, links }) => {
    const refused = links?.handshakesRefused ?? 0;
    if (refused === 0) return [];
    const text = `${name} has refused ${refused} ${
      refused === 1 ? "handshake" : "handshakes"
    } since its start: of keys it does not list, or that do not fit`;
    return [warning("keys", text, `the same [[nodes]] on every node? what ${name} wrote to standard error says who it was`)];
  });
}

function fine(what: string, text: string): Finding {
  return { level: "fine", what, text, remedy: null };
}

function warning(what: string, text: string, remedy: string | null): Finding {
  return { level: "warning", what, text, remedy };
}

function wrong(what: string, text: string, remedy: string): Finding {
  return { level: "wrong", what, text, remedy };
}
