'use strict';
// What was printed, paired by `reassemble` itself: the variable REASSEMBLE names the binary.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const { Emitter } = require('../index.js');
const { ask, listen } = require('./captured.js');

const SECRET = '8d0f3c2e9a7b465180d2b6f4c1e3a597';
const { REASSEMBLE } = process.env;

/** The exchanges that `reassemble` makes of a log, in the order of their numbers. */
function exchanges(folder, log, options) {
  const to = path.join(folder, 'to');
  execFileSync(REASSEMBLE, [log, '--to', to, '--compression', 'none', ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  const files = fs.readdirSync(to, { recursive: true }).filter((name) => name.endsWith('.ndjson'));
  const lines = files.flatMap((name) => fs.readFileSync(path.join(to, name), 'utf8').trimEnd().split('\n'));
  return lines.map((line) => JSON.parse(line)).sort((a, b) => a.n - b.n);
}

for (const isSigned of [false, true]) {
  test(`reassemble pairs ${isSigned ? 'signed ' : ''}lines of servers and clients`, { skip: !REASSEMBLE && 'REASSEMBLE names no binary' }, async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'emitter-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const log = path.join(folder, 'app.log');
    const emitter = new Emitter({ service: 'shop', output: log, signingKey: isSigned ? SECRET : undefined });
    const fetch = emitter.wrapFetch();
    const back = await listen(t, emitter.instrument(http.createServer((request, response) => request.pipe(response))));
    const front = await listen(
      t,
      emitter.instrument(
        http.createServer(async (request, response) => {
          const answer = await fetch(`http://127.0.0.1:${back}/back`, { method: 'POST', body: request, duplex: 'half' });
          response.setHeader('content-type', 'text/plain; charset=utf-8');
          response.end(await answer.text());
        }),
      ),
    );
    const body = 'žlutý hrnek ☕ "quoted"\n'.repeat(2000);
    const answer = await ask(front, '/front?token=x', { method: 'POST', body });
    assert.strictEqual(answer.body.toString(), body);
    await emitter.shutdown();

    const keys = path.join(folder, 'keys');
    fs.writeFileSync(keys, `test ${SECRET} shop\n`);
    const all = exchanges(folder, log, isSigned ? ['--key-file', keys] : []);
    assert.strictEqual(all.length, 3);
    for (const { service, complete, problems, request, response } of all) {
      assert.deepStrictEqual([service, complete, problems, request.method, response.status], ['shop', true, [], 'POST', 200]);
      assert.deepStrictEqual([request.body.text, response.body.text], [body, body]);
    }
    const [inbound, call, behind] = all;
    assert.deepStrictEqual(all.map(({ dir }) => dir), ['in', 'out', 'in']);
    assert.strictEqual(inbound.request.url, `http://127.0.0.1:${front}/front?token=[redacted]`);
    assert.strictEqual(call.parent, inbound.id);
    assert.strictEqual(behind.trace, call.trace);
    assert.strictEqual(call.trace.slice(3, 35), inbound.trace.slice(3, 35));
  });
}
