/** What a person sees of three nodes that run as processes: the table of `status`, events, and what each node writes down. */
import { expect, test } from "bun:test";
import { RealCluster } from "../harness/real_cluster.ts";
import { runProgram } from "./program.ts";

/** The lines a node wrote that are events. */
function logged(output: string): Record<string, unknown>[] {
  return output.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)).filter(({ kind }) => kind !== "notice");
}

test("status has every node's own word; a node that is killed is missed in status, in events and in what the others write", async () => {
  await using cluster = await RealCluster.start({ durability: "async" });
  const coordinator = await cluster.coordinator();
  const other = cluster.nodes.find((node) => node !== coordinator)!;
  const carillon = (args: readonly string[]) => runProgram(args, { env: { CARILLON_URL: other.url } });
  const status = await carillon(["status"]);
  const rows = status.stdout.split("\n").map((line) => line.split("\t"));
  expect(status.code).toBe(0);
  expect(rows[0]!.join()).toContain("ready");
  for (const node of cluster.nodes) {
    const row = rows.find(([name]) => name === node.name)!;
    const [, , roles, http, groups, rtt, lag, disk, up] = row;
    expect([roles, http, groups]).toEqual([node === coordinator ? "coordinator(main)" : "acceptor", node.url, "main"]);
    expect(rtt).toMatch(node === other ? /^\(this\)$/ : /^\d+\.\d ms$/);
    expect([lag, disk, up]).toEqual([
      expect.stringMatching(/^\d+( \(.*\))?$/),
      expect.stringMatching(/^\d+ MiB$/),
      expect.stringMatching(/ (ms|s)$/),
    ]);
  }
  expect(rows.find(([name]) => name === "main")!.slice(1, 4)).toEqual(["star", "n1 n2 n3", coordinator.name]);

  const before: string = JSON.parse((await carillon(["events", "--json"])).stdout).next;
  const following = carillon(["events", "--follow", "--after", before, "-n", "2"]);
  await coordinator.kill();
  const followed = (await following).stdout.trimEnd().split("\n");
  expect(followed.length).toBe(2);
  // Somebody takes over.
  let told: string[][] = [];
  while (!told.some(([, , kind]) => kind === "follows" || kind === "coordinates")) {
    told = (await carillon(["events", "--after", before])).stdout.trimEnd().split("\n").map((line) => line.split("\t"));
  }
  expect(told.slice(0, 2).map((cells) => cells.join("\t"))).toEqual(followed);
  expect(new Set(told.map(([, node]) => node))).toEqual(new Set([other.name]));
  expect(told.map(([, , kind]) => kind)).toEqual(expect.arrayContaining(["suspected", "leaderless"]));
  expect(told.find(([, , kind]) => kind === "leaderless")![3]).toContain(`lost the coordinator of group main, ${coordinator.name}: `);

  const later = await carillon(["status"]);
  const dead = later.stdout.split("\n").map((line) => line.split("\t")).find(([name]) => name === coordinator.name)!;
  expect(dead.slice(5)).toEqual(["cut off", "", "", ""]);

  const lines = logged(other.output);
  expect(lines.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["ready", "follows", "suspected", "leaderless"]));
  const { group, lost, why } = lines.find(({ kind }) => kind === "leaderless")!;
  expect([group, lost, typeof why]).toEqual(["main", coordinator.name, "string"]);
  for (const { at, node, text } of lines) {
    expect([new Date(String(at)).toISOString(), node, typeof text]).toEqual([at, other.name, "string"]);
  }
}, 60_000);
