'use strict';
// Inbound HTTP: real servers, real clients.

const assert = require('node:assert');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');
const { test } = require('node:test');

const express = require('express');
const fastify = require('fastify');

const { currentContext } = require('../index.js');
const { ask, keeping, listen } = require('./captured.js');

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** A captured server on loopback. */
async function serving(t, handler, settings, options) {
  const kept = keeping(settings);
  const server = kept.emitter.instrument(http.createServer(handler), options);
  return { ...kept, server, port: await listen(t, server) };
}

const echo = (request, response) => request.pipe(response);

test('a request is told as it came, and its response as it went', async (t) => {
  const { port, captured } = await serving(t, (request, response) => {
    response.setHeader('X-Served', 'yes');
    response.setHeader('Set-Cookie', ['a=1', 'b=2']);
    response.writeHead(201, { 'Content-Type': 'text/plain' });
    response.end('täxt');
  });
  const headers = ['Host', 'shop.test', 'X-Two', '1', 'x-two', '2', 'traceparent', TRACE, 'Authorization', 'Bearer x', 'X-Name', 'M\xfcller'];
  const answer = await ask(port, '/a%20b?token=s3cret', { headers });
  assert.strictEqual(answer.body.toString(), 'täxt');
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual(
    [req.head.dir, req.head.proto, req.head.method, req.head.url, req.head.trace],
    ['in', 'http/1.1', 'GET', 'http://shop.test/a%20b?token=[redacted]', TRACE],
  );
  assert.deepStrictEqual(req.head.headers.slice(0, 6), [
    ['Host', 'shop.test'],
    ['X-Two', '1'],
    ['x-two', '2'],
    ['traceparent', TRACE],
    ['Authorization', '[redacted]'],
    ['X-Name', 'Müller'],
  ]);
  assert.match(req.head.peer, /^127\.0\.0\.1:\d+$/);
  assert.deepStrictEqual([res.head.status, res.text, res.header('set-cookie'), res.header('x-served')], [201, 'täxt', ['[redacted]', '[redacted]'], ['yes']]);
  assert.ok(res.head.us <= res.tail.us);
  assert.strictEqual(res.tail.error, undefined);
});

test('bodies of all sizes are captured byte for byte while many run', async (t) => {
  const { port, captured, emitter } = await serving(t, echo, { bodyLimit: '8MiB', queueLimit: '256MiB' });
  const sizes = [0, 1, 4096, 65_536, 300_000, 2_000_000];
  const bodies = Array.from({ length: 18 }, (_, n) => Buffer.alloc(sizes[n % sizes.length], `body ${n} \xff`, 'latin1'));
  await Promise.all(
    bodies.map(async (body, n) => {
      const headers = n % 2 ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length };
      const answer = await ask(port, `/${n}`, { method: 'POST', body, headers });
      assert.ok(answer.body.equals(body), `request ${n} came back changed`);
    }),
  );
  const all = await captured(bodies.length);
  for (const { req, res } of all) {
    const n = Number(/\/(\d+)$/.exec(req.head.url)[1]);
    for (const part of [req, res]) {
      assert.ok(part.body.equals(bodies[n]), `${part.body.length} of ${bodies[n].length} bytes`);
      assert.deepStrictEqual([part.tail.error, part.tail.truncated], [undefined, undefined]);
    }
  }
  assert.strictEqual(emitter.counts().dropped, 0);
});

test('code that answers a request knows it, in events and timers too', async (t) => {
  const seen = [];
  const { port, captured } = await serving(t, (request, response) => {
    seen.push(currentContext());
    request.on('data', () => seen.push(currentContext()));
    request.on('end', () => setTimeout(() => response.end(), 1));
    response.on('finish', () => seen.push(currentContext()));
  });
  await ask(port, '/', { method: 'POST', body: 'x', headers: { traceparent: TRACE } });
  const [{ id }] = await captured(1);
  assert.deepStrictEqual(seen, Array(3).fill({ id, trace: TRACE }));
});

test('a request that is filtered out is left alone and not counted', async (t) => {
  const settings = { skipPaths: ['/health', '/assets/*'], skipMethods: ['delete'] };
  const { port, captured, emitter } = await serving(t, (_, response) => response.end('x'), settings);
  for (const path of ['/health?x', '/assets/a.js', '/healthy']) await ask(port, path);
  await ask(port, '/', { method: 'DELETE' });
  const all = await captured(1);
  assert.deepStrictEqual(all.map(({ req }) => req.head.url.replace(/^.*:\d+/, '')), ['/healthy']);
  assert.deepStrictEqual([emitter.counts().begun, emitter.counts().sampledOut], [1, 0]);
});

test('a response without a body has none, whatever the handler writes', async (t) => {
  const { port, captured } = await serving(t, (request, response) => {
    response.writeHead(request.method === 'HEAD' ? 200 : 204);
    response.end('not sent');
  });
  await ask(port, '/', { method: 'HEAD' });
  await ask(port, '/');
  for (const { res } of await captured(2)) assert.deepStrictEqual([res.text, res.tail.truncated], ['', undefined]);
});

test('trailers are told', async (t) => {
  const { port, captured } = await serving(t, (request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { Trailer: 'x-sum' });
      response.write('body');
      response.addTrailers({ 'x-sum': '7' });
      response.end();
    });
  });
  const socket = net.connect(port, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sent: 9\r\n\r\n');
  await once(socket.resume(), 'end');
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.text, req.tail.trailers], ['ab', [['X-Sent', '9']]]);
  assert.deepStrictEqual([res.text, res.tail.trailers], ['body', [['x-sum', '7']]]);
});

test('requests that share a connection, and do not wait for each other, are told apart', async (t) => {
  const { port, captured } = await serving(t, (request, response) => {
    setTimeout(() => request.pipe(response), request.url === '/0' ? 20 : 0);
  });
  const socket = net.connect(port, '127.0.0.1');
  const bodies = ['first', '', 'third'];
  const asked = bodies.map((body, n) => `POST /${n} HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  socket.write(asked.join(''));
  const all = await captured(3);
  socket.destroy();
  all.forEach(({ req, res }, n) => {
    assert.deepStrictEqual([req.head.url, req.text, res.text], [`http://h/${n}`, bodies[n], bodies[n]]);
    assert.deepStrictEqual([req.tail.error, res.tail.error], [undefined, undefined]);
  });
});

test('a client that waits for 100-continue is answered, whoever answers', async (t) => {
  const { port, captured, server } = await serving(t, echo);
  const expecting = async (path) => {
    const request = http.request({ port, host: '127.0.0.1', path, method: 'POST', agent: false, headers: { Expect: '100-continue', 'content-length': 4 } });
    request.flushHeaders();
    await once(request, 'continue');
    request.end('body');
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
  };
  await expecting('/by-node');
  server.on('checkContinue', (request, response) => {
    response.writeContinue();
    echo(request, response);
  });
  await expecting('/by-app');
  for (const { req, res } of await captured(2)) assert.deepStrictEqual([req.text, res.text, res.head.status], ['body', 'body', 200]);
});

test('events that are streamed are captured as they go, and their head when it goes', async (t) => {
  const { port, captured } = await serving(t, (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    let n = 0;
    const timer = setInterval(() => {
      response.write(`data: ${n}\n\n`);
      if (++n === 3) {
        clearInterval(timer);
        response.end();
      }
    }, 20);
  });
  const answer = await ask(port, '/events');
  const [{ res }] = await captured(1);
  assert.deepStrictEqual([res.text, answer.body.toString()], Array(2).fill('data: 0\n\ndata: 1\n\ndata: 2\n\n'));
  assert.ok(res.head.us < res.tail.us);
});

test('a client that hangs up while it is answered leaves what was sent', async (t) => {
  const { port, captured } = await serving(t, (_, response) => {
    response.write('begun');
  });
  const socket = net.connect(port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.tail.error, res.text, res.tail.truncated, res.tail.error], [undefined, 'begun', true, "connection closed before the body's end"]);
});

test('a client that hangs up within its upload leaves what came', async (t) => {
  const { port, captured } = await serving(t, (request) => request.on('data', () => socket.destroy()).on('error', () => {}));
  const socket = net.connect(port, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nbegun');
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.text, req.tail.truncated, req.tail.full_len, req.tail.error], ['begun', true, 100, 'body not read to its end']);
  assert.deepStrictEqual([res.head.status, res.tail.truncated, res.tail.error], [undefined, true, 'connection closed before the response']);
});

test('a handler that does not read its request is told of', async (t) => {
  const { port, captured } = await serving(t, (_, response) => response.writeHead(413, { Connection: 'close' }).end('too large'));
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.tail.truncated, req.tail.full_len, req.tail.error], [true, 1_000_000, 'body not read']);
  assert.deepStrictEqual([res.text, res.tail.error], ['too large', undefined]);
});

test('errors are captured always where that is set, by status or where the handler throws', async (t) => {
  const kept = keeping({ sampleRate: 0, errors: 'always' });
  const app = express();
  app.use(kept.emitter.express());
  app.post('/fine', (request, response) => response.send('fine'));
  app.post('/broken', () => {
    throw new Error('secret reason');
  });
  app.use((error, request, response, next) => response.status(500).send('sorry') && void next);
  const port = await listen(t, http.createServer(app));
  await ask(port, '/fine', { method: 'POST', body: 'a' });
  await ask(port, '/broken', { method: 'POST', body: 'b' });
  const all = await kept.captured(1);
  assert.deepStrictEqual(
    all.map(({ req, res }) => [req.head.why, req.text, res.head.status, res.text]),
    [['error', 'b', 500, 'sorry']],
  );
  assert.strictEqual(kept.emitter.counts().sampledOut, 1);
});

test('a client that hangs up before it is answered left its request without a response', async (t) => {
  let begun;
  const handling = new Promise((resolve) => (begun = resolve));
  const { port, captured } = await serving(t, (request) => request.resume().on('end', begun), { sampleRate: 0, errors: 'always' });
  const request = http.request({ port, host: '127.0.0.1', path: '/slow', method: 'POST', agent: false });
  request.on('error', () => {});
  request.end('asked');
  await handling;
  request.destroy();
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.head.why, req.text, res.tail.error, res.tail.truncated], ['error', 'asked', 'connection closed before the response', true]);
});

test('websockets work on, and are not captured at all', async (t) => {
  const { port, server, emitter } = await serving(t, echo);
  server.on('upgrade', (request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  await once(socket, 'data');
  socket.write('ping');
  assert.strictEqual((await once(socket, 'data')).toString(), 'ping');
  assert.strictEqual(emitter.counts().begun, 0);
});

test('a listener alone can be captured, and twice is once', async (t) => {
  const kept = keeping();
  const server = kept.emitter.instrument(http.createServer(kept.emitter.listener((_, response) => response.end('x'))));
  const port = await listen(t, server);
  await ask(port, '/');
  await kept.captured(1);
  assert.strictEqual(kept.emitter.counts().begun, 1);
});

test('two emitters may capture one server', async (t) => {
  const first = keeping();
  const { port, server, captured } = await serving(t, echo);
  first.emitter.instrument(server);
  const answer = await ask(port, '/', { method: 'POST', body: 'x'.repeat(100_000) });
  assert.strictEqual(answer.body.length, 100_000);
  for (const [{ req, res }] of [await captured(1), await first.captured(1)]) {
    assert.deepStrictEqual([req.body.length, res.body.length, res.head.status], [100_000, 100_000, 200]);
  }
});

test('a scheme that is set stands in URLs', async (t) => {
  const { port, captured } = await serving(t, (_, response) => response.end(), {}, { scheme: 'https' });
  await ask(port, '/x', { headers: { host: 'shop.test' } });
  assert.strictEqual((await captured(1))[0].req.head.url, 'https://shop.test/x');
});

test('Express: bodies that its parsers read are captured, in mounted routers too', async (t) => {
  const kept = keeping();
  const app = express();
  app.use(kept.emitter.express());
  app.use('/api', express.json(), (request, response) => response.json({ got: request.body, parent: currentContext().id }));
  const port = await listen(t, http.createServer(app));
  const answer = await ask(port, '/api/items', {
    method: 'POST',
    body: '{"name":"tea","password":"x"}',
    headers: { 'content-type': 'application/json' },
  });
  const [{ id, req, res }] = await kept.captured(1);
  assert.deepStrictEqual(JSON.parse(answer.body), { got: { name: 'tea', password: 'x' }, parent: id });
  assert.match(req.head.url, /\/api\/items$/);
  assert.strictEqual(req.text, '{"name":"tea","password":"[redacted]"}');
  assert.deepStrictEqual(JSON.parse(res.text), { got: { name: 'tea', password: '[redacted]' }, parent: id });
});

test('Fastify: routes have a rate limit each, whatever their parameters', async (t) => {
  const kept = keeping({ rateLimit: 0.000_001 });
  const app = fastify();
  app.register(kept.emitter.fastify());
  app.post('/users/:name', async (request) => ({ got: request.body, parent: currentContext().id }));
  t.after(() => app.close());
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address();
  const headers = { 'content-type': 'application/json' };
  const answer = await ask(port, '/users/ann', { method: 'POST', body: '{"a":1}', headers });
  await ask(port, '/users/bob', { method: 'POST', body: '{}', headers });
  const [{ id, req, res }] = await kept.captured(1);
  assert.deepStrictEqual(JSON.parse(answer.body), { got: { a: 1 }, parent: id });
  assert.deepStrictEqual([req.text, res.text, res.head.status], ['{"a":1}', answer.body.toString(), 200]);
  assert.strictEqual(kept.emitter.counts().sampledOut, 1);
});

test('HTTP/2 by its compatibility API', async (t) => {
  const kept = keeping();
  const server = kept.emitter.instrument(http2.createServer((request, response) => {
    response.setHeader('x-served', 'yes');
    request.pipe(response);
  }));
  const port = await listen(t, server);
  const client = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => client.close());
  const stream = client.request({ ':method': 'POST', ':path': '/h2', 'x-sent': '1' });
  stream.end('over h2');
  stream.setEncoding('utf8');
  let text = '';
  for await (const piece of stream) text += piece;
  assert.strictEqual(text, 'over h2');
  const [{ req, res }] = await kept.captured(1);
  assert.deepStrictEqual([req.head.proto, req.head.method, req.head.url], ['h2', 'POST', `http://127.0.0.1:${port}/h2`]);
  assert.deepStrictEqual([req.text, res.text, res.head.status, req.header('x-sent'), res.header('x-served')], ['over h2', 'over h2', 200, ['1'], ['yes']]);
  assert.ok(req.head.headers.every(([name]) => !name.startsWith(':')));
  assert.deepStrictEqual([req.tail.truncated, res.tail.truncated], [undefined, undefined]);
});
