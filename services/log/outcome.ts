/**
 * What is kept of a log command that may come again.
 *
 *   bad request: 0
 *   appended:    1 · records u16 · logs u8 · first offset 7 bytes each
 *   unexpected:  2 · next 7 bytes
 *   trimmed:     3 · first, next, bytes 7 bytes each
 *   past tail:   4 · tail 7 bytes
 */
import { binaryString, type Reader, Writer } from "../bytes.ts";
import { badRequest, type Outcomes } from "../machine.ts";
import type { LogResult } from "./machine.ts";

export const logOutcomes: Outcomes = {
  write: (result) => binaryString(written(result as LogResult).out),
  read(reader): LogResult {
    switch (reader.u8()) {
      case 1:
        return appended(reader);
      case 2:
        return { kind: "unexpected", next: reader.u53() };
      case 3:
        return { kind: "trimmed", extent: { first: reader.u53(), next: reader.u53(), bytes: reader.u53() } };
      case 4:
        return { kind: "past-tail", tail: reader.u53() };
      default:
        return badRequest;
    }
  },
};

function written(result: LogResult): Writer {
  switch (result.kind) {
    case "bad-request":
      return new Writer(1).u8(0);
    case "appended": {
      const { parts } = result;
      const writer = new Writer(4 + 7 * parts.length).u8(1).u16(parts[0]!.next - parts[0]!.first).u8(parts.length);
      for (const { first } of parts) writer.u53(first);
      return writer;
    }
    case "unexpected":
      return new Writer(8).u8(2).u53(result.next);
    case "trimmed":
      return new Writer(22).u8(3).u53(result.extent.first).u53(result.extent.next).u53(result.extent.bytes);
    case "past-tail":
      return new Writer(8).u8(4).u53(result.tail);
  }
}

function appended(reader: Reader): LogResult {
  const records = reader.u16();
  const logs = reader.u8();
  return {
    kind: "appended",
    parts: Array.from({ length: logs }, () => {
      const first = reader.u53();
      return { first, next: first + records };
    }),
  };
}
