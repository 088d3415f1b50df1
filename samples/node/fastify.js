// A small Fastify app whose requests and calls are captured: `PORT=8080 node fastify.js`
import Fastify from 'fastify';
import { Emitter } from 'reassemble-emitter';

const emitter = Emitter.fromEnv();
const fetch = emitter.wrapFetch();
const app = Fastify({ bodyLimit: 10 * 1024 * 1024, forceCloseConnections: 'idle' });

app.register(emitter.fastify());
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

app.post('/echo', (request, reply) => reply.type(request.headers['content-type'] ?? 'text/plain').send(request.body ?? Buffer.alloc(0)));

// Asks whoever is named: the call shares this request's trace.
app.get('/call', async (request, reply) => {
  const answer = await fetch(request.query.to, { method: 'POST', body: 'called' });
  return reply.send(Buffer.from(await answer.arrayBuffer()));
});

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });

process.on('SIGTERM', async () => {
  await app.close();
  await emitter.shutdown();
  process.exit(0);
});
