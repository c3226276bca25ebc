/** One story per rule of the configuration: what wins over what, and what a slip is answered with. */
import { describe, expect, test } from "bun:test";
import { checkSafety, type Config, loadConfig, loadOwn, loudly, type OwnSettings } from "../../edge/config.ts";
import { settings, variableOf } from "../../edge/config/settings.ts";
import { keyText } from "../../edge/link/identity.ts";
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
      if (path === "/secrets/token") return "only users know";
      throw new Error("no such file");
    },
  });
}

function own(text: string | null, flags: Record<string, string> = {}): OwnSettings {
  return loadOwn({
    ...(text === null ? {} : { file: { path: "carillon.toml", text } }),
    environment: {},
    flags: new Map(Object.entries(flags)),
    hostName: "Box (1)",
    readSecret: () => "",
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

/** Public keys as texts. */
const keys = [1, 2, 3].map((byte) => keyText(new Uint8Array(32).fill(byte)));

const two = `
[node]
name = "fra-1"
[listen]
token = "file:/secrets/token"
[[nodes]]
name = "fra-1"
region = "fra"
key = "${keys[0]}"
link = "fra-1.internal:4101"
http = "http://fra-1.internal:4100"
[[nodes]]
name = "iad-1"
region = "iad"
keys = ["${keys[1]}", "${keys[2]}"]
link = "iad-1.internal:4101"
`;

describe("values", () => {
  test("an empty configuration is a node alone", () => {
    const { origins: _, ...config } = load(null);
    expect(config).toEqual({
      self: "box",
      data: "./data",
      http: { host: "127.0.0.1", port: 4100 },
      link: null,
      tokens: [],
      tokenFiles: [],
      keyFile: "./data/node.key",
      joinFile: "./data/join.token",
      keys: new Map(),
      links: { driver: "auto", mtuBytesMax: null, trace: null },
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
    const config = load(`${two}
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
    expect([config.tokens, config.tokenFiles]).toEqual([["only users know"], ["/secrets/token"]]);
    expect(config.keys).toEqual(new Map([["fra-1", [keys[0]!]], ["iad-1", [keys[1]!, keys[2]!]]]));
    // Peers were told a name, so it listens on every interface.
    expect(config.link).toEqual({ host: "0.0.0.0", port: 4101 });
  });

  test("an empty list of keys shuts a node out", () => {
    const config = load(two.replace(/keys = .*/, "keys = []"));
    expect([...config.keys]).toEqual([["fra-1", [keys[0]!]], ["iad-1", []]]);
    checkSafety(config, false);
  });

  test("[nodes.NAME] says the same as [[nodes]]", () => {
    const config = load(`[nodes.a]\nlink = "127.0.0.1:7001"\n[nodes.b]\nlink = "127.0.0.1:7002"`, { hostName: "b" });
    expect(config.self).toBe("b");
    expect(config.topology.nodes).toEqual([{ name: "a", link: "127.0.0.1:7001" }, { name: "b", link: "127.0.0.1:7002" }]);
    expect(config.link).toEqual({ host: "127.0.0.1", port: 7002 });
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
      two.replace('name = "fra-1"', 'name = "fra"'),
      {},
      'Cannot use node.name "fra": it is not among the nodes fra-1, iad-1',
    ],
    [
      "a delay",
      `${two}\n[dev]\ndelays = { "fra-idd" = 44 }`,
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
      "a secret, as clusters once had",
      `[cluster]\nsecret = "file:/secrets/join"`,
      {},
      'Cannot use carillon.toml, [cluster]: "secret" is no more; nodes have keys instead. Run "carillon init" on each, paste the keys it prints into [[nodes]], and take the secret out',
    ],
    [
      "key and keys",
      two.replace("keys =", `key = "${keys[1]}"\nkeys =`),
      {},
      'Cannot use [[nodes]] "iad-1": it has both "key" and "keys"; put all of them in "keys"',
    ],
    [
      "a key of two nodes",
      two.replace(keys[1]!, keys[0]!),
      {},
      `Cannot use [[nodes]]: "fra-1" and "iad-1" have the same key, ${keys[0]}`,
    ],
    ["a key listed twice", two.replace(keys[1]!, keys[2]!), {}, `Cannot use [[nodes]] "iad-1": it lists the key ${keys[2]} twice`],
    [
      "a key cut short",
      two.replace(keys[0]!, "ck1_abc"),
      {},
      'Cannot use [[nodes]] "fra-1": "ck1_abc" is no public key; those begin with ck1_, and "carillon init" prints them',
    ],
    [
      "a private key in the list, which is not repeated",
      two.replace(keys[0]!, "carillon-private-key-1 c2VjcmV0"),
      {},
      'Cannot use [[nodes]] "fra-1": that is a private key, which belongs nowhere but in its node\'s key file; make another',
    ],
    [
      "a datagram that is too small",
      `[link]\nmtu = 576`,
      {},
      "Cannot use link.mtu: it must be a whole number of bytes from 1200 to 65507, not 576",
    ],
    [
      "a driver",
      `[link]\ndriver = "tcp"`,
      {},
      'Cannot use link.driver: it must be "auto" or "udp" or "h2", not "tcp"',
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

describe("a node by itself", () => {
  test("needs no file, and its line follows from its settings", () => {
    expect(own(null)).toEqual({
      name: "Box1",
      data: "./data",
      keyFile: "./data/node.key",
      node: { name: "Box1", link: "Box1:4101" },
      listed: [],
    });
    const flags = { "node.name": "c", "node.region": "sin", "node.data": "/d/", "listen.link": "10.0.0.1:7", "listen.http": ":80" };
    expect(own(two, flags)).toEqual({
      name: "c",
      data: "/d/",
      keyFile: "/d/node.key",
      node: { name: "c", region: "sin", link: "10.0.0.1:7", http: "http://c:80" },
      listed: [],
    });
  });

  test("is what the file says of it", () => {
    expect(own(two, { "node.name": "iad-1", "node.key": "/keys/iad" })).toMatchObject({
      keyFile: "/keys/iad",
      node: { name: "iad-1", region: "iad", link: "iad-1.internal:4101" },
      listed: [keys[1]!, keys[2]!],
    });
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

  test("nodes that link need keys, all of them, and --insecure is no way around it", () => {
    const keyless = load(two.replace(/keys? = .*\n/g, ""));
    const sentence = 'Cannot use [[nodes]] "fra-1", "iad-1": they have no key, and nodes that link know each other by their keys; ' +
      'run "carillon init" on each and paste their lines key = "ck1_…"';
    for (const insecure of [false, true]) expect(() => checkSafety(keyless, insecure)).toThrow(sentence);
    expect(() => checkSafety(load(two.replace(/keys = .*\n/, "")), true)).toThrow('Cannot use [[nodes]] "iad-1": it has no key');
    expect(() => checkSafety(load(two.replace(/keys = .*\n/, ""), { flags: { "durability.ack": "memory" } }), true)).toThrow("no key");
    expect(() => checkSafety(load(two), false)).not.toThrow();
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
