/** carillon doctor: asks every node it can reach what it sees, and explains it. */
import type { Carillon } from "../../services/api.ts";
import { documentsOf, parseDocument, textOf } from "../client/items.ts";
import { linksOf } from "../client/links.ts";
import { type Call, exits } from "./command.ts";
import { timeoutOf, urlsOf, withNode } from "./connect.ts";
import { type Finding, findingsOf, type Report } from "./doctor/findings.ts";
import { isDiskFullIn, syncsIn } from "./doctor/samples.ts";

/** How long a node has for all it is asked: one in trouble must not keep the rest from being looked at. */
const nodeMs = 5_000;

export async function doctor(call: Call): Promise<number> {
  const { node: first, nodes } = await withNode(call, (carillon) => carillon.status(timeoutOf(call)));
  const reports = await Promise.all(
    nodes.map(({ name, http }) => {
      const urls = name === first ? urlsOf(call) : http === "" ? [] : [http];
      return urls.length === 0 ? unanswered(name, "", "") : examine(call, name, urls);
    }),
  );
  const findings = findingsOf(reports);
  const { output } = call;
  if (output.format !== "text") await output.json({ findings });
  else await show(call, findings);
  return findings.some(({ level }) => level === "wrong") ? exits.failed : exits.fine;
}

async function examine(call: Call, name: string, urls: readonly string[]): Promise<Report> {
  try {
    return await withNode(call, (carillon) => ask(carillon, name, urls[0]!), urls);
  } catch (error) {
    return unanswered(name, urls[0]!, error instanceof Error ? error.message : String(error));
  }
}

async function ask(carillon: Carillon, name: string, url: string): Promise<Report> {
  const signal = AbortSignal.timeout(nodeMs);
  const { node, durability } = await carillon.status({ timeoutMs: nodeMs });
  if (node !== name) return unanswered(name, url, `it is node ${node} that answers there`);
  const askedAt = Date.now();
  const links = await linksOf(carillon, signal);
  const answeredAt = Date.now();
  const metrics = await (await carillon.fetch(new Request("http://node/metrics", { signal }))).text();
  return {
    name,
    url,
    trouble: null,
    notReady: await failedChecks(carillon, signal),
    durability,
    links,
    clockAheadMs: links.at - (askedAt + answeredAt) / 2,
    // Its answer was made at some instant in between, and clocks are told in whole milliseconds.
    clockErrorMs: (answeredAt - askedAt) / 2 + 1,
    syncs: syncsIn(metrics),
    diskFull: isDiskFullIn(metrics),
  };
}

/** What `/readyz` has against it: more than what `/v1/cluster` says, since there the node's lag and its journal count as well. */
async function failedChecks(carillon: Carillon, signal: AbortSignal): Promise<string[]> {
  const answer = await carillon.fetch(new Request("http://node/readyz?verbose", { signal }));
  const checks = documentsOf(parseDocument(await answer.text()), "checks");
  return checks.filter(({ ok }) => ok !== true).map((check) => `${textOf(check, "name")}: ${textOf(check, "reason")}`);
}

function unanswered(name: string, url: string, trouble: string): Report {
  return {
    name,
    url,
    trouble,
    notReady: [],
    durability: "",
    links: null,
    clockAheadMs: 0,
    clockErrorMs: 0,
    syncs: null,
    diskFull: false,
  };
}

const marks = { fine: ["green", "✓"], warning: ["yellow", "!"], wrong: ["red", "✗"] } as const;

/** The remedy stands behind what it is for, or below it where there is little room. */
async function show({ output }: Call, findings: readonly Finding[]): Promise<void> {
  const width = Math.max(...findings.map(({ what }) => what.length));
  for (const { level, what, text, remedy } of findings) {
    const [tone, mark] = marks[level];
    if (output.human) {
      await output.line(`${output.paint(tone, mark)} ${what.padEnd(width)}  ${text}`);
      if (remedy !== null) await output.line(`  ${" ".repeat(width)}  ${output.paint("dim", "→")} ${remedy}`);
    } else await output.line([mark, what, text, ...(remedy === null ? [] : [remedy])].join("\t"));
  }
}
