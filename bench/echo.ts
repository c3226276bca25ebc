/** The process behind the HTTP yardstick. */
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  http2: true,
  fetch: async (request) => new Response(await request.bytes()),
});
