/** Nodes whose keys nobody lists get to know each other under join tokens, on this runtime's own server and client. */
import { freePorts } from "../../edge/runtime/system.ts";
import type { Runtime } from "../../edge/runtime.ts";
import { newJoinToken, newNodeKey, type NodeEvent, open } from "../../mod.ts";
import { equal, eventually, test } from "./check.ts";

export function joins(_: Runtime): void {
  test("joins: two of three nodes come with nothing but a token, to the third and to each other", async () => {
    const ports = await freePorts(3);
    const nodes = ports.map((port, index) => ({ name: `n${index + 1}`, link: `127.0.0.1:${port}` }));
    const [known, second, third] = [newNodeKey(), newJoinToken(60_000), newJoinToken(60_000)];
    const own = [newNodeKey(), newNodeKey()].map(({ privateKey, publicKey }) => ({ privateKey, publicKey }));
    const common = { topology: { nodes }, keys: { n1: known.publicKey, n2: second.join, n3: third.join } };
    const events: NodeEvent[] = [];
    const onEvent = (event: NodeEvent): void => void events.push(event);
    const running = await Promise.all([
      open({ ...common, self: "n1", privateKey: known.privateKey, onEvent }),
      open({ ...common, self: "n2", privateKey: own[0]!.privateKey, joinToken: second.token, onEvent }),
      open({ ...common, self: "n3", privateKey: own[1]!.privateKey, joinToken: third.token, onEvent }),
    ]);
    try {
      await Promise.all(running.map((node) => node.ready(20_000)));
      await running[2]!.kv.put("greeting", "hello");
      equal((await running[1]!.kv.get("greeting"))!.text(), "hello");
      const learned = (): string[] =>
        events.flatMap((event) => event.kind === "key-learned" ? `${event.node} ${event.peer} ${event.key}` : []).sort();
      const joined = (): string[] => events.flatMap((event) => event.kind === "joined" ? `${event.node} ${event.peer}` : []);
      // A quorum is there before all have met.
      await eventually("all have met", () => learned().length === 4 && ["n2 n1", "n3 n1"].every((way) => joined().includes(way)));
      const [k2, k3] = own.map(({ publicKey }) => publicKey);
      equal(learned(), [`n1 n2 ${k2}`, `n1 n3 ${k3}`, `n2 n3 ${k3}`, `n3 n2 ${k2}`]);
      // Who has been met by the other need not come itself.
      equal(joined().filter((way) => !["n2 n1", "n3 n1", "n2 n3", "n3 n2"].includes(way)), []);
    } finally {
      await Promise.all(running.map((node) => node.close()));
    }
  });
}
