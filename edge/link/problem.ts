/** How the link's listener says no: a problem document, as the API's are. */

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `what`: "Cannot open a link stream". */
export function problem(what: string, { status, code, detail, headers = {} }: Refusal): Response {
  const title = `${what}: ${detail}`;
  return new Response(JSON.stringify({ type: "about:blank", title, status, code, detail, outcome: "none", retryable: false }) + "\n", {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
