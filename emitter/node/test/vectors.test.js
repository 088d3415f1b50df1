'use strict';
// Every vector of the specification in all three feeds, and every case of redaction.

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { answer } = require('../conformance.js');
const { crc32, portableCrc32 } = require('../src/crc.js');

const VECTORS = path.join(__dirname, '../../../formats/spec/vectors');
const read = (...names) => fs.readFileSync(path.join(VECTORS, ...names), 'utf8');

const names = fs.readdirSync(path.join(VECTORS, 'emit')).filter((name) => name.endsWith('.json'));
const cases = JSON.parse(read('redact', 'vectors.json'));

test('there are vectors', () => {
  assert.ok(names.length >= 76 && cases.length >= 50, `${names.length} vectors, ${cases.length} cases`);
});

for (const name of names) {
  // As it stands, but on one line: a number in it may be longer than JavaScript's are.
  const vector = read('emit', name).replaceAll('\n', ' ');
  const lines = read('emit', name.replace(/json$/, 'lines'));
  for (const feed of ['given', 'whole', 'bytes']) {
    test(`${name} ${feed}: ${JSON.parse(vector).what}`, () => {
      const made = JSON.parse(answer(`{"emit":${vector},"feed":"${feed}"}`)).lines;
      assert.ok(made === lines, `made ${made.slice(0, 2000)}\nnot  ${lines.slice(0, 2000)}`);
    });
  }
}

for (const one of cases) {
  test(`${one.kind}: ${one.what}`, () => {
    assert.strictEqual(JSON.parse(answer(JSON.stringify({ redact: one }))).output, one.output);
  });
}

test('the CRC-32 is that of zlib, gzip and PNG, natively and without', () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 31) & 255));
  for (const sum of [crc32, portableCrc32]) {
    assert.strictEqual(sum(Buffer.from('123456789')), 0xcbf43926);
    assert.strictEqual(sum(bytes.subarray(13), sum(bytes.subarray(0, 13))), sum(bytes));
  }
  assert.strictEqual(crc32(bytes), portableCrc32(bytes));
});
