/** Gathers what is owed until the next drain. */
import type { Confirmation, Delivery, Effects, Envelope, JournalRecord, ReadRequest, Refusal } from "./effects.ts";
import type { Lsn, Millis, NodeId } from "./ids.ts";
import type { Message } from "./message.ts";

export class Outbox {
  #send: Envelope[] = [];
  #records: JournalRecord[] = [];
  #sendAfterPersist: Envelope[] = [];
  #reads: ReadRequest[] = [];
  #deliveries: Delivery[] = [];
  #refusals: Refusal[] = [];
  #confirmations: Confirmation[] = [];
  #lsn: Lsn = 0;

  /** Records handed over since the process started, those of this turn included. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  get hasRecords(): boolean {
    return this.#records.length > 0;
  }

  send(to: readonly NodeId[], message: Message): void {
    if (to.length > 0) this.#send.push({ to, message });
  }

  sendAfterPersist(to: readonly NodeId[], message: Message): void {
    if (to.length > 0) this.#sendAfterPersist.push({ to, message });
  }

  record(record: JournalRecord): Lsn {
    this.#records.push(record);
    return ++this.#lsn;
  }

  read(request: ReadRequest): void {
    this.#reads.push(request);
  }

  deliver(delivery: Delivery): void {
    this.#deliveries.push(delivery);
  }

  refuse(refusal: Refusal): void {
    this.#refusals.push(refusal);
  }

  confirm(confirmation: Confirmation): void {
    this.#confirmations.push(confirmation);
  }

  take(wakeAt: Millis): Effects {
    const effects: Effects = {
      send: this.#send,
      records: this.#records,
      sendAfterPersist: this.#sendAfterPersist,
      reads: this.#reads,
      deliveries: this.#deliveries,
      refusals: this.#refusals,
      confirmations: this.#confirmations,
      wakeAt,
    };
    this.#send = [];
    this.#records = [];
    this.#sendAfterPersist = [];
    this.#reads = [];
    this.#deliveries = [];
    this.#refusals = [];
    this.#confirmations = [];
    return effects;
  }
}
