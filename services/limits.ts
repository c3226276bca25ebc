/** Every bound of the services. What exceeds one is refused with `too-large` and the bound in its facts. */
import { assert } from "../core/assert.ts";

export interface ServiceLimits {
  /** UTF-8 bytes of a key. */
  readonly keyBytesMax: number;
  /** One value, record or message. */
  readonly valueBytesMax: number;
  /** ASCII characters of a content type. */
  readonly typeBytesMax: number;
  /** Records of one append, and their bytes together. */
  readonly batchRecordsMax: number;
  readonly batchBytesMax: number;
  /** Logs of one multi-append; groups of one multicast or stream. */
  readonly logsMax: number;
  readonly groupsMax: number;
  /** Entries or records of one page: what is asked for without saying, and what may be asked for. */
  readonly pageItems: number;
  readonly pageItemsMax: number;
  /** Bytes of one page; at least one entry or record is returned. */
  readonly pageBytes: number;
  readonly pageBytesMax: number;
  /** Of a call that names none, and the longest. */
  readonly timeoutMs: number;
  readonly timeoutMsMax: number;
  /** Commands a stream of deliveries may have waiting for its reader. */
  readonly streamCommands: number;
  /** And their bytes, with room kept for each that was asked for and may be as large as any. */
  readonly streamBytes: number;
  /** What one partition keeps of its newest changes, for watches that begin in the past; keys, values and 17 bytes each. */
  readonly historyBytes: number;
  /** A stream says that its merge waits once it has waited this long, and again each time this has passed. */
  readonly stalledMs: number;
}

export const defaultServiceLimits: ServiceLimits = {
  keyBytesMax: 2_048,
  valueBytesMax: 1 << 20,
  typeBytesMax: 255,
  batchRecordsMax: 1_000,
  batchBytesMax: 1 << 20,
  logsMax: 64,
  groupsMax: 64,
  pageItems: 1_000,
  pageItemsMax: 10_000,
  pageBytes: 1 << 20,
  pageBytesMax: 16 << 20,
  timeoutMs: 10_000,
  timeoutMsMax: 600_000,
  streamCommands: 64,
  streamBytes: 16 << 20,
  historyBytes: 8 << 20,
  stalledMs: 1_000,
};

/** Throws an AssertionError naming the relation that does not hold. */
export function checkServiceLimits(limits: ServiceLimits): ServiceLimits {
  // Lengths of keys travel as u16, of types as u8, counts of records as u16.
  assert(limits.keyBytesMax <= 65_535, "Cannot start: keyBytesMax must fit into 16 bits");
  assert(limits.typeBytesMax <= 255, "Cannot start: typeBytesMax must fit into 8 bits");
  assert(limits.batchRecordsMax <= 65_535, "Cannot start: batchRecordsMax must fit into 16 bits");
  assert(limits.valueBytesMax <= limits.batchBytesMax, "Cannot start: a value must fit into batchBytesMax");
  assert(limits.pageItems <= limits.pageItemsMax, "Cannot start: pageItems must not exceed pageItemsMax");
  assert(limits.pageBytes <= limits.pageBytesMax, "Cannot start: pageBytes must not exceed pageBytesMax");
  assert(limits.streamCommands >= 1, "Cannot start: streamCommands must be at least 1");
  assert(limits.valueBytesMax <= limits.streamBytes, "Cannot start: a value must fit into streamBytes");
  assert(limits.historyBytes >= 1, "Cannot start: historyBytes must be at least 1");
  return limits;
}
