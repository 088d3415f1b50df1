// A small node:http app whose requests and calls are captured: `PORT=8080 node http.js`
import http from 'node:http';
import { Emitter } from 'reassemble-emitter';

const emitter = Emitter.fromEnv();
// From here on what node:http and node:https ask is captured, whoever asks.
emitter.instrumentHttp();

function post(url, body, done) {
  http.request(url, { method: 'POST' }, (answer) => {
    const pieces = [];
    answer.on('data', (piece) => pieces.push(piece));
    answer.on('end', () => done(Buffer.concat(pieces)));
  }).end(body);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1');
  if (request.method === 'POST' && url.pathname === '/echo') {
    response.setHeader('Content-Type', request.headers['content-type'] ?? 'text/plain');
    request.pipe(response);
  } else if (url.pathname === '/call') {
    // Asks whoever is named: the call shares this request's trace.
    post(url.searchParams.get('to'), 'called', (answer) => response.end(answer));
  } else {
    response.writeHead(404).end();
  }
});

emitter.instrument(server);
server.listen(Number(process.env.PORT), '127.0.0.1');

process.on('SIGTERM', () => {
  server.close(() => emitter.shutdown().then(() => process.exit(0)));
  server.closeIdleConnections();
});
