'use strict';
// Redaction beside the shared cases: what is quick must not miss what is thorough.

const assert = require('node:assert');
const { test } = require('node:test');

const { redactBody } = require('../src/body-policy.js');
const { Redactor } = require('../src/redact.js');

const json = (text, redactor = new Redactor()) => redactBody('json', Buffer.from(text), redactor)?.toString();

test('bodies in which a name may stand must be JSON', () => {
  const redactor = new Redactor({ redactNames: ['*'] });
  for (const text of ['{"a":[1,{"b":null}]}', ' 1 ', '"x"', '{"a":1}\n{"b":2}', '[]', 'true 1 "x"']) assert.notStrictEqual(json(text, redactor), undefined);
  for (const text of ['{"a":01}', '{a:1}', '[1,]', '{"a":1}}', '01', 'truefalse', '"\n"', '\ufeff{}', '[1}']) assert.strictEqual(json(text, redactor), undefined);
  assert.strictEqual(json('['.repeat(128) + ']'.repeat(128), redactor), '['.repeat(128) + ']'.repeat(128));
  assert.strictEqual(json('['.repeat(129) + ']'.repeat(129), redactor), undefined);
});

test('bodies in which no name stands are as they came', () => {
  for (const text of ['{"a":"x\\n"}', '{"a":01}']) assert.strictEqual(json(text), text);
  for (const text of ['{"a":01,"pwd":1}', '{"a":01,"\\u0061":1}']) assert.strictEqual(json(text), undefined);
  assert.strictEqual(redactBody('json', Buffer.from([0x22, 0xff, 0x22]), new Redactor()), undefined);
});

test('names are found whatever their case, place and escapes', () => {
  const redactor = new Redactor({ redactNames: ['a.b', 'x*'] });
  assert.strictEqual(json('{"A.B":1,"aXb":2,"Xy":3,"x":[{"y":4}]}', redactor), '{"A.B":"[redacted]","aXb":2,"Xy":"[redacted]","x":"[redacted]"}');
  assert.strictEqual(json('{"\\u0070wd":[1,[2]],"b":{"pwd":{"pwd":1}}}'), '{"\\u0070wd":"[redacted]","b":{"pwd":"[redacted]"}}');
  assert.strictEqual(json('{"any":1}', new Redactor({ redactNames: ['*'] })), '{"any":"[redacted]"}');
  const odd = new Redactor({ redactNames: ['a/b', 'n\u00e9'] });
  assert.strictEqual(json('{"a\\/b":1,"N\u00e9":2}', odd), '{"a\\/b":"[redacted]","N\u00e9":"[redacted]"}');
});

test('names compare as ASCII does', () => {
  // The Kelvin sign is a k to Unicode alone.
  assert.strictEqual(json('{"to\u212aen":1}'), '{"to\u212aen":1}');
});

test('redacting again changes nothing', () => {
  const redactor = new Redactor();
  for (const url of ['//u@h/?a;token=x&b', 'http://a@b@c?sig=1;2&sig=3#?sig=4', '/?%74oken=1&+pwd=2', '?x=1;y=2&auth']) {
    const once = redactor.url(url);
    assert.strictEqual(redactor.url(once), once);
  }
});
