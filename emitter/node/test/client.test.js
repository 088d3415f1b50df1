'use strict';
// Outbound HTTP: real clients, real servers.

const assert = require('node:assert');
const http = require('node:http');
const net = require('node:net');
const { once } = require('node:events');
const { Readable } = require('node:stream');
const { test } = require('node:test');
const zlib = require('node:zlib');

const { ask, keeping, listen } = require('./captured.js');

const CLONES = Number.parseInt(process.versions.undici, 10) >= 6 ? {} : { skip: 'this Node.js has no clones of bodies that let the process end' };
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** A server that is not captured; it notes the headers that it gets and answers with what it is sent. */
async function upstream(t, handler) {
  const asked = [];
  const server = http.createServer((request, response) => {
    asked.push(request.headers);
    if (handler) handler(request, response);
    else request.pipe(response);
  });
  return { port: await listen(t, server), asked };
}

/** An emitter whose process's calls are captured until the test ends. */
function calling(t, settings) {
  const kept = keeping(settings);
  t.after(kept.emitter.instrumentHttp());
  return kept;
}

test('a call by node:http is captured, and bears a trace', async (t) => {
  const { port, asked } = await upstream(t);
  const { captured } = calling(t);
  const answer = await ask(port, '/echo?token=x', { method: 'POST', body: 'hello', headers: { 'X-Sent': '1' } });
  assert.strictEqual(answer.body.toString(), 'hello');
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual(
    [req.head.dir, req.head.method, req.head.url, req.text, req.header('x-sent')],
    ['out', 'POST', `http://127.0.0.1:${port}/echo?token=[redacted]`, 'hello', ['1']],
  );
  assert.deepStrictEqual([asked[0].traceparent, req.header('traceparent')], [req.head.trace, [req.head.trace]]);
  assert.deepStrictEqual([res.head.status, res.text, res.tail.error, req.tail.error], [200, 'hello', undefined, undefined]);
});

test('a call within a request shares its trace and names it as parent', async (t) => {
  const { port, asked } = await upstream(t);
  const { emitter, captured } = calling(t);
  const front = await listen(
    t,
    emitter.instrument(
      http.createServer(async (_, response) => {
        await emitter.wrapFetch()(`http://127.0.0.1:${port}/fetch`).then((answer) => answer.text());
        http.get({ port, host: '127.0.0.1', path: '/get' }, (answer) => answer.resume().on('end', () => response.end()));
      }),
    ),
  );
  const socket = net.connect(front, '127.0.0.1');
  socket.end(`GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\ntraceparent: ${TRACE}\r\n\r\n`);
  await once(socket.resume(), 'end');
  const [inbound, ...calls] = await captured(3);
  assert.deepStrictEqual(calls.map(({ req }) => req.head.parent), [inbound.id, inbound.id]);
  const traces = calls.map(({ req }) => req.head.trace);
  assert.deepStrictEqual(asked.map(({ traceparent }) => traceparent), traces);
  for (const trace of traces) assert.match(trace, /^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/);
});

test('a traceparent that a call has stays', async (t) => {
  const { port, asked } = await upstream(t);
  const { emitter, captured } = calling(t);
  await ask(port, '/', { headers: { traceparent: TRACE } });
  await (await emitter.wrapFetch()(`http://127.0.0.1:${port}/`, { headers: { Traceparent: TRACE } })).text();
  assert.deepStrictEqual(asked.map(({ traceparent }) => traceparent), [TRACE, TRACE]);
  for (const { req } of await captured(2)) assert.strictEqual(req.head.trace, TRACE);
});

test('a call that fails says why', async (t) => {
  const { captured, emitter } = calling(t);
  const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  await assert.rejects(ask(port, '/'), { code: 'ECONNREFUSED' });
  await assert.rejects(emitter.wrapFetch()(`http://127.0.0.1:${port}/?token=x`), TypeError);
  for (const { res } of await captured(2)) {
    assert.deepStrictEqual([res.head.status, res.tail.error, res.tail.truncated], [undefined, 'ECONNREFUSED', true]);
  }
});

test('an answer that breaks off leaves what came', async (t) => {
  const { port } = await upstream(t, (_, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('begun');
    setTimeout(() => response.destroy(), 30);
  });
  const { captured, emitter } = calling(t);
  await assert.rejects(ask(port, '/'));
  const answer = await emitter.wrapFetch()(`http://127.0.0.1:${port}/`);
  await assert.rejects(answer.text());
  for (const { res } of await captured(2)) {
    assert.deepStrictEqual([res.head.status, res.text, res.tail.truncated, res.tail.full_len], [200, 'begun', true, 100]);
    assert.ok(res.tail.error);
  }
});

test('modules that import by name call what is patched, which is as before once that is undone', async () => {
  const named = await import('node:http');
  const before = [http.request, http.get];
  const { emitter } = keeping();
  const undo = emitter.instrumentHttp();
  assert.notStrictEqual(http.request, before[0]);
  assert.deepStrictEqual([named.request, named.get], [http.request, http.get]);
  undo();
  assert.deepStrictEqual([http.request, http.get, named.request, named.get], [...before, ...before]);
});

test('fetch: all kinds of bodies are captured, and arrive unchanged', async (t) => {
  const { port } = await upstream(t);
  const { emitter, captured } = keeping();
  const fetch = emitter.wrapFetch();
  const items = async function* () {
    yield Buffer.from('in ');
    yield Buffer.from('items');
  };
  const bodies = [
    ['a text', 'a text'],
    [Buffer.from('some bytes'), 'some bytes'],
    [new URLSearchParams({ a: 'b', c: 'd' }), 'a=b&c=d'],
    [new Blob(['blo']).stream(), 'blo', { duplex: 'half' }],
    [new Blob(['a ', 'blob'], { type: 'text/plain' }), 'a blob'],
    [Readable.toWeb(Readable.from([Buffer.from('from '), Buffer.from('a pool')])), 'from a pool', { duplex: 'half' }],
    [items(), 'in items', { duplex: 'half' }],
    [undefined, ''],
  ];
  for (const [body, text, options] of bodies) {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body, ...options });
    assert.strictEqual(await answer.text(), text);
  }
  const all = await captured(bodies.length);
  all.forEach(({ req, res }, at) => {
    assert.deepStrictEqual([req.text, res.text, req.tail.error, res.tail.error], [bodies[at][1], bodies[at][1], undefined, undefined]);
  });
});

test('fetch: a form loses its secrets', async (t) => {
  const { port } = await upstream(t);
  const { emitter, captured } = keeping();
  const body = new URLSearchParams({ user: 'ann', password: 'hunter2' });
  const answer = await emitter.wrapFetch()(new URL(`http://127.0.0.1:${port}/`), { method: 'POST', body });
  assert.strictEqual(await answer.text(), 'user=ann&password=hunter2');
  assert.strictEqual((await captured(1))[0].req.text, 'user=ann&password=[redacted]');
});

test('fetch: a Request goes out as it is', CLONES, async (t) => {
  const { port, asked } = await upstream(t);
  const { emitter, captured } = keeping();
  const request = new Request(`http://127.0.0.1:${port}/r`, { method: 'PUT', body: 'of a Request', headers: { 'x-sent': '1' } });
  const answer = await emitter.wrapFetch()(request);
  assert.strictEqual(await answer.text(), 'of a Request');
  assert.deepStrictEqual([asked[0]['x-sent'], asked[0]['content-length']], ['1', '12']);
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.head.method, req.text, req.tail.error, res.text], ['PUT', 'of a Request', undefined, 'of a Request']);
});

test('fetch: of a large Request no more is read ahead than is captured', CLONES, async (t) => {
  const { port } = await upstream(t);
  const { emitter, captured } = keeping({ bodyLimit: 1000 });
  const body = Buffer.alloc(3_000_000, 'x');
  for (const sent of [body, new Blob([body])]) {
    const answer = await emitter.wrapFetch()(new Request(`http://127.0.0.1:${port}/`, { method: 'PUT', body: sent }));
    assert.ok(body.equals(Buffer.from(await answer.arrayBuffer())));
  }
  for (const { req, res } of await captured(2)) {
    assert.deepStrictEqual([req.body.length, req.tail.truncated, req.tail.error], [1000, true, undefined]);
    assert.deepStrictEqual([res.body.length, res.tail.truncated, res.tail.full_len], [1000, true, 3_000_000]);
  }
});

test('fetch: a response is what it was, however it is read', async (t) => {
  const { port } = await upstream(t, (request, response) => {
    if (request.url === '/moved') response.writeHead(302, { location: '/json' }).end();
    else response.setHeader('content-type', 'application/json').end('{"name":"tea","token":"x"}');
  });
  const { emitter, captured } = keeping();
  const answer = await emitter.wrapFetch()(`http://127.0.0.1:${port}/moved`);
  assert.ok(answer instanceof Response);
  assert.deepStrictEqual([answer.ok, answer.status, answer.redirected, answer.type], [true, 200, true, 'basic']);
  const copy = answer.clone();
  assert.deepStrictEqual([answer.url, copy.url], Array(2).fill(`http://127.0.0.1:${port}/json`));
  assert.deepStrictEqual(await answer.json(), { name: 'tea', token: 'x' });
  assert.strictEqual(await copy.text(), '{"name":"tea","token":"x"}');
  const byob = await emitter.wrapFetch()(`http://127.0.0.1:${port}/json`);
  const reader = byob.body.getReader({ mode: 'byob' });
  let text = '';
  for (let next = await reader.read(new Uint8Array(8)); !next.done; next = await reader.read(new Uint8Array(8))) text += Buffer.from(next.value);
  assert.strictEqual(text, '{"name":"tea","token":"x"}');
  for (const { res } of await captured(2)) assert.strictEqual(res.text, '{"name":"tea","token":"[redacted]"}');
});

test('fetch: a body that it decodes is captured decoded, and its headers say so', async (t) => {
  const { port } = await upstream(t, (_, response) => response.setHeader('content-encoding', 'gzip').end(zlib.gzipSync('decoded')));
  const { emitter, captured } = keeping();
  assert.strictEqual(await (await emitter.wrapFetch()(`http://127.0.0.1:${port}/`)).text(), 'decoded');
  const [{ res }] = await captured(1);
  assert.deepStrictEqual([res.text, res.header('content-encoding'), res.header('content-length')], ['decoded', [], []]);
});

test('fetch: a response that is given up is told of', async (t) => {
  const { port } = await upstream(t, (_, response) => response.write('never ends'));
  const { emitter, captured } = keeping();
  const answer = await emitter.wrapFetch()(`http://127.0.0.1:${port}/`);
  await answer.body.cancel();
  const [{ res }] = await captured(1);
  assert.deepStrictEqual([res.head.status, res.tail.error, res.tail.truncated], [200, 'body not read to its end', true]);
});

test('fetch: statuses without a body', async (t) => {
  const { port } = await upstream(t, (_, response) => response.writeHead(204).end());
  const { emitter, captured } = keeping();
  const answer = await emitter.wrapFetch()(`http://127.0.0.1:${port}/`);
  assert.strictEqual(answer.body, null);
  const [{ res }] = await captured(1);
  assert.deepStrictEqual([res.head.status, res.tail.truncated], [204, undefined]);
});
