/** One request over HTTP/2 in clear text, by the client each runtime has for it. */
import { Buffer } from "node:buffer";
import { connect } from "node:http2";
import { runtime } from "#runtime";

export interface Answer2 {
  readonly status: number;
  readonly bytes: Uint8Array;
}

/** What Deno has beside the standard. */
declare const Deno: { createHttpClient(options: object): { close(): void } };

/** GET without a body, POST with one; `x-mark: m` goes along. */
export function ask2(origin: string, path: string, body: Uint8Array | null): Promise<Answer2> {
  return runtime.name === "deno" ? askFetch(origin + path, body) : askNode(origin, path, body);
}

async function askFetch(url: string, body: Uint8Array | null): Promise<Answer2> {
  const client = Deno.createHttpClient({ http1: false, http2: true });
  const init = { client, method: body === null ? "GET" : "POST", headers: { "x-mark": "m" }, body };
  const response = await fetch(url, init as RequestInit);
  const bytes = new Uint8Array(await response.arrayBuffer());
  client.close();
  return { status: response.status, bytes };
}

function askNode(origin: string, path: string, body: Uint8Array | null): Promise<Answer2> {
  return new Promise((resolve, reject) => {
    const session = connect(origin);
    session.on("error", reject);
    const stream = session.request({ ":path": path, ":method": body === null ? "GET" : "POST", "x-mark": "m" });
    let status = 0;
    const chunks: Uint8Array[] = [];
    stream.on("response", (headers) => status = Number(headers[":status"]));
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      session.close();
      resolve({ status, bytes: Buffer.concat(chunks) });
    });
    stream.end(body ?? undefined);
  });
}
