/** The client's one promise that runtimes break on their own: a write is sent once, whatever becomes of its connection. */
import { createServer, type Socket } from "node:net";
import type { Runtime } from "../../edge/runtime.ts";
import { type Carillon, type CarillonError, open } from "../../mod.ts";
import { equal, rejects, test } from "./check.ts";

const position = "0".repeat(20);
const created = `HTTP/1.1 201 Created\r\ncontent-length: 0\r\netag: "${position}"\r\ncarillon-position: ${position}\r\n\r\n`;

const writes: readonly (readonly [string, (carillon: Carillon) => Promise<unknown>])[] = [
  ["put", ({ kv }) => kv.put("k", "v")],
  ["insert", ({ kv }) => kv.insert("k", "")],
  ["delete", ({ kv }) => kv.delete("k")],
  ["append", (carillon) => carillon.log("audit").append("x")],
  ["create", (carillon) => carillon.log("audit").create()],
  ["trim", (carillon) => carillon.log("audit").trim(1)],
  ["append to several", (carillon) => carillon.append(["a", "b"], ["x"])],
  ["multicast", (carillon) => carillon.multicast(["main"], "x")],
];

export function client(_runtime: Runtime): void {
  for (const [name, write] of writes) {
    test(`client: ${name} is sent once when the connection it reuses breaks`, async () => {
      const seen: string[] = [];
      // Answers the first request and keeps the connection; breaks off after the second has come.
      const server = createServer((socket) => {
        socket.on("error", () => {});
        eachRequest(socket, (line) => {
          seen.push(line);
          if (seen.length === 1) socket.write(created);
          else socket.destroy();
        });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      await using carillon = await open(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
      await carillon.kv.put("warm", "up");
      const error = await rejects(write(carillon), "unreachable") as CarillonError;
      equal([error.outcome, seen.length], ["unknown", 2], `outcome and requests (${seen.join(", ")})`);
      server.close();
    });
  }
}

/** Calls back with the request line once all of a request has come. */
function eachRequest(socket: Socket, callback: (line: string) => void): void {
  let text = "";
  const decoder = new TextDecoder("latin1");
  socket.on("data", (chunk) => {
    text += decoder.decode(chunk as Uint8Array);
    const head = text.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0);
    const chunked = /^transfer-encoding: chunked/im.test(text);
    if (chunked ? !text.endsWith("0\r\n\r\n") : text.length < head + 4 + length) return;
    const line = text.slice(0, text.indexOf("\r\n"));
    text = "";
    callback(line);
  });
}
