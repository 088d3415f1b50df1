'use strict';
// The plain API, and what an emitter does whatever it captures.

const assert = require('node:assert');
const { test } = require('node:test');

const { Emitter, currentContext } = require('../index.js');
const { keeping } = require('./captured.js');

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A capture of a request and its response, as a client of a database would make it. */
function capture(emitter, { url = 'http://host/path', method = 'GET', status = 200, request = '', response = '', ...options } = {}) {
  const one = emitter.begin('http/1.1', method, url, options);
  one.requestBody(request);
  one.respond(status, options.answers);
  one.responseBody(response);
  one.finish();
  return one;
}

test('a query is told in both its parts', async () => {
  const { emitter, captured } = keeping();
  const query = emitter.begin('postgres', 'query', 'postgres://user:pw@db/shop', {
    tags: { pool: 'main', 10: 'a', 9: 'b' },
    peer: '10.0.0.9:5432',
  });
  query.requestBody('select name ');
  query.requestBody(Buffer.from('from items'));
  query.respond('00000');
  query.responseBody([['tea'], ['cup']]);
  query.finish();
  const [{ id, req, res }] = await captured(1);
  assert.strictEqual(id, query.id);
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.match(req.head.ts, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  const { dir, proto, method, url, peer, n, rate, why, service, trace } = req.head;
  assert.deepStrictEqual(
    { dir, proto, method, url, peer, n, rate, why, service, trace },
    {
      dir: 'out',
      proto: 'postgres',
      method: 'query',
      url: 'postgres://db/shop',
      peer: '10.0.0.9:5432',
      n: 1,
      rate: 1,
      why: 'all',
      service: 'test',
      trace: query.trace,
    },
  );
  assert.deepStrictEqual(req.head.tags, { pool: 'main', 10: 'a', 9: 'b' });
  assert.deepStrictEqual([req.text, res.text, res.head.status], ['select name from items', '[["tea"],["cup"]]', '00000']);
  assert.deepStrictEqual(emitter.counts(), { begun: 1, finished: 1, dropped: 0, sampledOut: 0, lostLines: 0 });
});

test('a message without an answer is one-way', async () => {
  const { emitter, captured } = keeping();
  const event = emitter.begin('kafka', 'produce', 'kafka://broker/orders', { oneway: true });
  event.requestBody({ order: 7 });
  event.finish();
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.head.oneway, req.text, res], [true, '{"order":7}', undefined]);
});

test('an error ends the capture with it', async () => {
  const { emitter, captured } = keeping();
  const query = emitter.begin('postgres', 'query', 'postgres://db/shop');
  query.error(new TypeError('no such table'));
  query.finish();
  query.responseBody('too late');
  const [{ req, res }] = await captured(1);
  assert.strictEqual(req.tail.error, undefined);
  assert.deepStrictEqual([res.tail.error, res.tail.truncated, res.text], ['TypeError: no such table', true, '']);
});

test('what is called within a capture shares its trace and names it as parent', async () => {
  const { emitter, captured } = keeping();
  const job = emitter.begin('job', 'nightly', 'job://cleanup', { dir: 'in' });
  await job.run(async () => {
    await turn();
    assert.strictEqual(currentContext().id, job.id);
    capture(emitter);
  });
  job.finish();
  assert.strictEqual(currentContext(), undefined);
  const [outer, inner] = await captured(2);
  assert.strictEqual(inner.req.head.parent, outer.id);
  assert.strictEqual(inner.req.head.trace, outer.req.head.trace);
});

test('secrets of headers, URLs and bodies are not written', async () => {
  const { emitter, captured, lines } = keeping({ redactNames: ['pin'] });
  const headers = { 'content-type': 'application/json; charset=utf-8', Authorization: 'Bearer hunter2' };
  capture(emitter, {
    url: 'https://ann:hunter2@shop.test/a?token=hunter2',
    headers,
    request: '{"user":"ann","password":"hunter2","pin":"hunter2"}',
    answers: { 'content-type': 'application/x-www-form-urlencoded' },
    response: 'a=1&secret=hunter2',
  });
  const [{ req, res }] = await captured(1);
  assert.ok(!lines.join('').includes('hunter2'));
  assert.strictEqual(req.text, '{"user":"ann","password":"[redacted]","pin":"[redacted]"}');
  assert.strictEqual(res.text, 'a=1&secret=[redacted]');
  assert.strictEqual(req.head.url, 'https://shop.test/a?token=[redacted]');
  assert.deepStrictEqual(req.header('authorization'), ['[redacted]']);
  assert.strictEqual(req.tail.truncated, undefined);
});

test('a body that can not be looked through is left out', async () => {
  const { emitter, captured } = keeping({ redactBuffer: 100 });
  const json = (request) => capture(emitter, { headers: { 'content-type': 'application/json' }, request });
  json(`{"a":"${'x'.repeat(100)}"}`);
  json('{"password":"hunter2"');
  const early = emitter.begin('http/1.1', 'POST', 'http://host/', { headers: { 'content-type': 'application/vnd.x+json' } });
  early.requestBody('{"password":');
  const [long, broken] = await captured(2);
  assert.deepStrictEqual([long.req.text, long.req.tail.error, long.req.tail.truncated, long.req.tail.full_len], ['', 'redact_buffer', true, 108]);
  assert.deepStrictEqual([broken.req.text, broken.req.tail.error, broken.req.tail.full_len], ['', 'redact_syntax', 21]);
  await emitter.shutdown();
  const { req } = (await captured(3))[2];
  assert.deepStrictEqual([req.text, req.tail.truncated], ['', true]);
});

test('bodies are not looked through where that is off, or where they are encoded', async () => {
  const off = keeping({ redactBodies: false });
  const headers = { 'content-type': 'application/json' };
  capture(off.emitter, { headers, request: '{"password":1}' });
  assert.strictEqual((await off.captured(1))[0].req.text, '{"password":1}');
  const on = keeping();
  capture(on.emitter, { headers: { ...headers, 'content-encoding': 'gzip' }, request: Buffer.from([0x1f, 0x8b, 0xff]) });
  assert.deepStrictEqual((await on.captured(1))[0].req.body, Buffer.from([0x1f, 0x8b, 0xff]));
});

test('a body over its limit is cut, and its full length told', async () => {
  const { emitter, captured } = keeping({ bodyLimit: 10 });
  capture(emitter, { request: '0123456789', response: '0123456789abc' });
  const headers = { 'content-type': 'application/json' };
  capture(emitter, { headers, request: '{"pwd":"hunter2"}' });
  const [{ req, res }, redacted] = await captured(2);
  assert.deepStrictEqual([req.text, req.tail.truncated], ['0123456789', undefined]);
  assert.deepStrictEqual([res.text, res.tail.truncated, res.tail.full_len, res.tail.error], ['0123456789', true, 13, undefined]);
  assert.deepStrictEqual([redacted.req.text, redacted.req.tail.full_len], ['{"pwd":"[r', 17]);
});

test('of a body whose type is left out there are head and tail alone', async () => {
  const { emitter, captured } = keeping({ skipBodyTypes: ['image/*'] });
  capture(emitter, { answers: { 'Content-Type': 'IMAGE/png' }, response: 'pixels' });
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([res.text, res.tail.truncated, res.tail.full_len], ['', true, 6]);
  assert.strictEqual(req.tail.truncated, undefined);
});

test('sampling compares the CRC-32 of the trace with the rate', async () => {
  // CRC-32 of "4bf9…" is compared as in every language; the trace decides, so both captures fare alike.
  const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const share = require('../src/crc.js').crc32(Buffer.from(trace.slice(3, 35))) / 2 ** 32;
  for (const [sampleRate, taken] of [
    [share + 0.001, 2],
    [share - 0.001, 0],
  ]) {
    const { emitter, captured } = keeping({ sampleRate });
    capture(emitter, { trace });
    capture(emitter, { trace });
    const all = await captured(taken);
    assert.deepStrictEqual([all.length, emitter.counts().sampledOut], [taken, 2 - taken]);
    if (taken) assert.deepStrictEqual([all[0].req.head.why, all[0].req.head.rate], ['sample', Number(sampleRate.toFixed(6))]);
  }
  const byId = keeping({ sampleRate: 0.5, sampleBy: 'id' });
  for (let n = 0; n < 400; n++) capture(byId.emitter, { trace });
  const { begun } = byId.emitter.counts();
  assert.ok(begun > 100 && begun < 300, `${begun} of 400`);
});

test('a rate limit leaves out what an endpoint has too much of', async () => {
  const { emitter, captured } = keeping({ rateLimit: 0.000_001 });
  for (const url of ['http://h/items/1', 'http://h/items/22?x', 'http://h/items', 'http://h/items']) capture(emitter, { url });
  capture(emitter, { url: 'http://h/items/3', method: 'PUT' });
  const all = await captured(3);
  assert.deepStrictEqual(
    all.map(({ req }) => `${req.head.method} ${req.head.url} ${req.head.why}`),
    ['GET http://h/items/1 limit', 'GET http://h/items limit', 'PUT http://h/items/3 limit'],
  );
  assert.strictEqual(emitter.counts().sampledOut, 2);
});

test('errors are captured always where that is set', async () => {
  const { emitter, captured } = keeping({ sampleRate: 0, errors: 'always' });
  capture(emitter, { status: 200, request: 'fine' });
  capture(emitter, { status: 503, request: 'r'.repeat(70_000), response: 'sorry' });
  const failed = emitter.begin('http/1.1', 'GET', 'http://host/failed');
  failed.error('ECONNREFUSED');
  failed.finish();
  const all = await captured(2);
  assert.deepStrictEqual(
    all.map(({ req, res }) => [req.head.why, req.head.n, req.head.rate, req.body.length, req.tail.full_len, res.text, res.tail.error]),
    [
      ['error', 1, 0, 65_536, 70_000, 'sorry', undefined],
      ['error', 2, 0, 0, undefined, '', 'ECONNREFUSED'],
    ],
  );
  assert.deepStrictEqual([emitter.counts().sampledOut, emitter.counts().begun], [1, 2]);
});

test('a capture for which there is no room to be held is dropped', async () => {
  const { emitter } = keeping({ sampleRate: 0, errors: 'always', queueLimit: 3000 });
  const held = Array.from({ length: 10 }, () => emitter.begin('http/1.1', 'GET', 'http://host/'));
  const { dropped } = emitter.counts();
  assert.ok(dropped > 5, `${dropped} dropped`);
  for (const capture of held) {
    capture.respond(200);
    capture.finish();
  }
  assert.deepStrictEqual(emitter.counts(), { begun: 0, finished: 0, dropped, sampledOut: 10 - dropped, lostLines: 0 });
});

test('where the queue is full captures are dropped whole, and one that had begun ends with the error', async () => {
  const { emitter, captured } = keeping({ queueLimit: 20_000 });
  const begun = emitter.begin('x', 'x', 'x://x');
  begun.requestBody('a'.repeat(1000));
  begun.requestBody('b'.repeat(30_000));
  begun.requestBody('c');
  for (let n = 0; n < 100; n++) capture(emitter);
  const { dropped } = emitter.counts();
  assert.ok(dropped > 50, `${dropped} dropped`);
  begun.respond(200);
  begun.finish();
  const all = await captured(101 - dropped);
  const { req } = all[0];
  assert.deepStrictEqual([req.text, req.tail.error, req.tail.truncated, req.tail.full_len], ['a'.repeat(1000), 'queue', true, 31_001]);
  // All that was taken is given back: there is room again.
  capture(emitter, { request: 'd'.repeat(15_000) });
  assert.strictEqual((await captured(102 - dropped)).at(-1).req.body.length, 15_000);
});

test('the whole of the queue is given back', async () => {
  const { emitter, captured } = keeping({ queueLimit: 100_000, sampleRate: 0.5, sampleBy: 'id', errors: 'always' });
  const headers = { 'content-type': 'application/json' };
  for (let round = 0; round < 30; round++) {
    for (let n = 0; n < 10; n++) capture(emitter, { headers, request: `{"a":"${'x'.repeat(n * 100)}"}`, status: n % 2 ? 200 : 500 });
    await emitter.flush();
  }
  assert.strictEqual(emitter.counts().dropped, 0);
  capture(emitter, { request: 'x'.repeat(90_000), status: 500 });
  const all = await captured(emitter.counts().begun);
  assert.ok(all.at(-1).req.body.length >= 65_536);
});

test('a body that changes after it was handed over is captured as it was', async () => {
  const { emitter, captured } = keeping();
  const bytes = Buffer.from('before');
  const one = emitter.begin('x', 'x', 'x://x');
  one.requestBody(bytes);
  bytes.fill('!');
  one.finish();
  assert.strictEqual((await captured(1))[0].req.text, 'before');
});

test('bodies of all sizes come whole, cut into lines of the limit', async () => {
  const { emitter, captured, lines } = keeping({ bodyLimit: '8MiB', lineLimit: 1000 });
  const sizes = [0, 1, 999, 65_535, 65_536, 65_537, 300_000];
  const bodies = sizes.map((size) => Buffer.from(Array.from({ length: size }, (_, at) => (at * 31 + size) & 127)));
  for (const request of bodies) capture(emitter, { request, response: request.toString('latin1') });
  const all = await captured(sizes.length);
  all.forEach(({ req, res }, at) => {
    assert.ok(req.body.equals(bodies[at]), `request of ${sizes[at]}`);
    assert.ok(res.body.equals(bodies[at]), `response of ${sizes[at]}`);
  });
  assert.ok(lines.every((line) => line.length <= 1000 && line.endsWith('\n')));
});

test('what is open at the shutdown ends with it, and the counters are told', async () => {
  const { emitter, lines, read } = keeping();
  capture(emitter);
  const open = emitter.begin('x', 'open', 'x://x');
  open.requestBody('begun');
  assert.strictEqual(await emitter.shutdown(60_000), true);
  capture(emitter);
  open.finish();
  await turn();
  const { captures, metas } = read();
  assert.deepStrictEqual([captures.length, captures[1].req.text], [2, 'begun']);
  for (const half of [captures[1].req, captures[1].res]) assert.deepStrictEqual([half.tail.error, half.tail.truncated], ['shutdown', true]);
  const { begun, finished, dropped, sampled_out } = metas.at(-1);
  assert.deepStrictEqual({ begun, finished, dropped, sampled_out }, { begun: 2, finished: 2, dropped: 0, sampled_out: 0 });
  assert.strictEqual(JSON.parse(lines.at(-1)).part, 'meta');
  assert.strictEqual(metas.length, 1);
});

test('lines are signed where a key is set', async () => {
  const { emitter, captured, lines } = keeping({ signingKey: '8d0f3c2e9a7b465180d2b6f4c1e3a597' });
  capture(emitter, { request: 'ping' });
  await captured(1);
  assert.ok(lines.every((line) => /,"sig":"[0-9a-f]{32}"\}\n$/.test(line) && !line.includes('"head":')));
});

test('an output that fails loses its lines, and nothing else', async () => {
  let fails = 2;
  const lines = [];
  const emitter = new Emitter({
    output: (line) => {
      if (fails-- > 0) throw new Error('disk full');
      lines.push(line);
    },
  });
  capture(emitter);
  capture(emitter);
  await emitter.flush();
  assert.deepStrictEqual([emitter.counts().lostLines, emitter.counts().finished, lines.length], [2, 1, 2]);
});

test('values that can not be captured never throw', async () => {
  const { emitter, captured } = keeping();
  const loop = {};
  loop.self = loop;
  const one = emitter.begin('x', 'x', 'x://x', { headers: { a: undefined, b: ['1', 2] }, tags: { n: 5 } });
  one.requestBody(loop);
  one.requestBody(10n);
  one.requestBody(undefined);
  one.respond(undefined, 7);
  one.finish();
  const [{ req }] = await captured(1);
  assert.deepStrictEqual([req.head.headers, req.head.tags, req.text], [[['b', '1'], ['b', '2']], { n: '5' }, '']);
});

test('a disabled emitter takes all calls', async () => {
  const emitter = Emitter.disabled();
  assert.strictEqual(capture(emitter).id, undefined);
  assert.strictEqual(await emitter.flush(), true);
  assert.strictEqual(await emitter.shutdown(), true);
  assert.strictEqual(emitter.counts().begun, 0);
  emitter.instrumentHttp()();
});

test('a held body that ends early keeps the error of its own', async () => {
  const { emitter, captured } = keeping({ redactBuffer: 10 });
  const headers = { 'content-type': 'application/json' };
  for (const [body, error] of [['{"long":"body"}', undefined], ['{"long":"body"}', 'reset'], ['{"s":', 'reset']]) {
    const begun = emitter.begin('http/1.1', 'GET', 'http://host/');
    begun.respond(200, headers);
    begun.responseBody(body);
    if (error) begun.error(error);
    begun.finish();
  }
  const all = await captured(3);
  assert.deepStrictEqual(
    all.map(({ res }) => [res.text, res.tail.error, res.tail.truncated]),
    [['', 'redact_buffer', true], ['', 'reset', true], ['', 'reset', true]],
  );
});
