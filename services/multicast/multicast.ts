/** Multicast as users call it: one message to some groups, through the group itself or one that spans them. */
import { CarillonError } from "../../core/errors.ts";
import { formatPosition } from "../../core/position.ts";
import { type GroupSpec, spanningGroup } from "../../core/topology.ts";
import type { IdempotentOptions, Multicasted, Value } from "../api.ts";
import { multicastService } from "../command.ts";
import { type Context, noSpanningGroup, order, parseGroup } from "../context.ts";
import { replayed } from "../idempotency.ts";
import { parseValue } from "../values.ts";
import { encodeMessage } from "./command.ts";
import type { MulticastResult } from "./machine.ts";

export async function multicast(
  context: Context,
  names: readonly string[],
  value: Value,
  options: IdempotentOptions | undefined,
): Promise<Multicasted> {
  const groups = parseGroups(context, names).map(({ id }) => id);
  const content = parseValue(value, context.cbor, context.limits);
  const carrier = spanningGroup(context.orderer.topology, groups);
  if (carrier === null) throw noSpanningGroup(context, groups);
  context.replicas.messages(carrier.id);
  const reply = await order<MulticastResult>(context, {
    service: multicastService,
    group: carrier.id,
    bytes: encodeMessage({ groups, ...content }),
    what: () => `multicast to ${names.join(", ")}`,
    options,
  });
  return { position: formatPosition(reply.position), ...replayed(reply) };
}

/** At least one, each once. Throws `bad-request`, `too-large` or `not-found`. */
export function parseGroups(context: Context, names: readonly string[]): GroupSpec[] {
  const max = context.limits.groupsMax;
  if (!Array.isArray(names) || names.length === 0) throw new CarillonError("bad-request", "Cannot address groups: none is named");
  if (names.length > max) {
    throw new CarillonError("too-large", `Cannot address ${names.length} groups at once: at most ${max} are allowed`, {
      facts: { limit: max },
    });
  }
  return [...new Set(names as readonly string[])].map((name) => parseGroup(context, name));
}
