// A small Express app whose requests and calls are captured: `PORT=8080 node express.js`
import express from 'express';
import { Emitter } from 'reassemble-emitter';

const emitter = Emitter.fromEnv();
const fetch = emitter.wrapFetch();
const app = express();

app.use(emitter.express());

app.post('/echo', express.raw({ type: () => true, limit: '10mb' }), (request, response) => {
  response.set('Content-Type', request.get('content-type'));
  response.send(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
});

// Asks whoever is named: the call shares this request's trace.
app.get('/call', async (request, response, next) => {
  try {
    const answer = await fetch(request.query.to, { method: 'POST', body: 'called' });
    response.send(Buffer.from(await answer.arrayBuffer()));
  } catch (fault) {
    next(fault);
  }
});

const server = app.listen(Number(process.env.PORT), '127.0.0.1');

process.on('SIGTERM', () => {
  server.close(() => emitter.shutdown().then(() => process.exit(0)));
  server.closeIdleConnections();
});
