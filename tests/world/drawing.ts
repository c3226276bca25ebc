/** How the plans of many seeds are drawn, as data: it goes from process to process. */
import type { Rule } from "../../core/rules.ts";
import type { LinkDriver } from "../../edge/link/open.ts";
import { type Aim, aims } from "./aims.ts";
import type { PlanOptions } from "./plan.ts";

export interface Drawing {
  readonly seconds: number | null;
  readonly long: boolean;
  readonly link: LinkDriver | null;
  readonly aim: Aim | null;
  readonly without: readonly Rule[];
}

const longSeconds = 120;

export function optionsOf({ seconds, long, link, aim, without }: Drawing): PlanOptions {
  return {
    without,
    ...(link === null ? {} : { link }),
    ...(aim === null ? {} : { aim: aims[aim] }),
    ...(long ? { longSeconds: seconds ?? longSeconds } : seconds === null ? {} : { seconds }),
  };
}
