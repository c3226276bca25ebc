/** The process behind the HTTP yardstick. */
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  // Not in the types of this version yet: HTTP/1.1 and cleartext HTTP/2 on one port.
  ...{ http2: true },
  fetch: async (request) => new Response(await request.bytes()),
});
