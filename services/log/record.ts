/** A record as users get it. */
import { formatPosition } from "../../core/position.ts";
import type { LogRecord } from "../api.ts";
import { type Cbor, Reading } from "../values.ts";
import type { StoredRecord } from "./segments.ts";

export class OneRecord extends Reading implements LogRecord {
  readonly offset: number;
  readonly position: string;

  constructor(record: StoredRecord, cbor: Cbor) {
    super(record, cbor);
    this.offset = record.offset;
    this.position = formatPosition(record.position);
  }
}
