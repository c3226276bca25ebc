/**
 * carillon init: a node's key file, and the lines that make the node known to its cluster. They are the result, on standard
 * output, so that `carillon init … >> carillon.toml` puts them where they belong; what was done is said beside. With --token
 * the node is another, whose key nobody knows yet: it gets a join token, and the cluster's file a line in place of its key.
 */
import { loadOwn, type OwnSettings } from "../config.ts";
import { addKey, dropKeys, makeKeyFile } from "../link/key_file.ts";
import { type KeyPair, keyText } from "../link/identity.ts";
import { newToken } from "../link/join/token.ts";
import { unixMillis } from "../runtime.ts";
import { type Call, exits } from "./command.ts";
import { sourcesOf } from "./settings.ts";
import { runtime } from "#runtime";

export async function init(call: Call): Promise<number> {
  const newcomer = call.text("token");
  if (newcomer !== undefined) return await token(call, newcomer);
  if (call.text("valid") !== undefined) call.fail("--valid says how long a join token is good for; it goes with --token NODE");
  const [rotate, drop] = [call.on("rotate"), call.on("drop")];
  if (rotate && drop) call.fail("--rotate adds a key and --drop forgets some; between the two the cluster has to learn the new one");
  const own = loadOwn(await sourcesOf(call));
  const { keys, said } = rotate ? await added(own) : drop ? await dropped(own) : await made(own);
  const texts = keys.map(({ publicKey }) => keyText(publicKey));
  const { output } = call;
  if (output.format !== "text") {
    await output.json({ node: own.name, keys: texts, file: own.keyFile, lines: linesOf(own, texts) });
    return exits.fine;
  }
  for (const line of said) await output.note(line);
  await output.line(linesOf(own, texts).join("\n"));
  return exits.fine;
}

const validMs = { usual: 3_600_000, min: 60_000, max: 7 * 86_400_000 } as const;

/** Nothing is kept of it: what is printed is all there is. */
async function token(call: Call, name: string): Promise<number> {
  if (call.on("rotate") || call.on("drop")) {
    call.fail("--token is for a node whose key is not known yet; --rotate and --drop are for one that has keys");
  }
  const forMs = call.duration("valid") ?? validMs.usual;
  if (forMs < validMs.min || forMs > validMs.max) {
    call.fail("--valid must be from 1m to 168h: a token is for a first start that is about to happen");
  }
  const { token, listing } = newToken(runtime, unixMillis(runtime.clock.now().wall) + forMs);
  const until = new Date(listing.expiresAt).toISOString();
  const line = `join = "${listing.text}"`;
  const { output } = call;
  if (output.format !== "text") await output.json({ node: name, token, join: listing.text, expires: until, lines: [line] });
  else {
    await output.note(
      `first the token: for node ${name} alone, as the file join.token in its data directory (mode 600); it is not shown again`,
    );
    await output.note(
      `then the line for its [[nodes]] entry in the cluster's file on every node, in place of a key; good for a first contact until ${until}:`,
    );
    await output.line(token);
    await output.line(line);
  }
  return exits.fine;
}

interface Done {
  readonly keys: readonly KeyPair[];
  /** What was done, and what is next. */
  readonly said: readonly string[];
}

async function made({ name, keyFile, listed }: OwnSettings): Promise<Done> {
  const { keys, made } = await makeKeyFile(keyFile, runtime);
  const here = made
    ? `${keyFile} is the private key of node ${name}: it stays on this machine`
    : `${keyFile} was there already, and is as it was`;
  const known = keys.every(({ publicKey }) => listed.includes(keyText(publicKey)));
  return { keys, said: [here, known ? "the cluster's file lists it:" : "for the cluster's file, the same on every node:"] };
}

async function added({ name, keyFile }: OwnSettings): Promise<Done> {
  const keys = await addKey(keyFile, runtime);
  return {
    keys,
    said: [
      `${keyFile} has a key more; a running node answers to it at once`,
      `now list all of them for ${name}, in the cluster's file of every node; then only the last; then "carillon init --drop":`,
    ],
  };
}

async function dropped({ name, keyFile, listed }: OwnSettings): Promise<Done> {
  const { keys, dropped } = await dropKeys(keyFile, listed, runtime);
  const what = dropped.length === 0 ? "nothing to forget: all its keys are listed" : `forgot ${dropped.join(", ")}`;
  return { keys, said: [`${keyFile}: ${what}`, `the cluster's file lists for ${name}:`] };
}

/** The node's entry in the cluster's file. */
function linesOf({ node: { name, region, link, http } }: OwnSettings, keys: readonly string[]): string[] {
  const lines = [["name", name], ["region", region], ["link", link], ["http", http]]
    .flatMap(([key, value]) => value === undefined ? [] : [`${key} = ${JSON.stringify(value)}`]);
  const [only, ...more] = keys;
  return ["[[nodes]]", ...lines, more.length === 0 ? `key = "${only}"` : `keys = [${keys.map((key) => `"${key}"`).join(", ")}]`];
}
