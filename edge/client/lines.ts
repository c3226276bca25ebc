/** Server-sent events, piece by piece. Pieces end anywhere, also inside a character. */

export interface ServerEvent {
  /** `message` if it has no name. */
  readonly event: string;
  readonly data: string;
  /** Its own id, else that of an earlier event, else "". */
  readonly id: string;
}

/** Server-sent events as the HTML standard reads them; an event cut off by the end of the stream is dropped. */
export async function* eventsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let event = "";
  let data: string[] = [];
  let id = "";
  for await (const line of linesOf(chunks)) {
    if (line === "") {
      if (data.length > 0) yield { event: event || "message", data: data.join("\n"), id };
      event = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue; // A comment: the heartbeat.
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id") id = value;
  }
}

/** One line may not be longer: what never ends its line would fill the memory. */
const lineBytesMax = 32 << 20;

/** Lines without their ends; `\n`, `\r\n` and a missing last end are all fine. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      pieces.push(text.slice(from, end));
      const line = pieces.join("");
      yield line.endsWith("\r") ? line.slice(0, -1) : line;
      pieces = [];
      length = 0;
      from = end + 1;
    }
    if (from < text.length) {
      pieces.push(text.slice(from));
      length += text.length - from;
      if (length > lineBytesMax) throw new RangeError(`Cannot read this stream: a line is longer than ${lineBytesMax} characters`);
    }
  }
  const rest = pieces.join("") + decoder.decode();
  if (rest !== "") yield rest;
}
