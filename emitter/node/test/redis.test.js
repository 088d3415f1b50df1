'use strict';
// Commands to a real Redis: REDIS_URL names one.

const assert = require('node:assert');
const { once } = require('node:events');
const { before, test } = require('node:test');

const Redis = require('ioredis');

const { keeping } = require('./captured.js');

const url = process.env.REDIS_URL;
const skip = url ? false : 'REDIS_URL does not name a server';

// Others may have used the server before.
before(async () => {
  if (skip) return;
  const client = new Redis(url);
  await client.flushall();
  client.disconnect();
});

function connected(t, settings) {
  const kept = keeping(settings);
  const client = kept.emitter.instrumentRedis(new Redis(url));
  t.after(() => client.disconnect());
  return { ...kept, client };
}

test('commands and replies are captured, those that wait for the connection once', { skip }, async (t) => {
  const { client, captured, lines } = connected(t);
  assert.strictEqual(await client.hset('h', { name: 'é', password: Buffer.from('s3cret') }), 2);
  assert.deepStrictEqual(await client.hgetall('h'), { name: 'é', password: 's3cret' });
  assert.strictEqual(await client.get('none'), null);
  assert.deepStrictEqual(await client.hgetBuffer('h', 'name'), Buffer.from('é'));
  await assert.rejects(client.incr('h'), /WRONGTYPE/);
  await assert.rejects(client.auth('ann', 'pw-s3cret'));
  await client.config('GET', 'requirepass');
  const [hset, hgetall, get, hget, incr, auth, config, ...more] = await captured(7);
  assert.deepStrictEqual(more, []);
  const { head } = hset.req;
  assert.deepStrictEqual([head.proto, head.method, head.dir, head.url], ['redis', 'HSET', 'out', url]);
  assert.deepStrictEqual([hset.req.text, hset.res.text, hset.res.head.status], ['["h","name","é","password","s3cret"]', '2', 'OK']);
  assert.strictEqual(hgetall.res.text, '{"name":"é","password":"[redacted]"}');
  assert.deepStrictEqual([get.res.text, hget.res.text], ['null', '"é"']);
  assert.deepStrictEqual([incr.res.tail.error, incr.res.head.status], ['ReplyError: WRONGTYPE', undefined]);
  assert.deepStrictEqual([auth.req.head.method, auth.req.text, auth.req.tail.truncated], ['AUTH', '', true]);
  assert.deepStrictEqual([config.req.text, config.res.text, config.res.tail.truncated], ['', '', true]);
  assert.ok(!lines.some((line) => line.includes('pw-s3cret')));
});

test('commands of pipelines and transactions are captured each', { skip }, async (t) => {
  const { client, captured } = connected(t);
  const results = await client.pipeline().set('a', 'x').get('a').incr('a').exec();
  assert.deepStrictEqual(results.map(([error, reply]) => [error?.name, reply]), [[undefined, 'OK'], [undefined, 'x'], ['ReplyError', undefined]]);
  assert.deepStrictEqual(await client.multi().set('a', '2').get('a').exec(), [[null, 'OK'], [null, '2']]);
  const all = await captured(7);
  assert.deepStrictEqual(
    all.map(({ req, res }) => [req.head.method, res.text, res.tail.error]),
    [
      ['SET', '"OK"', undefined],
      ['GET', '"x"', undefined],
      ['INCR', '', 'ReplyError: ERR'],
      ['MULTI', '"OK"', undefined],
      ['SET', '"QUEUED"', undefined],
      ['GET', '"QUEUED"', undefined],
      ['EXEC', '["OK","2"]', undefined],
    ],
  );
});

test('a long reply is left out, callbacks are called, and rejections that nobody handles stay', { skip }, async (t) => {
  const { client, captured } = connected(t, { redactBuffer: 1000 });
  await client.del('l');
  await client.rpush('l', ...Array.from({ length: 500 }, (_, at) => `item ${at}`));
  assert.strictEqual((await new Promise((resolve, reject) => client.lrange('l', 0, -1, (error, all) => (error ? reject(error) : resolve(all))))).length, 500);
  const listeners = process.rawListeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  t.after(() => listeners.forEach((listener) => process.on('unhandledRejection', listener)));
  const unhandled = once(process, 'unhandledRejection');
  void client.incr('l');
  assert.match((await unhandled)[0].message, /WRONGTYPE/);
  const [, rpush, lrange] = await captured(4);
  assert.deepStrictEqual([rpush.req.text, rpush.req.tail.error], ['', 'redact_buffer']);
  assert.deepStrictEqual([lrange.res.text, lrange.res.tail.error, lrange.res.tail.truncated], ['', 'redact_buffer', true]);
});
