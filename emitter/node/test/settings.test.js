'use strict';
// Settings by calls and by the environment.

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const { Emitter } = require('../index.js');
const { environmentLayer, resolveSettings } = require('../src/settings.js');

const SECRET = '8d0f3c2e9a7b465180d2b6f4c1e3a597';

/** What an environment sets, over settings by calls. */
const set = (environment, settings = {}) => resolveSettings([settings, environmentLayer(environment)]);

/** What is said of a value that is refused. */
function refused(work) {
  try {
    work();
  } catch (error) {
    assert.strictEqual(error.name, 'SettingsError');
    return error.message;
  }
  return assert.fail('not refused');
}

test('variables set what they name', () => {
  const all = set({
    OTEL_SERVICE_NAME: 'other',
    CAPTURE_SERVICE: 'shop',
    CAPTURE_OUTPUT: 'fd:5',
    CAPTURE_LINE_LIMIT: '64KiB',
    CAPTURE_BODY_LIMIT: '8 MiB',
    CAPTURE_QUEUE_LIMIT: '1GiB',
    CAPTURE_SAMPLE_RATE: '.25',
    CAPTURE_SAMPLE_BY: 'id',
    CAPTURE_RATE_LIMIT: '1.5',
    CAPTURE_ERRORS: 'always',
    CAPTURE_SKIP_METHODS: 'options, trace,',
    CAPTURE_ONLY_PATHS: '/api/*',
    CAPTURE_SKIP_PATHS: ' /api/health ',
    CAPTURE_SKIP_BODY_TYPES: 'Image/*',
    CAPTURE_REDACT_HEADERS: 'X-Pin',
    CAPTURE_KEEP_HEADERS: 'Cookie',
    CAPTURE_REDACT_NAMES: 'iban*',
    CAPTURE_KEEP_NAMES: 'author',
    CAPTURE_REDACT_BODIES: 'off',
    CAPTURE_REDACT_BUFFER: '1KiB',
    CAPTURE_SIGNING_KEY: SECRET,
  });
  const { service, output, lineLimit, bodyLimit, queueLimit, sampleRate, sampleBy, rateLimit, errors, redactBodies, redactBuffer } = all;
  assert.deepStrictEqual(
    [service, output, lineLimit, bodyLimit, queueLimit, sampleRate, sampleBy, rateLimit, errors, redactBodies, redactBuffer],
    ['shop', 'fd:5', 65_536, 8_388_608, 2 ** 30, 0.25, 'id', 1.5, 'always', false, 1024],
  );
  const { methods, paths, bodyTypes, redactor } = all;
  assert.deepStrictEqual(['OPTIONS', 'TRACE', 'GET'].map((method) => methods.lets(method)), [false, false, true]);
  assert.deepStrictEqual(['/api/x', '/api/health', '/'].map((one) => paths.lets(one)), [true, false, false]);
  assert.deepStrictEqual(['image/png', 'text/html'].map((type) => bodyTypes.lets(type)), [false, true]);
  assert.deepStrictEqual(['x-pin', 'cookie'].map((name) => redactor.headerValue(name, 'v')), ['[redacted]', 'v']);
  assert.deepStrictEqual(['IBAN_1', 'author', 'auth'].map((name) => redactor.isSecretName(name)), [true, false, true]);
  assert.strictEqual(all.key.type, 'secret');
});

test('what is not set is as the specification says', () => {
  const { output, lineLimit, bodyLimit, queueLimit, sampleRate, sampleBy, rateLimit, errors, redactBodies, redactBuffer, key } = set({ CAPTURE_OUTPUT: '' });
  assert.deepStrictEqual(
    [output, lineLimit, bodyLimit, queueLimit, sampleRate, sampleBy, rateLimit, errors, redactBodies, redactBuffer, key],
    ['stdout', 4096, 2 ** 20, 2 ** 25, 1, 'trace', undefined, 'sampled', true, 65_536, undefined],
  );
});

test('what is applied later wins, and lists grow', () => {
  const all = set({ CAPTURE_BODY_LIMIT: '2', CAPTURE_SKIP_PATHS: '/b' }, { bodyLimit: 1, lineLimit: '1KiB', skipPaths: ['/a'] });
  assert.deepStrictEqual([all.bodyLimit, all.lineLimit, all.skipPaths], [2, 1024, ['/a', '/b']]);
});

test('the service is named by its variable, a call, OpenTelemetry or the program', () => {
  assert.strictEqual(set({ CAPTURE_SERVICE: 'a', OTEL_SERVICE_NAME: 'o' }, { service: 'c' }).service, 'a');
  assert.strictEqual(set({ OTEL_SERVICE_NAME: 'o' }, { service: 'c' }).service, 'c');
  assert.strictEqual(set({ OTEL_SERVICE_NAME: 'o' }).service, 'o');
  assert.strictEqual(set({}).service, path.parse(process.argv[1]).name);
});

test('a value that a variable can not have is named with what it can be', () => {
  for (const [variable, value, expected] of [
    ['CAPTURE_BODY_LIMIT', '8MB', 'a number of bytes (4096, 64KiB, 8MiB, 1GiB)'],
    ['CAPTURE_LINE_LIMIT', '511', 'a number of bytes from 512 to 262144'],
    ['CAPTURE_SAMPLE_RATE', '1.01', 'a share from 0 to 1'],
    ['CAPTURE_SAMPLE_RATE', '0x1', 'a share from 0 to 1'],
    ['CAPTURE_SAMPLE_BY', 'path', '`trace` or `id`'],
    ['CAPTURE_RATE_LIMIT', '0', 'a number of captures a second, above 0'],
    ['CAPTURE_ERRORS', 'never', '`sampled` or `always`'],
    ['CAPTURE_REDACT_BODIES', 'true', '`on` or `off`'],
    ['CAPTURE_OUTPUT', 'fd:out', '`stdout`, `stderr`, `off`, `fd:N` or a path'],
  ]) {
    assert.strictEqual(refused(() => set({ [variable]: value })), `${variable}="${value}" is not ${expected}`);
    assert.throws(() => Emitter.fromEnv({}, { [variable]: value }));
  }
  assert.strictEqual(refused(() => new Emitter({ sampleRate: NaN })), 'sampleRate=null is not a share from 0 to 1');
  assert.strictEqual(refused(() => new Emitter({ bodylimit: 1 })), 'there is no setting bodylimit');
});

test('a signing key comes from a variable or a file, and is never told', (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'emitter-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const file = (name, content) => {
    const made = path.join(folder, name);
    fs.writeFileSync(made, content);
    return made;
  };
  const [good, short, long] = [file('good', `${SECRET}\n`), file('short', 'hunter2\n'), file('long', 'x'.repeat(1 << 20))];
  assert.ok(set({ CAPTURE_SIGNING_KEY_FILE: good }).key.equals(set({ CAPTURE_SIGNING_KEY: SECRET }).key));
  for (const [variables, said] of [
    [{ CAPTURE_SIGNING_KEY: 'hunter2' }, /^CAPTURE_SIGNING_KEY holds no secret to sign with: the secret is 7 bytes long/],
    [{ CAPTURE_SIGNING_KEY: `${SECRET} ${SECRET}` }, /holds no secret to sign with: the secret holds white space/],
    [{ CAPTURE_SIGNING_KEY_FILE: short }, /short holds no secret to sign with/],
    [{ CAPTURE_SIGNING_KEY_FILE: long }, /long holds no secret to sign with/],
    [{ CAPTURE_SIGNING_KEY_FILE: '/no/such' }, /^the secret to sign with can't be read from \/no\/such$/],
    [{ CAPTURE_SIGNING_KEY: SECRET, CAPTURE_SIGNING_KEY_FILE: good }, /^CAPTURE_SIGNING_KEY and CAPTURE_SIGNING_KEY_FILE are both set; set one of them$/],
  ]) {
    const words = refused(() => set(variables));
    assert.match(words, said);
    assert.ok(!/hunter2|8d0f/.test(words), words);
  }
});
