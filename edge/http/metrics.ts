/**
 * /metrics in the Prometheus text format. Base units; labels only of bounded sets (groups, peers, routes, statuses),
 * never keys or log names.
 */
import { ballotNode } from "../../core/ids.ts";
import type { Front } from "./endpoint.ts";
import { writeLinks } from "./metrics_links.ts";
import { type Labels, Page, some } from "./metrics_page.ts";

export function metricsText(front: Front): string {
  const page = new Page();
  const { version, runtime = "", nodeName } = front.context;
  page.gauge("carillon_build_info", "Always 1; what is running.", [[{ version, runtime, node: nodeName }, 1]]);
  page.histogram(
    "carillon_http_request_duration_seconds",
    "Time to the headers of the answer.",
    Array.from(front.series(), ({ route, method, code, duration }) => [{ route, method, code }, duration] as const),
  );
  writeGroups(page, front);
  writeMerges(page, front);
  writeLinks(page, front);
  writeDoor(page, front);
  writeMachine(page, front);
  writeHealth(page, front);
  return page.toString();
}

function writeGroups(page: Page, { context: { view, names } }: Front): void {
  const groups = view().groups.map((group) => ({ label: { group: names.group(group.group) }, ...group }));
  const each = (value: (group: (typeof groups)[number]) => number): (readonly [Labels, number])[] =>
    groups.map((group) => [group.label, value(group)] as const);
  page.counter("carillon_group_decided_total", "Entries decided.", each(({ decided }) => decided));
  page.counter("carillon_group_slots_total", "Slots of the group's log: commands and skips.", each(({ slots }) => slots));
  page.gauge("carillon_group_inflight", "Entries accepted and not known to be decided.", each(({ last, decided }) => last - decided));
  page.gauge("carillon_group_pending", "Own commands not yet decided.", each(({ pendingCommands }) => pendingCommands));
  page.gauge("carillon_group_pending_bytes", "Own commands not yet decided.", each(({ pendingBytes }) => pendingBytes));
  page.gauge(
    "carillon_group_coordinator",
    "1 for the node this one takes for the coordinator.",
    groups.filter(({ coordinator }) => coordinator !== 0).map(({ label, coordinator }) =>
      [{ ...label, node: names.node(coordinator) }, 1] as const
    ),
  );
  page.gauge(
    "carillon_group_promised",
    "Round of the highest ballot promised: it rises with every election.",
    groups.map(({ label, promised }) =>
      [{ ...label, node: promised === 0 ? "" : names.node(ballotNode(promised)) }, Math.floor(promised / 65_536)] as const
    ),
  );
}

function writeMerges(page: Page, { context: { view, now, names, metrics } }: Front): void {
  const { subscriptions, groups } = view();
  const { mono, wall } = now();
  const waits = new Map<number, number>(groups.map(({ group }) => [group, 0]));
  const lags = new Map<string, number>();
  for (const { groups: merged, blockedOn, blockedSince, lag } of subscriptions) {
    if (blockedOn !== 0) waits.set(blockedOn, Math.max(waits.get(blockedOn) ?? 0, (mono - blockedSince) / 1_000));
    const label = merged.map(names.group).join("+");
    lags.set(label, Math.max(lags.get(label) ?? 0, lag));
  }
  page.gauge(
    "carillon_merge_wait_seconds",
    "How long a merge has been waiting for this group.",
    Array.from(waits, ([group, seconds]) => [{ group: names.group(group) }, Math.max(0, seconds)] as const),
  );
  page.gauge(
    "carillon_apply_lag_entries",
    "Entries known to exist and not delivered.",
    Array.from(lags, ([group, lag]) => [{ group }, lag] as const),
  );
  // Under merge `ts` a frontier is a time: what it lacks of now is how old this node's picture of the group is.
  const timed = groups.filter(({ frontier }) => frontier.major > 2 ** 32);
  page.gauge(
    "carillon_apply_lag_seconds",
    "Age of the instant up to which this node knows the group completely (merge ts).",
    timed.map(({ group, frontier }) => [{ group: names.group(group) }, Math.max(0, (wall - frontier.major) / 1e6)] as const),
  );
  // Where other groups span a group it has two replicas here, told apart by what they merge.
  const replicas = (metrics?.services?.().replicas ?? []).map((replica) => ({
    ...replica,
    label: { group: replica.group, merges: replica.merges.join("+") },
  }));
  page.counter("carillon_apply_commands_total", "Commands applied.", replicas.map(({ label, commands }) => [label, commands] as const));
  page.gauge("carillon_idempotency_keys", "Keys remembered.", replicas.map(({ label, sessions }) => [label, sessions] as const));
  const kvs = replicas.flatMap(({ label, kv }) => kv === null ? [] : [{ label, ...kv }]);
  page.gauge("carillon_kv_entries", "Entries held.", kvs.map(({ label, entries }) => [label, entries] as const));
  page.gauge("carillon_kv_bytes", "Keys and values held.", kvs.map(({ label, bytes }) => [label, bytes] as const));
  const logs = replicas.flatMap(({ label, log }) => log === null ? [] : [{ label, ...log }]);
  page.gauge("carillon_log_records", "Records held.", logs.map(({ label, records }) => [label, records] as const));
  page.gauge("carillon_log_bytes", "Records held.", logs.map(({ label, bytes }) => [label, bytes] as const));
}

function writeDoor(page: Page, { admission, events }: Front): void {
  const { requests, room, bytes, streams, refused } = admission.stats();
  page.gauge("carillon_admission_requests", "Requests under way.", [[{}, requests]]);
  page.gauge("carillon_admission_room", "How many may be under way now.", [[{}, room]]);
  page.gauge("carillon_admission_bytes", "Bytes of their bodies.", [[{}, bytes]]);
  page.gauge("carillon_admission_streams", "Open streams, and requests that wait for something to happen.", [[{}, streams]]);
  page.counter("carillon_admission_refused_total", "Requests refused because too much was under way.", [[{}, refused]]);
  page.counter(
    "carillon_events_total",
    "Events, as /v1/events tells them.",
    Array.from(events.counts, ([kind, count]) => [{ kind }, count] as const),
  );
}

function writeHealth(page: Page, { context: { health } }: Front): void {
  const checkpoints = (health?.checkpoints?.() ?? []).map((checkpoint) => ({ label: { group: checkpoint.group }, ...checkpoint }));
  page.gauge(
    "carillon_checkpoint_age_seconds",
    "Since the newest checkpoint was made or taken over.",
    checkpoints.flatMap(({ label, ageMs }) => ageMs === null ? [] : [[label, ageMs / 1_000] as const]),
  );
  page.gauge("carillon_checkpoint_bytes", "Size of the newest checkpoint.", checkpoints.map(({ label, bytes }) => [label, bytes] as const));
  page.counter("carillon_checkpoint_made_total", "Checkpoints made.", checkpoints.map(({ label, made }) => [label, made] as const));
  page.counter(
    "carillon_checkpoint_installed_total",
    "Checkpoints taken over from other nodes.",
    checkpoints.map(({ label, installed }) => [label, installed] as const),
  );
  page.gauge(
    "carillon_group_trimmed",
    "The log is forgotten up to this entry.",
    (health?.trims?.() ?? []).map(({ group, upTo }) => [{ group }, upTo] as const),
  );
  const repairs = health?.repairs?.();
  page.counter("carillon_journal_damaged_records_total", "Damaged records found.", some(repairs?.found));
  page.counter("carillon_journal_repaired_records_total", "Damaged records repaired.", some(repairs?.repaired));
  const disk = health?.disk?.();
  page.gauge(
    "carillon_disk_full",
    "1 while writes are refused for want of space.",
    some(disk === undefined ? undefined : Number(disk.full)),
  );
}

function writeMachine(page: Page, { context: { metrics } }: Front): void {
  const journal = metrics?.journal?.();
  if (journal !== undefined) {
    const { bytes, bytesWritten, records, batches, syncSeconds } = journal;
    page.gauge("carillon_journal_bytes", "Bytes the journal takes.", [[{}, bytes]]);
    page.counter("carillon_journal_written_bytes_total", "Bytes written.", some(bytesWritten));
    page.counter("carillon_journal_records_total", "Records written.", some(records));
    page.counter("carillon_journal_batches_total", "Groups of records that became durable together.", some(batches));
    if (syncSeconds !== undefined) {
      page.histogram("carillon_journal_sync_duration_seconds", "From a batch's write to its durability.", [[{}, syncSeconds]]);
    }
  }
  const services = metrics?.services?.();
  if (services !== undefined) {
    page.gauge("carillon_calls_waiting", "Calls waiting for an answer.", [[{}, services.waiting]]);
    page.gauge("carillon_streams", "Open streams of deliveries and tails.", [[{}, services.streams]]);
  }
  const { eventLoopDelayMs, residentBytes, cpuSeconds } = metrics?.process?.() ?? {};
  if (eventLoopDelayMs !== undefined) {
    page.gauge("carillon_process_event_loop_delay_seconds", "How late the event loop runs.", [[{}, eventLoopDelayMs / 1_000]]);
  }
  if (residentBytes !== undefined) page.gauge("process_resident_memory_bytes", "Resident memory.", [[{}, residentBytes]]);
  if (cpuSeconds !== undefined) page.counter("process_cpu_seconds_total", "CPU time, user and system.", [[{}, cpuSeconds]]);
}
