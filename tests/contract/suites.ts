/** The suites every runtime has to pass, in the order they run. One line each. */
import type { Runtime } from "../../edge/runtime.ts";
import { carillon } from "./carillon.ts";
import { client } from "./client.ts";
import { clock } from "./clock.ts";
import { core } from "./core.ts";
import { datagrams } from "./datagrams.ts";
import { disk } from "./disk.ts";
import { http } from "./http.ts";
import { joins } from "./joins.ts";
import { joinTokens } from "./join_tokens.ts";
import { keyFiles } from "./key_files.ts";
import { links } from "./links.ts";
import { node } from "./node.ts";
import { noise } from "./noise.ts";
import { once } from "./once.ts";
import { services } from "./services.ts";
import { streams } from "./streams.ts";

/** Registers its tests; called once per run, with the runtime it runs on. */
export type Suite = (runtime: Runtime) => void;

export const suites: readonly Suite[] = [
  core,
  clock,
  disk,
  http,
  streams,
  datagrams,
  noise,
  keyFiles,
  joinTokens,
  links,
  node,
  services,
  joins,
  carillon,
  once,
  client,
];
