/** What the doctor makes of what nodes report, as it prints it; and of three that run. */
import { expect, test } from "bun:test";
import { type Finding, findingsOf, type Report } from "../../edge/cli/doctor/findings.ts";
import { isDiskFullIn, syncsIn } from "../../edge/cli/doctor/samples.ts";
import type { LinkSeen } from "../../edge/client/links.ts";
import { RealCluster } from "../harness/real_cluster.ts";
import { runProgram } from "./program.ts";

const good: LinkSeen = {
  peer: "sin-1",
  address: "sin-1.internal:4101",
  connected: true,
  connectedMs: 60_000,
  heardMsAgo: 10,
  driver: "udp",
  reason: "it answers",
  rttMs: 158,
  lossRatio: 0.001,
  mtuBytes: 1_452,
  congestionWindowBytes: 100_000,
  sentBytes: 1,
  receivedBytes: 1,
  retransmitted: 0,
  learnedKey: null,
  udp: { state: "open", failure: null, failingMs: null, passedBytes: 1_452, stuckBytes: null },
};

function report(name: string, link: Partial<LinkSeen> = {}, rest: Partial<Report> = {}): Report {
  return {
    name,
    url: `http://${name}:4100`,
    trouble: null,
    notReady: [],
    durability: "sync",
    links: { node: name, at: 0, links: [{ ...good, ...link }], handshakesRefused: 0, document: {} },
    clockAheadMs: 0,
    clockErrorMs: 1,
    syncs: { p50Ms: 0.5, p99Ms: 2.5, count: 512 },
    diskFull: false,
    ...rest,
  };
}

const lines = (reports: readonly Report[]): string[] =>
  findingsOf(reports).map(({ level, what, text, remedy }: Finding) =>
    `${{ fine: "✓", warning: "!", wrong: "✗" }[level]} ${what}: ${text}${remedy === null ? "" : ` → ${remedy}`}`
  );

/** What is said beside what is said of nodes that are well. */
const trouble = (one: Report): string[] =>
  lines([one, report("sin-1", { peer: one.name, rttMs: 158.4 })]).filter((line) => !line.startsWith("✓"));

test("nodes that are well take four lines", () => {
  const sin = report("sin-1", { peer: "fra-1", rttMs: 158.4, driver: "h2" }, {
    clockAheadMs: 3.2,
    syncs: { p50Ms: 1, p99Ms: 5, count: 7 },
  });
  expect(lines([report("fra-1"), sin])).toEqual([
    "✓ nodes: all 2 answer and are ready",
    "✓ clock: 3 ms apart at most, measured to ± 2 ms",
    "✓ disk: the slowest of 2 is sin-1: fdatasync p50 ≤ 1 ms, p99 ≤ 5 ms (7 calls)",
    "✓ links: 2 of 2 connected: 1 over UDP, 1 over HTTP/2, round trips 158.0 to 158.4 ms",
  ]);
  expect(lines([report("dev", {}, { links: null, syncs: null, durability: "memory" })])).toEqual([
    "✓ nodes: dev is ready",
    "✓ disk: nothing is kept on one (durability memory)",
  ]);
});

test("a path that loses, and one that is too narrow", () => {
  const udp = { ...good.udp!, passedBytes: 1_232, stuckBytes: 1_253 };
  expect(trouble(report("fra-1", { lossRatio: 0.12, mtuBytes: 1_232, udp }))).toEqual([
    "! udp fra-1→sin-1: 12 % loss; 1253 bytes do not get through: path MTU is smaller than usual; using 1232 → link.mtu = 1232 in fra-1's configuration spares it the search",
  ]);
  expect(trouble(report("fra-1", { lossRatio: 0.05 }))).toEqual(["! udp fra-1→sin-1: 5 % loss"]);
  // What is too long for any path does not get through, and that is as it should be.
  expect(trouble(report("fra-1", { udp: { ...good.udp!, stuckBytes: 1_473 } }))).toEqual([]);
});

test("a node that is known by a key it has shown: the line that lists it", () => {
  const reports = ["fra-1", "iad-1"].map((name) => report(name, { learnedKey: "ck1_a" }));
  const told = (all: readonly Report[]): string[] => lines(all).filter((line) => line.includes("join"));
  expect(told([...reports, report("sin-1", { peer: "fra-1" })])).toEqual([
    '! join sin-1: fra-1, iad-1 let it in by a key that it has shown under its join token → key = "ck1_a" in its [[nodes]] in the cluster\'s file, in place of "join"',
  ]);
  expect(told([reports[0]!, report("iad-1", { learnedKey: "ck1_b" })]).map((line) => line.slice(0, 26))).toEqual([
    "! join sin-1: fra-1 lets i",
    "! join sin-1: iad-1 lets i",
  ]);
});

test("UDP that is not let through, and no way at all", () => {
  const udp = { state: "failing", failure: "no answer in 3 s", failingMs: 61_000, passedBytes: null, stuckBytes: null };
  const narrow = { lossRatio: null, mtuBytes: null, udp };
  expect(trouble(report("fra-1", { ...narrow, driver: "h2" }))).toEqual([
    "✗ udp fra-1→sin-1: no answer in 3 s (since 61.0 s); h2 works, link falls back to h2 → open UDP 4101 from fra-1",
  ]);
  expect(trouble(report("fra-1", { ...narrow, connected: false, connectedMs: null, heardMsAgo: 12_345 }))).toEqual([
    "✗ link fra-1→sin-1: no connection to sin-1.internal:4101, heard 12.3 s ago; over UDP: no answer in 3 s → is it running, with this node's key in its file? open TCP and UDP 4101 from fra-1",
  ]);
  expect(trouble(report("fra-1", { connected: false, heardMsAgo: null, udp: null, mtuBytes: null, lossRatio: null }))[0]).toContain(
    "no connection to sin-1.internal:4101, nothing was ever heard of it →",
  );
});

test("nodes, clocks, disks and keys", () => {
  expect(trouble(report("fra-1", {}, { trouble: "Cannot reach it", links: null }))).toEqual([
    "✗ node fra-1: gives no answer at http://fra-1:4100: Cannot reach it → is it running? on fra-1: carillon start",
  ]);
  expect(trouble(report("fra-1", {}, { trouble: "", url: "", links: null }))).toEqual([
    '! node fra-1: cannot be asked: its entry in the configuration has no http address → http = "http://fra-1:4100" in its [[nodes]]',
  ]);
  expect(trouble(report("fra-1", {}, { notReady: ["group eu has no coordinator yet"] }))).toEqual([
    "✗ node fra-1: is not ready: group eu has no coordinator yet → carillon status --url http://fra-1:4100",
  ]);
  expect(trouble(report("fra-1", {}, { clockAheadMs: 400 }))).toEqual([
    "! clock: fra-1 is 400 ms ahead of sin-1, measured to ± 2 ms → a time service (chrony, systemd-timesyncd) on sin-1 and fra-1",
  ]);
  // Measured too badly to say.
  expect(trouble(report("fra-1", {}, { clockAheadMs: 400, clockErrorMs: 380 }))).toEqual([]);
  expect(trouble(report("fra-1", {}, { diskFull: true, syncs: { p50Ms: 10, p99Ms: 100, count: 9 } }))).toEqual([
    "✗ disk: fra-1 refuses writes: its disk is full → df -h on fra-1, and make room",
    "! disk: fra-1: fdatasync p50 ≤ 10 ms, p99 ≤ 100 ms (9 calls) → every acknowledged write waits for it: a faster disk, or one of its own",
  ]);
  const refused = { ...report("fra-1").links!, handshakesRefused: 3 };
  expect(trouble(report("fra-1", {}, { links: refused }))[0]).toStartWith("! keys: fra-1 has refused 3 handshakes since its start");
});

test("what it reads in metrics", () => {
  const bucket = (le: string, total: number): string => `carillon_journal_sync_duration_seconds_bucket{le="${le}"} ${total}\n`;
  expect(syncsIn(bucket("0.0005", 60) + bucket("0.001", 99) + bucket("+Inf", 100))).toEqual({ p50Ms: 0.5, p99Ms: 1, count: 100 });
  expect([syncsIn(""), syncsIn(bucket("+Inf", 0))]).toEqual([null, null]);
  expect(["carillon_disk_full 1\n", "carillon_disk_full 0\n"].map(isDiskFullIn)).toEqual([true, false]);
});

test("three nodes: how one reaches the others, that all are well, and what is wrong once one is gone", async () => {
  await using cluster = await RealCluster.start({ durability: "async" });
  const [n1, n2, n3] = cluster.nodes;
  const carillon = (...args: string[]) => runProgram(args, { env: { CARILLON_URL: n1!.url } });
  const rows = (await carillon("links")).stdout.trimEnd().split("\n").map((line) => line.split("\t"));
  expect(rows.map(([peer, , state]) => [peer, state])).toEqual([["n2", "connected"], ["n3", "connected"]]);
  for (const [, driver, , rtt] of rows) expect([driver, rtt]).toEqual([expect.stringMatching(/^(udp|h2)$/), expect.stringMatching(/ ms$/)]);
  const { node, links } = JSON.parse((await carillon("links", "--json")).stdout);
  expect([node, links.map(({ address }: LinkSeen) => address)]).toEqual(["n1", [n2, n3].map((peer) => `127.0.0.1:${peer!.linkPort}`)]);

  const well = await carillon("doctor");
  expect(well.stdout.split("\n").filter((line) => !/^[✓!]/.test(line))).toEqual([""]);
  expect(well.stdout).toContain("✓\tnodes\tall 3 answer and are ready\n");
  expect(well.stdout).toContain("✓\tlinks\t6 of 6 connected: ");
  expect([well.code, well.stderr]).toEqual([0, ""]);

  await n3!.kill();
  await n2!.kill();
  // One of three has no quorum: it is not ready, and says why.
  for (;;) {
    const { findings } = JSON.parse((await carillon("doctor", "--json")).stdout) as { findings: Finding[] };
    const own = findings.filter(({ what }) => what === "node n1").map(({ text }) => text);
    if (own.some((text) => text.startsWith("is not ready: quorum: group main has no coordinator"))) break;
  }
  n2!.start();
  for (;;) {
    const { code, stdout } = await carillon("doctor", "--json");
    const wrong = (JSON.parse(stdout).findings as Finding[]).filter(({ level }) => level === "wrong").map(({ what }) => what);
    // The two others are ready again after a while.
    if (wrong.filter((what) => what.startsWith("node")).join() !== "node n3") continue;
    if (!["link n1→n3", "link n2→n3"].every((way) => wrong.includes(way))) continue;
    expect(code).toBe(1);
    break;
  }
}, 60_000);

test("a firewall that does not let UDP through is found out, told as an event, and explained; and that it is gone", async () => {
  await using cluster = await RealCluster.start({ durability: "memory", relay: true });
  const [n1] = cluster.nodes;
  const way = `127.0.0.1:${cluster.relay.port("n1", "n3")}`;
  const carillon = (...args: string[]) => runProgram(args, { env: { CARILLON_URL: n1!.url } });
  const driverOf = async (peer: string): Promise<string> =>
    (JSON.parse((await carillon("links", "--json")).stdout).links as LinkSeen[]).find((link) => link.peer === peer)!.driver;
  while (await driverOf("n3") !== "udp") await Bun.sleep(20);
  cluster.relay.block("n3", true);
  while (await driverOf("n3") !== "h2") await Bun.sleep(20);
  expect(await driverOf("n2")).toBe("udp");

  const { code, stdout } = await carillon("doctor");
  const told = stdout.split("\n").map((line) => line.split("\t")).find(([, what]) => what === "udp n1→n3")!;
  expect(told).toEqual([
    "✗",
    "udp n1→n3",
    expect.stringMatching(/^.+; h2 works, link falls back to h2$/),
    `open UDP ${way.split(":")[1]} from n1`,
  ]);
  expect(code).toBe(1);
  const switched = async (): Promise<string[]> => {
    const lines = (await carillon("events")).stdout.split("\n").map((line) => line.split("\t"));
    return lines.filter(([, , kind, text]) => kind === "link-driver" && text!.includes("n3")).map(([, , , text]) => text!.split(":")[0]!);
  };
  while ((await switched()).at(-1) !== "reaches node n3 over HTTP/2") await Bun.sleep(20);

  cluster.relay.block("n3", false);
  while ((await switched()).at(-1) !== "reaches node n3 over UDP") await Bun.sleep(20);
  // Each of the three sees it within a second of the others.
  while ((await carillon("doctor")).code !== 0) await Bun.sleep(20);
}, 60_000);
