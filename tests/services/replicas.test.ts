/** Replicas among themselves: equal state from equal commands, restarts, and answers that reach only who asked. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { commandPosition } from "../../core/position.ts";
import { Prng } from "../../core/prng.ts";
import { catalogService, headerBytes, kvService, logService, multicastService, stamp } from "../../services/command.ts";
import { encodePut } from "../../services/kv/command.ts";
import { createServices } from "../../services/services.ts";
import { decodeCbor, encodeCbor } from "../../edge/codec/cbor.ts";
import { settled } from "../harness/sequencer.ts";
import { load } from "../harness/services_load.ts";
import { servicesCluster, twoGroups } from "../harness/services_cluster.ts";

test("replicas that heard the same hold the same, however it reached them", async () => {
  for (const seed of [1, 2, 3]) {
    const { services, orderers, sequencer, timers } = servicesCluster({ nodes: 3, topology: twoGroups, seed });
    const random = new Prng(seed);
    await load(services.slice(0, 2), random, 150);
    orderers[2]!.pause();
    await load(services.slice(0, 2), random, 50);
    orderers[2]!.resume();
    await settled();
    const digest = services[0]!.digest();
    expect(Object.keys(digest).sort()).toEqual([
      "eu/catalog",
      "eu/kv",
      "eu/log",
      "eu/log-sessions",
      "eu/messages",
      "eu/sessions",
      "us/kv",
      "us/log",
      "us/log-sessions",
      "us/messages",
      "us/sessions",
      "world/messages",
      "world/sessions",
    ]);
    expect(services.map((each) => each.digest())).toEqual([digest, digest, digest]);
    // A node that starts again, or for the first time, gets there by hearing all of it.
    const restarted = createServices(sequencer.node(1, 2), { after: timers.after, encodeCbor, decodeCbor });
    await settled();
    expect(restarted.digest()).toEqual(digest);
    expect(restarted.position()).toBe(services[0]!.position());
  }
});

test("commands nobody can read are passed over, the same everywhere", async () => {
  const { services, sequencer } = servicesCluster({ nodes: 2, topology: twoGroups });
  await load(services, new Prng(5), 30);
  const before = services[0]!.digest();
  const services8 = [kvService, logService, multicastService, catalogService, 4, 255];
  const bytes = fc.sample(fc.tuple(fc.constantFrom(...services8), fc.uint8Array({ maxLength: 12 })), { numRuns: 500, seed: 9 });
  for (const [service, body] of bytes) {
    sequencer.inject(1 + body.length % 3, body);
    const command = new Uint8Array(headerBytes + body.length);
    command.set(body, headerBytes);
    sequencer.inject(1 + body.length % 3, stamp(command, service, 1));
  }
  await settled();
  expect(services[1]!.digest()).toEqual(services[0]!.digest());
  expect(services[0]!.digest()).toEqual(before);
  expect((await services[0]!.kv.put("still", "alive")).ok).toBe(true);
});

test("a replica is as far as what it was delivered, also where that ends with nothing to apply", async () => {
  let repeated = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const { services: [a], sequencer } = servicesCluster({ nodes: 1, seed });
    for (let n = 0; n < 10; n++) {
      await a!.kv.put("k", `${n}`);
      await settled();
      const last = sequencer.ordered.at(-1)!;
      const position = commandPosition(sequencer.topology.order, last.group, last.entry, last.entry.count - 1);
      expect(a!.replicas[0]!.applied).toEqual(position);
      if (last.repeated?.has(last.entry.batches.length - 1)) repeated++;
    }
  }
  expect(repeated).toBeGreaterThan(0);
});

test("an answer is for the life that asked: the same request number of an earlier one settles nothing", async () => {
  const { services, sequencer, orderers } = servicesCluster({ nodes: 1 });
  const former = sequencer.node(1, 77);
  sequencer.losing = true;
  let settledWith: unknown = null;
  services[0]!.kv.put("k", "ours").then((result) => settledWith = result);
  sequencer.losing = false;
  // The first request of this life and of the former have the same number.
  former.propose(1, stamp(encodePut("k", "", new Uint8Array(1), "always"), kvService, 1), () => {});
  await settled();
  expect([settledWith, services[0]!.stats().waiting]).toEqual([null, 1]);
  orderers[0]!.propose(1, stamp(encodePut("k", "", new Uint8Array(2), "always"), kvService, 1), () => {});
  await settled();
  expect(settledWith).toMatchObject({ ok: true, created: false });
});

test("logs wait for what spans their group; the KV store does not", () => {
  const { orderers, services } = servicesCluster({ nodes: 1, topology: twoGroups });
  expect(orderers[0]!.view().map(({ groups }) => groups)).toEqual([[1], [1, 3], [2], [2, 3], [3]]);
  expect(services[0]!.stats().replicas.map(({ group, merges, kv, log }) => [group, merges, kv !== null, log !== null])).toEqual([
    ["eu", ["eu"], true, false],
    ["eu", ["eu", "world"], false, true],
    ["us", ["us"], true, false],
    ["us", ["us", "world"], false, true],
    ["world", ["world"], false, false],
  ]);
});

test("stats say what is held", async () => {
  const { services: [a] } = servicesCluster({ nodes: 1 });
  await a!.kv.put("key", new Uint8Array(10));
  await a!.log("l").create();
  await a!.log("l").append(new Uint8Array(20));
  const [replica] = a!.stats().replicas;
  expect(replica).toMatchObject({ group: "main", commands: 3, kv: { entries: 1, bytes: 14 }, log: { logs: 1, records: 1, bytes: 20 } });
  expect(a!.stats()).toMatchObject({ waiting: 0, streams: 0 });
});
