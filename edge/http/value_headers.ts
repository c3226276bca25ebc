/** Users' bytes as the body of an answer: with their type, and without giving them this origin's rights in a browser. */

/** What a browser would run if it were shown as a page of this origin. */
const active = /html|xml|svg|javascript|pdf/;

export function valueHeaders(type: string): Record<string, string> {
  // A type that came in through the embedded API may be no header value.
  const headers: Record<string, string> = {
    "content-type": type === "" || !/^[\x20-\x7e]+$/.test(type) ? "application/octet-stream" : type,
  };
  if (active.test(type)) headers["content-security-policy"] = "sandbox";
  return headers;
}
