/** Gathers what is owed until the next drain. */
import type { Confirmation, Delivery, Effects, Envelope, JournalRecord, Lost, ReadRequest, Refusal, Trim } from "./effects.ts";
import type { GroupId, Lsn, Millis, NodeId } from "./ids.ts";
import type { Message } from "./message.ts";

export class Outbox {
  #send: Envelope[] = [];
  #records: JournalRecord[] = [];
  #sendAfterPersist: Envelope[] = [];
  #reads: ReadRequest[] = [];
  #deliveries: Delivery[] = [];
  #refusals: Refusal[] = [];
  #confirmations: Confirmation[] = [];
  #trims: Trim[] = [];
  #lost: Lost[] = [];
  #behind: GroupId[] = [];
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

  trim(trim: Trim): void {
    this.#trims.push(trim);
  }

  lose(lost: Lost): void {
    this.#lost.push(lost);
  }

  behind(group: GroupId): void {
    if (!this.#behind.includes(group)) this.#behind.push(group);
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
      trims: this.#trims,
      lost: this.#lost,
      behind: this.#behind,
      wakeAt,
    };
    this.#send = [];
    this.#records = [];
    this.#sendAfterPersist = [];
    this.#reads = [];
    this.#deliveries = [];
    this.#refusals = [];
    this.#confirmations = [];
    this.#trims = [];
    this.#lost = [];
    this.#behind = [];
    return effects;
  }
}
