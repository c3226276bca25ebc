/** `Runtime` for one life of one simulated machine: everything a node can ask of the world, answered by the seed. */
import { crc32 } from "node:zlib";
import type { Millis } from "../../core/ids.ts";
import { cryptography } from "../../edge/runtime/cryptography.ts";
import type { Clock, Runtime } from "../../edge/runtime.ts";
import type { Buggify } from "./buggify.ts";
import type { Life } from "./machine.ts";
import type { Network } from "./network.ts";
import type { Plan } from "./plan.ts";
import { cheapCryptography } from "./sealing.ts";

/** Alarms ring on a grid like this, never early. */
const grainMs = 0.01;

export function simulatedRuntime(
  life: Life,
  network: Network,
  { turnMs, sealing }: Pick<Plan, "turnMs" | "sealing">,
  buggify: Buggify,
): Runtime {
  return {
    name: "node",
    version: "simulated",
    clock: simulatedClock(life, turnMs, buggify),
    openDisk: () => Promise.resolve(life.machine.disk.open(life)),
    serveHttp: ({ host, port }, fetch) => {
      life.listener = fetch;
      return Promise.resolve({
        host,
        port,
        close: () => {
          life.listener = null;
          return Promise.resolve();
        },
      });
    },
    openStream: (url, headers, events) => network.connect(life, url, headers, events),
    // An address in use is a rejected promise.
    openDatagrams: async ({ host, port }, events) => await network.datagrams.open(life, host, port, events),
    resolve: (host) => Promise.resolve(host),
    cryptography: sealing === "real" ? cryptography : cheapCryptography,
    entropy: () => life.prng.next(),
    crc32: (bytes, seed) => crc32(bytes, seed),
    collectGarbage: () => {},
  };
}

/** `turnMs`: how long a node takes to come round to what it was to do soon; what arrives until then shares the turn. */
function simulatedClock(life: Life, turnMs: Millis, buggify: Buggify): Clock {
  const { clock, loop: { queue } } = life.machine;
  return {
    now: () => clock.now(queue.now),
    wakeAt(at, callback) {
      if (at === Infinity) return nothing;
      let due = Math.max(Math.ceil(clock.trueTimeOf(at) / grainMs) * grainMs, queue.now);
      while (clock.now(due).mono < at) due += grainMs;
      const late = buggify.strikes("late-alarm");
      const appointment = life.at(late === null ? due : due + late * 30, callback);
      return () => appointment.cancel();
    },
    soon(callback) {
      const late = buggify.strikes("late-turn");
      life.after(late === null ? turnMs : turnMs + late * 20, callback);
    },
  };
}

function nothing(): void {}
