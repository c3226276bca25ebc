/**
 * A Carillon reached over HTTP: the same interface as a node in this process. Several URLs may be given; whichever node
 * answers is used, and the next one when asking again can do no harm.
 *
 *     await using carillon = connect(["http://fra-1:4100", "http://iad-1:4100"], { token });
 *     await carillon.kv.put("user/ada", { json: { name: "Ada" } });
 */
import { CarillonError } from "../core/errors.ts";
import type {
  Appended,
  CallOptions,
  Carillon,
  ClusterStatus,
  DeliveryEvent,
  IdempotentOptions,
  Kv,
  Log,
  LogInfo,
  Multicasted,
  ReadOptions,
  Value,
} from "../services/api.ts";
import { replayedIn, writeOf } from "./client/again.ts";
import { follow } from "./client/follow.ts";
import { contentOf, messageOf, numberOf, parseDocument, textOf } from "./client/items.ts";
import { callOf, documentIn, RemoteKv } from "./client/kv.ts";
import { appendToSeveral, listLogs, RemoteLog } from "./client/log.ts";
import { type Send, sendByFetch } from "./client/send.ts";
import { Transport } from "./client/transport.ts";

export interface ConnectOptions {
  /** Sent as `Authorization: Bearer …`. */
  readonly token?: string;
  /**
   * A stream from which nothing comes for so long, not even a heartbeat, goes on at the next node. Default 40 000: nodes send
   * a heartbeat each 15 seconds.
   */
  readonly quietMs?: number;
  /** What carries requests; default: the platform's `fetch`. */
  readonly send?: Send;
  /** Called by `close`, after every exchange has ended. */
  readonly onClose?: () => Promise<void>;
}

/** Nothing is sent yet. Throws CarillonError `config` for a URL that is none. */
export function connect(urls: string | readonly string[], options: ConnectOptions = {}): Carillon {
  const bases = (typeof urls === "string" ? [urls] : urls).map(baseOf);
  if (bases.length === 0) throw new CarillonError("config", "Cannot connect: no URL is given");
  return new RemoteCarillon(bases, options);
}

class RemoteCarillon implements Carillon {
  readonly kv: Kv;
  readonly #transport: Transport;
  readonly #onClose: (() => Promise<void>) | undefined;
  #closed = false;

  constructor(bases: readonly string[], { token, send, quietMs, onClose }: ConnectOptions) {
    this.#transport = new Transport({ urls: bases, send: send ?? sendByFetch, token: token ?? null, quietMs: quietMs ?? 40_000 });
    this.kv = new RemoteKv(this.#transport);
    this.#onClose = onClose;
  }

  log(name: string): Log {
    return new RemoteLog(this.#transport, name);
  }

  logs(options: ReadOptions = {}): Promise<readonly LogInfo[]> {
    return listLogs(this.#transport, options);
  }

  append(logs: readonly string[], values: readonly Value[], options: IdempotentOptions = {}): Promise<readonly Appended[]> {
    return appendToSeveral(this.#transport, logs, values, options);
  }

  async multicast(groups: readonly string[], value: Value, options: IdempotentOptions = {}): Promise<Multicasted> {
    const { type, bytes } = contentOf(value);
    const reply = await this.#transport.call({
      method: "POST",
      path: `/v1/multicast?groups=${namesOf(groups)}`,
      headers: type === "" ? {} : { "content-type": type },
      body: bytes,
      ...writeOf(options),
    });
    return { position: textOf(documentIn(reply), "position"), ...replayedIn(reply) };
  }

  async *deliveries(
    groups: readonly string[],
    { after, signal }: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<DeliveryEvent> {
    const base = `/v1/deliveries?groups=${namesOf(groups)}`;
    let opened = false;
    const path = (last: string | null): string | null => {
      const from = last ?? after;
      // "From now on" has a place only once the node has said so; another connection would begin later.
      if (from === undefined && opened) return null;
      opened = true;
      return from === undefined ? base : `${base}&after=${encodeURIComponent(from)}`;
    };
    for await (const { event, data } of follow(this.#transport, { path, signal })) {
      const document = parseDocument(data);
      if (event === "message") yield messageOf(document);
      else if (event === "caught-up") yield { kind: "caught-up", position: textOf(document, "position") };
      else if (event === "stalled") yield { kind: "stalled", group: textOf(document, "group"), forMs: numberOf(document, "forMs") };
    }
  }

  async status(options: CallOptions = {}): Promise<ClusterStatus> {
    const reply = await this.#transport.call({ method: "GET", path: "/v1/cluster", ...callOf(options) });
    const document = documentIn(reply);
    textOf(document, "cluster");
    return document as unknown as ClusterStatus;
  }

  /** Passes a request on to a node, whatever host it names. */
  readonly fetch = (request: Request): Promise<Response> => this.#transport.forward(request);

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#transport.close();
    await this.#onClose?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function namesOf(groups: readonly string[]): string {
  return groups.map(encodeURIComponent).join(",");
}

function baseOf(url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new CarillonError("config", `Cannot connect to ${JSON.stringify(url)}: it is no http:// or https:// URL`);
  }
  const { origin, pathname } = new URL(url);
  return origin + pathname.replace(/\/+$/, "");
}
