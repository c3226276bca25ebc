/**
 * The requests of one client, built once and then only patched: a load generator that spends its
 * time on formatting measures itself. Keys have a fixed width, so a new key overwrites the old one.
 */
export type Operation = "put" | "get" | "append" | "echo";
export type Dialect = "carillon" | "etcd" | "echo";
/** `h1`: one HTTP/1.1 connection per client. `h2`: clients are streams of few connections; for etcd this is gRPC. */
export type Transport = "h1" | "h2";

export interface Work {
  readonly dialect: Dialect;
  readonly transport: Transport;
  readonly operation: Operation;
  readonly valueBytes: number;
}

export const keyBytes = 9;

export function keyText(key: number): string {
  return `key-${String(key).padStart(5, "0")}`;
}

/** An encoded request with the places where the key goes. */
export interface Template {
  /** HTTP/1.1: the whole request. HTTP/2: the header block. */
  readonly head: Buffer;
  /** HTTP/2: the body of the data frame; empty for none. */
  readonly body: Buffer;
  /** Writes another key over the last one. */
  setKey(key: number): void;
}

export function template(work: Work, authority: string): Template {
  return work.transport === "h1" ? http1Template(describe(work), authority) : http2Template(describe(work), authority);
}

interface Shape {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** As the key appears in path or body. */
  encodeKey(key: number): string;
}

function describe(work: Work): Shape {
  const value = Buffer.alloc(work.valueBytes, "carillon.");
  const binary = [["content-type", "application/octet-stream"]] as const;
  const empty = Buffer.alloc(0);
  if (work.dialect === "etcd") return work.transport === "h2" ? etcdGrpc(work.operation, value) : etcdJson(work.operation, value);
  if (work.dialect === "echo") return { method: "POST", path: "/echo", headers: binary, body: value, encodeKey: keyText };
  switch (work.operation) {
    case "put":
      return { method: "PUT", path: `/v1/kv/${keyText(0)}`, headers: binary, body: value, encodeKey: keyText };
    case "get":
      return { method: "GET", path: `/v1/kv/${keyText(0)}`, headers: [], body: empty, encodeKey: keyText };
    case "append":
      return { method: "POST", path: "/v1/logs/bench/records", headers: binary, body: value, encodeKey: keyText };
    default:
      throw new Error(`Cannot build a request: carillon has no "${work.operation}"`);
  }
}

function etcdJson(operation: Operation, value: Buffer): Shape {
  // Nine bytes make twelve characters of base64 without padding: the width stays the same for every key.
  const encodeKey = (key: number) => Buffer.from(keyText(key)).toString("base64");
  const body: Record<string, string> = { key: encodeKey(0) };
  if (operation === "put") body["value"] = value.toString("base64");
  return {
    method: "POST",
    path: operation === "put" ? "/v3/kv/put" : "/v3/kv/range",
    headers: [["content-type", "application/json"]],
    body: Buffer.from(JSON.stringify(body)),
    encodeKey,
  };
}

/** PutRequest { key = 1, value = 2 } and RangeRequest { key = 1 } behind gRPC's five-byte prefix. */
function etcdGrpc(operation: Operation, value: Buffer): Shape {
  const fields: Uint8Array[] = [Buffer.from([0x0a, keyBytes]), Buffer.from(keyText(0))];
  if (operation === "put") fields.push(Buffer.from([0x12, ...varint(value.length)]), value);
  const message = Buffer.concat(fields);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return {
    method: "POST",
    path: `/etcdserverpb.KV/${operation === "put" ? "Put" : "Range"}`,
    headers: [["content-type", "application/grpc"], ["te", "trailers"]],
    body: Buffer.concat([prefix, message]),
    encodeKey: keyText,
  };
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

/** With the length of the body, as curl and browsers say it; gRPC does not. */
function headersOf(shape: Shape): readonly (readonly [string, string])[] {
  const grpc = shape.headers.some(([, value]) => value === "application/grpc");
  return shape.method === "GET" || grpc ? shape.headers : [...shape.headers, ["content-length", String(shape.body.length)]];
}

function http1Template(shape: Shape, authority: string): Template {
  const lines = [
    `${shape.method} ${shape.path} HTTP/1.1`,
    `host: ${authority}`,
    ...headersOf(shape).map(([name, value]) => `${name}: ${value}`),
  ];
  const head = Buffer.concat([Buffer.from(lines.join("\r\n") + "\r\n\r\n"), shape.body]);
  const at = head.indexOf(shape.encodeKey(0), 0, "latin1");
  return {
    head,
    body: Buffer.alloc(0),
    setKey: (key) => void (at >= 0 && head.write(shape.encodeKey(key), at, "latin1")),
  };
}

function http2Template(shape: Shape, authority: string): Template {
  const head = Buffer.from([
    // Literals without indexing only: no dynamic table to keep in step with the server's.
    ...literal(0x02, shape.method),
    0x86,
    ...literal(0x04, shape.path),
    ...literal(0x01, authority),
    ...headersOf(shape).flatMap(([name, value]) => [0x00, ...text(name), ...text(value)]),
  ]);
  const body = Buffer.from(shape.body);
  const inHead = head.indexOf(shape.encodeKey(0), 0, "latin1");
  const inBody = body.indexOf(shape.encodeKey(0), 0, "latin1");
  return {
    head,
    body,
    setKey(key) {
      if (inHead >= 0) head.write(shape.encodeKey(key), inHead, "latin1");
      if (inBody >= 0) body.write(shape.encodeKey(key), inBody, "latin1");
    },
  };
}

function literal(nameIndex: number, value: string): number[] {
  return [nameIndex, ...text(value)];
}

function text(value: string): number[] {
  const bytes = Buffer.from(value);
  if (bytes.length > 126) throw new Error(`Cannot encode a header of ${bytes.length} bytes: the generator writes short ones only`);
  return [bytes.length, ...bytes];
}
