/** HTTP as a cautious client does it: whatever happens ends in one of three outcomes. */
export type Reply =
  | { readonly kind: "answer"; readonly status: number; readonly headers: Headers; readonly body: string }
  /** Certainly not applied: nobody listened, or the node says so. */
  | { readonly kind: "none"; readonly reason: string }
  /** Perhaps applied. */
  | { readonly kind: "unknown"; readonly reason: string };

const timeoutMs = 3_000;

export async function request(url: string, init: RequestInit = {}): Promise<Reply> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    const body = await response.text();
    const { status, headers } = response;
    if (status < 500 && status !== 429) return { kind: "answer", status, headers, body };
    // A problem document says whether the write may have happened; anything else leaves it open.
    const outcome = headers.get("content-type")?.startsWith("application/problem+json") ? JSON.parse(body).outcome : "unknown";
    return { kind: outcome === "none" ? "none" : "unknown", reason: `${status} ${body}` };
  } catch (error) {
    const code = (error as { code?: string }).code ?? "";
    const reason = `${code} ${(error as Error).message}`;
    return { kind: code === "ConnectionRefused" ? "none" : "unknown", reason };
  }
}
