/**
 * What is kept of a KV command that may come again. Of a lost condition only the version it met: the value may be large, and is
 * still there unless somebody has written since.
 *
 *   kind u8 · (refused by an entry: version 10 bytes)
 */
import { assert } from "../../core/assert.ts";
import { binaryString, positionBytes, type Reader, Writer } from "../bytes.ts";
import { badRequest, type Outcomes } from "../machine.ts";
import type { KvResult } from "./machine.ts";

const results: readonly KvResult[] = [
  badRequest,
  { kind: "written", created: true },
  { kind: "written", created: false },
  { kind: "deleted", existed: true },
  { kind: "deleted", existed: false },
  { kind: "lost", version: null },
];
const lostToEntry = results.length;

export const kvOutcomes: Outcomes = {
  write(result) {
    const { out } = written(result as KvResult);
    return binaryString(out);
  },
  read(reader: Reader): KvResult {
    const kind = reader.u8();
    return kind === lostToEntry ? { kind: "lost", version: reader.position() } : results[kind] ?? badRequest;
  },
};

function written(result: KvResult): Writer {
  switch (result.kind) {
    case "bad-request":
      return new Writer(1).u8(0);
    case "written":
      return new Writer(1).u8(result.created ? 1 : 2);
    case "deleted":
      return new Writer(1).u8(result.existed ? 3 : 4);
    case "refused":
      return result.current === null ? new Writer(1).u8(5) : new Writer(1 + positionBytes).u8(lostToEntry).position(result.current.version);
    case "lost":
      assert(false, "Cannot keep an outcome twice");
  }
}
