/** A server that does nothing: what an idle Bun costs. Prints its port. */
const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('ok') });
console.log(server.port);
