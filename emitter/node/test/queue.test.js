'use strict';
// The queue's room: whatever becomes of captures, all that was taken is given back.

const assert = require('node:assert');
const { test } = require('node:test');

const { Capture } = require('../src/capture.js');
const { Core } = require('../src/core.js');
const { resolveSettings } = require('../src/settings.js');

/** A random walk of captures, the same each time. */
function walk(core, seed) {
  let state = seed;
  const next = (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const types = ['text/plain', 'application/json', 'image/png', 'application/x-www-form-urlencoded'];
  const bodies = ['', '{"pwd":"x"}', '{"broken', 'x'.repeat(3000), Buffer.alloc(70_000, 0xff)];
  const open = [];
  for (let step = 0; step < 300; step++) {
    const capture = open[next(open.length + 1)];
    if (!capture) {
      const headers = { 'content-type': types[next(types.length)] };
      open.push(new Capture(core, 'http/1.1', 'GET', `http://h/${step}`, { headers, oneway: next(5) === 0 }));
    } else if (next(3) === 0) {
      if (next(3) === 0) capture.error('failed');
      capture.finish();
      open.splice(open.indexOf(capture), 1);
    } else if (next(3) === 0) {
      capture.respond(next(2) ? 200 : 500, { 'content-type': types[next(types.length)] });
    } else {
      capture[next(2) ? 'requestBody' : 'responseBody'](bodies[next(bodies.length)]);
    }
  }
  for (const capture of open) capture.finish();
}

const idle = (core) => new Promise((resolve) => core.writer.whenIdle(resolve));

for (const settings of [
  {},
  { queueLimit: '200KiB' },
  { queueLimit: 5000 },
  { sampleRate: 0.3, sampleBy: 'id', errors: 'always' },
  { rateLimit: 2, errors: 'always', queueLimit: '100KiB' },
  { skipBodyTypes: ['image/*'], bodyLimit: 2000, redactBuffer: 1000, lineLimit: 512 },
]) {
  test(`all room is given back: ${JSON.stringify(settings)}`, async () => {
    let lines = 0;
    const core = new Core(resolveSettings([{ output: () => lines++, ...settings }]));
    for (let seed = 1; seed <= 10; seed++) {
      walk(core, seed);
      await idle(core);
      assert.strictEqual(core.queue.bytes, 0, `after walk ${seed}`);
    }
    const { begun, finished, dropped, sampledOut } = core.counters;
    assert.strictEqual(finished, begun);
    assert.ok(begun > 0 && lines > begun, `${begun} begun, ${dropped} dropped, ${sampledOut} left out, ${lines} lines`);
  });
}
