'use strict';
// The search for several texts at once, against a search for each.

const assert = require('node:assert');
const { test } = require('node:test');

const { finder } = require('../src/finder.js');

const texts = (...all) => all.map((text) => Buffer.from(text));

test('texts that begin, end and hold one another are found, and nothing else', () => {
  const lists = [['aab', 'ab', 'baba', 'cabb'], ['aa', 'b'], ['abcabd', 'bcb', 'cc'], ['Key', '\\u'], ['é', 'b']];
  const letters = ['a', 'b', 'c', 'B', 'k', 'E', 'y', '\\', 'u', 'é', 'É'];
  let state = 1;
  const next = (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (const list of lists) {
    const find = finder(texts(...list));
    const outcomes = { true: 0, false: 0 };
    for (let round = 0; round < 3000; round++) {
      const text = Array.from({ length: next(9) }, () => letters[next(letters.length)]).join('');
      const lower = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
      const expected = list.some((one) => lower.includes(one.toLowerCase()));
      assert.strictEqual(find(Buffer.from(text)), expected, `${list} in ${text}`);
      outcomes[expected]++;
    }
    assert.ok(outcomes.true > 50 && outcomes.false > 50, JSON.stringify(outcomes));
  }
});

test('a text without bytes is everywhere', () => {
  assert.ok(finder(texts('a', ''))(Buffer.alloc(0)));
});
