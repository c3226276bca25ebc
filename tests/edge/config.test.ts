/** One story per rule of the configuration: what wins over what, and what a slip is answered with. */
import { describe, expect, test } from "bun:test";
import { checkSafety, type Config, loadConfig, loudly } from "../../edge/config.ts";
import { settings, variableOf } from "../../edge/config/settings.ts";
import { version } from "../../edge/version.ts";

interface Given {
  readonly environment?: Record<string, string>;
  readonly flags?: Record<string, string>;
  readonly hostName?: string;
}

function load(text: string | null, given: Given = {}): Config {
  return loadConfig({
    ...(text === null ? {} : { file: { path: "carillon.toml", text } }),
    environment: given.environment ?? {},
    flags: new Map(Object.entries(given.flags ?? {})),
    hostName: given.hostName ?? "box",
    readSecret: (path) => {
      if (path === "/secrets/join") return "only the nodes know";
      throw new Error("no such file");
    },
  });
}

function complaint(text: string | null, given: Given = {}): string {
  try {
    load(text, given);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("Cannot go on: this configuration was accepted");
}

const three = `
[node]
name = "fra-1"
[cluster]
secret = "file:/secrets/join"
[[nodes]]
name = "fra-1"
region = "fra"
link = "fra-1.internal:4101"
http = "http://fra-1.internal:4100"
[[nodes]]
name = "iad-1"
region = "iad"
link = "iad-1.internal:4101"
[nodes_]
`.replace("[nodes_]\n", "");

describe("values", () => {
  test("an empty configuration is a node alone", () => {
    const { origins: _, ...config } = load(null);
    expect(config).toEqual({
      self: "box",
      data: "./data",
      http: { host: "127.0.0.1", port: 4100 },
      link: null,
      token: null,
      secret: null,
      durability: "sync",
      topology: { cluster: "carillon", merge: "ts", nodes: [{ name: "box", region: "local" }] },
      delays: new Map(),
      warnings: [],
    });
  });

  test("a flag beats the environment, which beats the file, which beats the default", () => {
    const text = `[listen]\nhttp = "127.0.0.1:1"`;
    const environment = { CARILLON_LISTEN_HTTP: "127.0.0.1:2" };
    const flags = { "listen.http": "127.0.0.1:3" };
    const seen = [load(null), load(text), load(text, { environment }), load(text, { environment, flags })].map((config) => [
      config.http.port,
      config.origins.find((origin) => origin.key === "listen.http")!.origin,
    ]);
    expect(seen).toEqual([
      [4100, "default"],
      [1, "file carillon.toml"],
      [2, "env CARILLON_LISTEN_HTTP"],
      [3, "flag --listen.http"],
    ]);
  });

  test("every setting has a variable of its own", () => {
    const variables = settings.map((setting) => variableOf(setting.key));
    expect(new Set(variables).size).toBe(settings.length);
    expect(variables).toContain("CARILLON_CLUSTER_SKIP_INTERVAL_MS");
  });

  test("addresses: host and port, IPv6, all interfaces, a bare port", () => {
    const http = (text: string): unknown => load(null, { flags: { "listen.http": text } }).http;
    expect(http("10.0.0.1:80")).toEqual({ host: "10.0.0.1", port: 80 });
    expect(http("[::1]:80")).toEqual({ host: "::1", port: 80 });
    expect(http(":80")).toEqual({ host: "0.0.0.0", port: 80 });
    expect(http("80")).toEqual({ host: "127.0.0.1", port: 80 });
  });

  test("nodes and groups become a topology", () => {
    const config = load(`${three}
[groups.fra]
acceptors = ["fra-1"]
keys = { from = "", to = "m" }
[groups.iad]
acceptors = ["iad-1"]
keys = [{ from = "m" }]
shape = "ring"
[groups.world]
acceptors = ["fra-1", "iad-1"]
spans = ["fra", "iad"]
leadMs = 90
[dev]
delays = { "fra-iad" = 44 }
`);
    expect(config.topology.groups).toEqual([
      { name: "fra", acceptors: ["fra-1"], keys: [{ from: "", to: "m" }] },
      { name: "iad", acceptors: ["iad-1"], shape: "ring", keys: [{ from: "m" }] },
      { name: "world", acceptors: ["fra-1", "iad-1"], leadMs: 90, spans: ["fra", "iad"] },
    ]);
    expect(config.delays).toEqual(new Map([["fra-iad", 44]]));
    expect(config.secret).toBe("only the nodes know");
    // Peers were told a name, so it listens on every interface.
    expect(config.link).toEqual({ host: "0.0.0.0", port: 4101 });
  });

  test("[nodes.NAME] says the same as [[nodes]]", () => {
    const config = load(`[nodes.a]\nlink = "127.0.0.1:7001"\n[nodes.b]\nlink = "127.0.0.1:7002"`, { hostName: "b" });
    expect(config.self).toBe("b");
    expect(config.topology.nodes).toEqual([{ name: "a", link: "127.0.0.1:7001" }, { name: "b", link: "127.0.0.1:7002" }]);
    expect(config.link).toEqual({ host: "127.0.0.1", port: 7002 });
  });

  test("secrets come from files and variables, and are never shown", () => {
    const config = load(`[listen]\ntoken = "env:TOKEN"\n[cluster]\nsecret = "plain"`, { environment: { TOKEN: "t" } });
    expect([config.token, config.secret]).toEqual(["t", "plain"]);
    expect(config.origins.filter((origin) => /token|secret/.test(origin.key)).map((origin) => origin.value)).toEqual(["env:TOKEN", "***"]);
  });

  test("an unknown variable is a warning, not an error: Kubernetes sets some", () => {
    const config = load(null, { environment: { CARILLON_PORT: "tcp://10.0.0.1:4100", CARILLON_NODE_NAMES: "x", CARILLON_URL: "u" } });
    expect(config.warnings).toEqual([
      "the variable CARILLON_PORT means nothing here",
      'the variable CARILLON_NODE_NAMES means nothing here; did you mean "CARILLON_NODE_NAME"?',
    ]);
  });
});

describe("complaints name the place and what was meant", () => {
  const stories: [string, string | null, Given, string][] = [
    ["a section", `[lisen]\nhttp = ":1"`, {}, 'Cannot use carillon.toml: there is no "lisen"; did you mean "listen"?'],
    ["a key", `[listen]\nhtpp = ":1"`, {}, 'Cannot use carillon.toml, [listen]: there is no "htpp"; did you mean "http"?'],
    ["a flag", null, { flags: { "node.nam": "x" } }, 'Cannot use --node.nam: there is no such setting; did you mean "node.name"?'],
    [
      "a choice",
      `[durability]\nack = "snyc"`,
      {},
      'Cannot use durability.ack: it must be "sync" or "async" or "memory", not "snyc"; did you mean "sync"?',
    ],
    [
      "a variable",
      null,
      { environment: { CARILLON_CLUSTER_MERGE: "x" } },
      'Cannot use cluster.merge (env CARILLON_CLUSTER_MERGE): it must be "ts" or "rr", not "x"',
    ],
    ["an address", `[listen]\nhttp = "nowhere"`, {}, 'Cannot use listen.http: it must be host:port, not "nowhere"'],
    ["a number", `[cluster]\nmerge = "rr"\nturn = "many"`, {}, 'Cannot use cluster.turn: it must be a number, not "many"'],
    [
      "a group's key",
      `[groups.eu]\nacceptor = ["box"]`,
      {},
      'Cannot use [groups.eu]: there is no "acceptor"; did you mean "acceptors"?',
    ],
    [
      "a group's acceptor",
      `[groups.eu]\nacceptors = ["bax"]`,
      {},
      'Cannot use this topology: group "eu" names acceptor "bax", which is no node',
    ],
    [
      "an own name",
      three.replace('name = "fra-1"', 'name = "fra"'),
      {},
      'Cannot use node.name "fra": it is not among the nodes fra-1, iad-1',
    ],
    ["a secret file", `[cluster]\nsecret = "file:/nope"`, {}, "Cannot use cluster.secret: /nope cannot be read (no such file)"],
    ["a secret variable", `[cluster]\nsecret = "env:NOPE"`, {}, "Cannot use cluster.secret: the variable NOPE is not set"],
    [
      "a delay",
      `${three}\n[dev]\ndelays = { "fra-idd" = 44 }`,
      {},
      'Cannot use [dev] delays "fra-idd": it must be two regions joined by "-"; there are fra, iad',
    ],
    [
      "a link",
      `[[nodes]]\nname = "a"\n[[nodes]]\nname = "b"`,
      { hostName: "a" },
      'Cannot use node "a": it has peers but no link address; add link = "host:4101" to it',
    ],
    [
      "a secret that can be guessed",
      three.replace(/secret = .*/, 'secret = "short"'),
      {},
      "Cannot use cluster.secret: it must have at least 16 characters",
    ],
    [
      "a line copied and not changed",
      `[[nodes]]\nname = "a"\nlink = "h:1"\n[[nodes]]\nname = "b"\nlink = "h:1"`,
      {},
      'Cannot use [[nodes]]: "a" and "b" have the same link, h:1',
    ],
    [
      "key ranges that overlap",
      `[groups.a]\nkeys = { from = "" }\n[groups.b]\nkeys = { from = "m" }`,
      {},
      'Cannot use this topology: the key ranges from "" and from "m" overlap',
    ],
  ];
  for (const [what, text, given, expected] of stories) {
    test(what, () => expect(complaint(text, given)).toBe(expected));
  }

  test("a syntax error, with line, column and the line itself", () => {
    const message = complaint(`[listen]\nhttp = `);
    expect(message).toStartWith("Cannot use carillon.toml, line 2, column 8: ");
    expect(message).toContain("2:  http = ");
  });
});

describe("safety", () => {
  test("an open HTTP port needs a token or --insecure", () => {
    const open = load(null, { flags: { "listen.http": ":4100" } });
    expect(() => checkSafety(open, false)).toThrow("anybody who reaches it could read and write everything");
    expect(() => checkSafety(open, true)).not.toThrow();
    expect(() => checkSafety(load(null, { flags: { "listen.http": ":4100", "listen.token": "t" } }), false)).not.toThrow();
    expect(() => checkSafety(load(null), false)).not.toThrow();
  });

  test("an open link needs a secret or --insecure", () => {
    const open = load(three.replace(/\[cluster\]\n.*\n/, ""));
    expect(() => checkSafety(open, false)).toThrow("set cluster.secret on every node");
    expect(() => checkSafety(load(three), false)).not.toThrow();
  });

  test("whatever is less than durable is said loudly", () => {
    expect(loudly(load(null))).toEqual([]);
    expect(loudly(load(null, { flags: { "durability.ack": "memory" } }))).toEqual([
      "durability.ack = memory: acknowledged writes are gone when a quorum stops",
    ]);
  });
});

test("the version is that of package.json and deno.json", async () => {
  for (const file of ["package.json", "deno.json"]) {
    expect((await Bun.file(new URL(`../../${file}`, import.meta.url)).json()).version).toBe(version);
  }
});
