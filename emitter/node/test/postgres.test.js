'use strict';
// Statements on a real PostgreSQL: POSTGRES_URL names one.

const assert = require('node:assert');
const { once } = require('node:events');
const { test } = require('node:test');

const pg = require('pg');

const { currentContext } = require('../index.js');
const { keeping } = require('./captured.js');

const connectionString = process.env.POSTGRES_URL;
const skip = connectionString ? false : 'POSTGRES_URL does not name a server';

/** A client that is connected, and what is captured of it. */
async function connected(t, settings) {
  const kept = keeping(settings);
  const client = kept.emitter.instrumentPostgres(new pg.Client({ connectionString }));
  await client.connect();
  t.after(() => client.end());
  return { ...kept, client };
}

test('statements, parameters and rows are captured', { skip }, async (t) => {
  const { client, captured, lines } = await connected(t);
  const { rows } = await client.query('select $1::int as a, $2::text as password, null as b, $3::bytea as c', [7, 's3cret', Buffer.from([1, 255])]);
  assert.deepStrictEqual(rows, [{ a: 7, password: 's3cret', b: null, c: Buffer.from([1, 255]) }]);
  await client.query('create temporary table t (a int)');
  await client.query({ name: 'put', text: 'insert into t values ($1)', values: [1] });
  const asArray = await client.query({ text: 'select a, 9007199254740993::int8 as long from t', rowMode: 'array' });
  assert.deepStrictEqual(asArray.rows, [[1, '9007199254740993']]);
  await client.query('select 1 as a where false');
  await client.query('select 1 as a; select 2 as b');
  const [first, create, put, array, nothing, two] = await captured(6);
  const { head } = first.req;
  assert.deepStrictEqual([head.proto, head.method, head.dir, first.res.head.status], ['postgres', 'query', 'out', '00000']);
  assert.match(head.url, /^postgres:\/\/127\.0\.0\.1:[0-9]+\/postgres$/);
  assert.deepStrictEqual(JSON.parse(first.req.text), {
    statement: 'select $1::int as a, $2::text as password, null as b, $3::bytea as c',
    parameters: [7, 's3cret', '\\x01ff'],
  });
  assert.strictEqual(first.res.text, '[{"a":7,"password":"[redacted]","b":null,"c":"\\\\x01ff"}]');
  assert.ok(!lines.some((line) => line.includes('"res"') && line.includes('s3cret')));
  assert.deepStrictEqual([create.req.text, create.res.text], ['{"statement":"create temporary table t (a int)"}', '']);
  assert.strictEqual(put.req.text, '{"statement":"insert into t values ($1)","name":"put","parameters":[1]}');
  assert.deepStrictEqual([array.res.text, nothing.res.text], ['[{"a":1,"long":"9007199254740993"}]', '[]']);
  assert.strictEqual(two.res.text, '[{"b":2}]');
});

test('errors are captured with their code, and reach the app', { skip }, async (t) => {
  const { client, captured } = await connected(t, { sampleRate: 0, errors: 'always' });
  await client.query('select 1');
  await assert.rejects(client.query('select * from nowhere'), { code: '42P01' });
  const byCallback = await new Promise((resolve) => client.query('select $1::int', ['s3cret'], resolve));
  assert.strictEqual(byCallback.code, '22P02');
  const all = await captured(2);
  assert.deepStrictEqual(
    all.map(({ res }) => [res.head.status, res.tail.error, res.tail.truncated]),
    [['42P01', '42P01', true], ['22P02', '22P02', true]],
  );
});

test('a rejection that nobody handles stays one', { skip }, async (t) => {
  const { client } = await connected(t);
  const listeners = process.rawListeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  t.after(() => listeners.forEach((listener) => process.on('unhandledRejection', listener)));
  const unhandled = once(process, 'unhandledRejection');
  void client.query('select * from nowhere');
  assert.strictEqual((await unhandled)[0].code, '42P01');
});

test('callbacks get what they got', { skip }, async (t) => {
  const { client, captured } = await connected(t);
  const ask = (...args) => new Promise((resolve, reject) => client.query(...args, (error, result) => (error ? reject(error) : resolve(result.rows))));
  assert.deepStrictEqual(await ask('select 1 as a'), [{ a: 1 }]);
  assert.deepStrictEqual(await ask({ text: 'select $1::int as a' }, [2]), [{ a: 2 }]);
  const rows = await new Promise((resolve) => client.query({ text: 'select 3 as a', callback: (_, result) => resolve(result.rows) }));
  assert.deepStrictEqual(rows, [{ a: 3 }]);
  assert.deepStrictEqual((await captured(3)).map(({ res }) => res.text), ['[{"a":1}]', '[{"a":2}]', '[{"a":3}]']);
});

test('many rows are left out, and no more of them are made than may be captured', { skip }, async (t) => {
  const { client, captured } = await connected(t, { redactBuffer: 1000 });
  let made = 0;
  const types = { getTypeParser: () => (text) => ({ toJSON: () => ++made && text }) };
  assert.strictEqual((await client.query({ text: 'select generate_series(1, 1000) as n', types })).rowCount, 1000);
  const [{ res }] = await captured(1);
  assert.deepStrictEqual([res.text, res.tail.error, res.tail.truncated], ['', 'redact_buffer', true]);
  assert.ok(made > 0 && made < 200, `${made} were made`);
});

test('of a query that hands out its rows itself the statement alone is captured', { skip }, async (t) => {
  const { client, captured } = await connected(t);
  const query = client.query(new pg.Query('select $1::int as a', [5]));
  const seen = [];
  query.on('row', (row) => seen.push(row));
  await once(query, 'end');
  assert.deepStrictEqual(seen, [{ a: 5 }]);
  const [{ req, res }] = await captured(1);
  assert.deepStrictEqual([req.text, req.head.oneway, res], ['{"statement":"select $1::int as a","parameters":[5]}', true, undefined]);
});

test('a pool: each call is its caller\'s, whoever gave the client back', { skip }, async (t) => {
  const { emitter, captured } = keeping();
  const pool = emitter.instrumentPostgres(new pg.Pool({ connectionString, max: 1 }));
  t.after(() => pool.end());
  const jobs = ['a', 'b', 'c'].map((name) => emitter.begin('job', name, `job://${name}`, { dir: 'in', oneway: true }));
  const seen = await Promise.all(
    jobs.map((job) =>
      job.run(async () => {
        await pool.query('select $1::text as job', [job.id]);
        return currentContext().id;
      }),
    ),
  );
  const client = await pool.connect();
  await client.query('select 1');
  client.release();
  for (const job of jobs) job.finish();
  assert.deepStrictEqual(seen, jobs.map(({ id }) => id));
  const calls = (await captured(7)).filter(({ req }) => req.head.proto === 'postgres');
  assert.deepStrictEqual(
    calls.map(({ req }) => req.head.parent),
    [...calls.slice(0, 3).map(({ req }) => JSON.parse(req.text).parameters[0]), undefined],
  );
});
