/** What an observer makes of what it sees: each thing once, when it begins and when it ends, and nothing of what goes on as before. */
import { expect, test } from "bun:test";
import type { RoleChange, RoleReason } from "../../core/view.ts";
import type { NodeView } from "../../core/view.ts";
import type { NodeHealth } from "../../edge/embedded/health.ts";
import { describe, type Happening } from "../../edge/events/event.ts";
import type { DriverName } from "../../edge/link/link.ts";
import { Observer } from "../../edge/events/observer.ts";

/** A node that can be changed under the observer's eyes. */
class Scene {
  now = 10_000;
  refused = 0;
  draining = false;
  notReady: string[] = ["group g1 has no coordinator yet"];
  roles: RoleChange[] = [];
  blocked: { on: number; since: number } = { on: 0, since: Infinity };
  peer = { heardAt: 9_990, suspected: false };
  checkpoint = { group: "g1", ageMs: 0, bytes: 100, made: 0, installed: 0 };
  upTo = 0;
  repairs = { found: 0, repaired: 0 };
  full = false;
  link: { driver: DriverName; reason: string; connectedSince: number | null } = { driver: "udp", reason: "", connectedSince: null };
  readonly #told: string[] = [];
  readonly #observer: Observer;

  constructor() {
    const health: NodeHealth = {
      checkpoints: () => [this.checkpoint],
      trims: () => [{ group: "g1", upTo: this.upTo }],
      repairs: () => this.repairs,
      disk: () => ({ full: this.full }),
    };
    this.#observer = new Observer({
      self: 1,
      names: { node: (id) => `n${id}`, group: (id) => `g${id}` },
      view: () => this.#view(),
      now: () => this.now,
      notReady: () => this.notReady,
      draining: () => this.draining,
      refused: () => this.refused,
      health,
      links: () => [{ peer: 2, ...this.link }],
    }, (happening: Happening) => this.#told.push(describe(happening)));
  }

  role(coordinator: number, why: RoleReason): void {
    this.roles = [...this.roles, { number: this.roles.length + 1, at: this.now, coordinator, ballot: 0, why }];
  }

  /** What is told at a look so many milliseconds later. */
  after(ms: number): string[] {
    this.now += ms;
    this.#observer.look();
    return this.#told.splice(0);
  }

  #view(): NodeView {
    const { on, since } = this.blocked;
    return {
      groups: [{ group: 1, roles: this.roles.slice(-8) }],
      subscriptions: [{ subscription: 1, groups: [1, 2], blockedOn: on, blockedSince: since, lag: 0 }],
      peers: [{ node: 2, rttMs: 1, ...this.peer }],
    } as unknown as NodeView;
  }
}

test("a node that starts, and then goes on as before", () => {
  const scene = new Scene();
  expect(scene.after(0)).toEqual([]);
  scene.role(1, "first");
  scene.notReady = [];
  expect(scene.after(100)).toEqual(["coordinates group g1: nobody did before", "is ready"]);
  for (let look = 0; look < 20; look++) expect(scene.after(100)).toEqual([]);
});

test("who coordinates, with every change between two looks, and why", () => {
  const scene = new Scene();
  scene.notReady = [];
  scene.role(2, "heard");
  expect(scene.after(0)).toEqual(["follows n2 in group g1", "is ready"]);
  scene.role(0, "suspected");
  scene.role(1, "suspected");
  scene.role(0, "no-quorum");
  scene.role(3, "heard");
  expect(scene.after(100)).toEqual([
    "lost the coordinator of group g1, n2: its heartbeats are overdue or its link broke",
    "coordinates group g1: of its predecessor, its heartbeats are overdue or its link broke",
    "lost the coordinator of group g1, n1: its quorum does not hear it",
    "follows n3 in group g1",
  ]);
  // Elected once more: nothing has changed for anybody.
  scene.role(3, "heard");
  expect(scene.after(100)).toEqual([]);
  scene.role(1, "released");
  scene.role(2, "heard");
  expect(scene.after(100)).toEqual([
    "coordinates group g1: its predecessor made way",
    "lost the coordinator of group g1, n1: a higher ballot turned up",
    "follows n2 in group g1",
  ]);
});

test("a peer that falls silent and is heard again", () => {
  const scene = new Scene();
  scene.after(0);
  scene.peer = { heardAt: 10_000, suspected: true };
  expect(scene.after(700)).toEqual(["suspects node n2: silent for 0.7 s"]);
  expect(scene.after(700)).toEqual([]);
  scene.peer = { heardAt: 12_500, suspected: false };
  expect(scene.after(1_200)).toEqual(["hears node n2 again, after 2.5 s"]);
  const early = new Scene();
  early.peer = { heardAt: -Infinity, suspected: true };
  expect(early.after(0)).toEqual(["has not heard of node n2 yet"]);
  early.peer = { heardAt: 10_000, suspected: false };
  expect(early.after(10)).toEqual(["hears node n2"]);
});

test("a merge that stands still is told once, and that it goes on; one that only waits now and then is not", () => {
  const scene = new Scene();
  for (let look = 0; look < 30; look++) {
    scene.blocked = { on: 2, since: scene.now };
    expect(scene.after(100)).toEqual([]);
  }
  const { since } = scene.blocked = { on: 2, since: scene.now };
  expect(scene.after(999)).toEqual([]);
  expect(scene.after(1)).toEqual(["waits for group g2, for 1.0 s now: nothing that comes behind it can be delivered"]);
  expect(scene.after(5_000)).toEqual([]);
  // Went on, and waits anew.
  scene.blocked = { on: 2, since: since + 5_500 };
  expect(scene.after(0)).toEqual(["waits for group g2 no longer, after 6.0 s"]);
  expect(scene.after(1_000)).toEqual(["waits for group g2, for 1.5 s now: nothing that comes behind it can be delivered"]);
  scene.blocked = { on: 0, since: Infinity };
  expect(scene.after(500)).toEqual(["waits for group g2 no longer, after 2.0 s"]);
  // A reader that has just begun to wait has no "since" yet.
  scene.blocked = { on: 2, since: Infinity };
  expect(scene.after(2_000)).toEqual([]);
});

test("how a peer is reached, once it is, and when that changes", () => {
  const scene = new Scene();
  expect(scene.after(0)).toEqual([]);
  scene.link = { driver: "h2", reason: "the first to answer", connectedSince: 10_000 };
  expect(scene.after(100)).toEqual(["reaches node n2 over HTTP/2: the first to answer"]);
  scene.link = { driver: "udp", reason: "it answers", connectedSince: null };
  expect(scene.after(100)).toEqual([]);
  scene.link = { driver: "udp", reason: "it answers", connectedSince: 10_200 };
  expect(scene.after(100)).toEqual(["reaches node n2 over UDP: it answers"]);
  scene.link = { driver: "udp", reason: "it still does", connectedSince: 10_300 };
  expect(scene.after(100)).toEqual([]);
});

test("an overload is one spell, however many it refuses", () => {
  const scene = new Scene();
  scene.after(0);
  scene.refused = 5;
  expect(scene.after(100)).toEqual(["refuses requests: too many are under way"]);
  for (let look = 0; look < 10; look++) {
    scene.refused += 100;
    expect(scene.after(100)).toEqual([]);
  }
  expect(scene.after(900)).toEqual([]);
  expect(scene.after(100)).toEqual(["refuses no more requests, after 1.0 s and 1005 refused"]);
  expect(scene.after(5_000)).toEqual([]);
  scene.refused++;
  expect(scene.after(100)).toEqual(["refuses requests: too many are under way"]);
});

test("checkpoints, trims, repairs and space, as its parts say", () => {
  const scene = new Scene();
  scene.after(0);
  scene.checkpoint = { ...scene.checkpoint, bytes: 500, made: 1 };
  scene.upTo = 40;
  expect(scene.after(100)).toEqual(["made a checkpoint of group g1, 500 bytes", "forgot the log of group g1 up to entry 40"]);
  scene.checkpoint = { ...scene.checkpoint, bytes: 700, installed: 1 };
  scene.repairs = { found: 2, repaired: 0 };
  scene.full = true;
  expect(scene.after(100)).toEqual([
    "took over a checkpoint of group g1, 700 bytes",
    "found 2 damaged records in its journal",
    "refuses writes: its disk is full",
  ]);
  scene.repairs = { found: 2, repaired: 1 };
  scene.full = false;
  expect(scene.after(2_000)).toEqual(["repaired 1 damaged record", "takes writes again, 2.0 s after its disk was full"]);
  expect(scene.after(2_000)).toEqual([]);
});

test("a node that is told to stop is draining, not unready", () => {
  const scene = new Scene();
  scene.notReady = [];
  scene.after(0);
  scene.notReady = ["group g1 has no coordinator yet"];
  expect(scene.after(100)).toEqual(["is not ready: group g1 has no coordinator yet"]);
  scene.notReady = [];
  expect(scene.after(100)).toEqual(["is ready"]);
  scene.draining = true;
  scene.notReady = ["this node is stopping"];
  expect(scene.after(100)).toEqual(["is stopping and lets others take over"]);
  expect(scene.after(100)).toEqual([]);
});
