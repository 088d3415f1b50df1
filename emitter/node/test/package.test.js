'use strict';
// The package as apps get it: both module systems, its types, and the conformance program.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');

const emitters = require('reassemble-emitter');

test('both module systems give the same emitter', async () => {
  const imported = await import('reassemble-emitter');
  for (const name of Object.keys(emitters)) assert.strictEqual(imported[name], emitters[name], name);
});

test('the types fit what apps write', () => {
  const tsc = require.resolve('typescript/lib/tsc.js');
  execFileSync(process.execPath, [tsc, '-p', path.join(__dirname, 'package')], { stdio: 'inherit' });
});

test('the types tell of all that an emitter has', () => {
  const declared = require('node:fs').readFileSync(path.join(__dirname, '../index.d.ts'), 'utf8');
  const { constructor, ...methods } = Object.getOwnPropertyDescriptors(emitters.Emitter.prototype);
  assert.strictEqual(constructor.value, emitters.Emitter);
  for (const name of Object.keys(methods)) assert.match(declared, new RegExp(`^  ${name}[<(]`, 'm'));
});

test('the conformance program answers line by line', () => {
  const ask = [
    { redact: { kind: 'url', input: '/?token=x' } },
    { emit: { id: 'c', part: 'res', limit: 512, head: {}, arrivals: [{ text: 'é' }], tail: {} }, feed: 'bytes' },
  ];
  const input = ask.map((one) => `${JSON.stringify(one)}\n`).join('');
  const answers = execFileSync(process.execPath, [path.join(__dirname, '../conformance.js')], { input, encoding: 'utf8' });
  const [redacted, emitted] = answers.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepStrictEqual(redacted, { output: '/?token=[redacted]' });
  assert.strictEqual(
    emitted.lines,
    '{"cap1":"c","part":"res","seq":0,"head":{},"text":"é","crc":"0e048d3e","of":1,"tail":{"len":2,"crc":"0e048d3e"}}\n',
  );
});
