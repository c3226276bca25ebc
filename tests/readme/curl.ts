#!/usr/bin/env bun
/**
 * The part of curl that our pages use, for machines that have none: `-X -H -d --data-binary -I -i -s -N -o /dev/null -w`, and
 * a URL. Prints the body as it comes.
 */
const flags = new Set(["-s", "-S", "-N"]);
let method = "";
const headers = new Headers();
let body: string | undefined;
let url = "";
let showHead = false;
let discard = false;
let report = "";

const words = process.argv.slice(2).flatMap((word) =>
  /^-[sSNiI]{2,}/.test(word) ? [...word.slice(1)].map((letter) => `-${letter}`) : [word]
);
for (let at = 0; at < words.length; at++) {
  const word = words[at]!;
  const value = (): string => words[++at] ?? fail(2, `option ${word}: requires parameter`);
  if (flags.has(word)) continue;
  if (word === "-I") method = "HEAD";
  if (word === "-i" || word === "-I") showHead = true;
  else if (word === "-X") method = value();
  else if (word === "-H") {
    const [, name, content] = /^([^:]+):\s*(.*)$/.exec(value()) ?? fail(2, "a header needs a colon");
    headers.append(name!, content!);
  } else if (word === "-d" || word === "--data-binary") {
    const data = value();
    body = data === "@-" ? await new Response(Bun.stdin.stream()).text() : data;
  } else if (word === "-w") report = value();
  else if (word === "-o") discard = value() === "/dev/null";
  else if (word.startsWith("-")) fail(2, `option ${word}: is unknown`);
  else url = /^https?:/.test(word) ? word : `http://${word}`;
}
if (body !== undefined && !headers.has("content-type")) headers.set("content-type", "application/x-www-form-urlencoded");

try {
  const answer: Response = await fetch(url, {
    method: method || (body === undefined ? "GET" : "POST"),
    headers,
    ...(body === undefined ? {} : { body }),
  });
  if (showHead) {
    process.stdout.write(`HTTP/1.1 ${answer.status} ${answer.statusText}\r\n`);
    for (const [name, content] of answer.headers) process.stdout.write(`${name}: ${content}\r\n`);
    process.stdout.write("\r\n");
  }
  for await (const piece of answer.body ?? []) if (!discard) process.stdout.write(piece);
  process.stdout.write(report.replaceAll("%{http_code}", String(answer.status)).replaceAll("\\n", "\n"));
} catch (error) {
  fail(7, error instanceof Error ? error.message : String(error));
}

function fail(code: number, why: string): never {
  process.stderr.write(`curl: (${code}) ${why}\n`);
  process.exit(code);
}

export {};
