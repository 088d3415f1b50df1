'use strict';
// Where lines go, in processes of their own, and what of them is there however a process ends.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const { Emitter } = require('../index.js');
const { read } = require('./captured.js');

const APP = path.join(__dirname, 'app.js');

/** A folder that ends with the test. */
function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'emitter-'));
  t.after(() => fs.rmSync(made, { recursive: true }));
  return made;
}

function start(args, { env = {}, stdio = ['ignore', 'pipe', 'pipe'] } = {}) {
  return spawn(process.execPath, [APP, ...args.map(String)], { env: { ...process.env, CAPTURE_SERVICE: 'app', ...env }, stdio });
}

/** A shell, which joins programs by pipes; Node.js itself gives its children sockets. `$0` is Node.js, and `$1` the app. */
function shell(script, stderr = 'inherit') {
  return spawn('sh', ['-c', script, process.execPath, APP], { stdio: ['ignore', 'pipe', stderr] });
}

async function text(stream) {
  let all = '';
  for await (const piece of stream.setEncoding('utf8')) all += piece;
  return all;
}

/** Captures of what was printed, and the one `meta` record at its end. */
function checked(printed, count, size) {
  assert.ok(printed.endsWith('\n'));
  const lines = printed.trimEnd().split('\n');
  const { captures, metas } = read(lines);
  assert.strictEqual(captures.length, count);
  assert.deepStrictEqual(captures.map(({ req }) => req.body.length), Array(count).fill(size));
  const { begun, finished } = metas.at(-1);
  assert.deepStrictEqual({ begun, finished }, { begun: count, finished: count });
  assert.strictEqual(JSON.parse(lines.at(-1)).part, 'meta');
}

for (const [ending, code] of [
  ['return', 0],
  ['exit', 3],
  ['throw', 1],
  ['later', 3],
]) {
  test(`a pipe has all lines when the process ends by ${ending}`, async () => {
    const child = shell(`{ "$0" "$1" ${ending} 200 5000 2> /dev/null; echo $? >&2; } | cat`, 'pipe');
    const [printed, exit] = await Promise.all([text(child.stdout), text(child.stderr)]);
    assert.strictEqual(Number(exit), code);
    checked(printed, 200, 5000);
  });

  test(`a socket has all lines when the process ends by ${ending}`, async () => {
    const child = start([ending, 200, 5000]);
    const [printed, [exit]] = await Promise.all([text(child.stdout), once(child, 'close'), text(child.stderr)]);
    assert.strictEqual(exit, code);
    checked(printed, 200, 5000);
  });

  test(`a file has all lines when the process ends by ${ending}`, async (t) => {
    const file = path.join(folder(t), 'app.log');
    const [exit] = await once(start([ending, 200, 5000], { env: { CAPTURE_OUTPUT: file }, stdio: 'ignore' }), 'close');
    assert.strictEqual(exit, code);
    assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600);
    checked(fs.readFileSync(file, 'utf8'), 200, 5000);
  });
}

test('stderr, and a descriptor by its number', async (t) => {
  const err = start(['return', 3, 10], { env: { CAPTURE_OUTPUT: 'stderr' } });
  checked(await text(err.stderr), 3, 10);
  const file = path.join(folder(t), 'fd.log');
  const fd = fs.openSync(file, 'a');
  await once(start(['return', 3, 10], { env: { CAPTURE_OUTPUT: 'fd:3' }, stdio: ['ignore', 'ignore', 'inherit', fd] }), 'close');
  fs.closeSync(fd);
  checked(fs.readFileSync(file, 'utf8'), 3, 10);
});

test('processes that share a pipe do not mix their lines', async () => {
  const child = shell('{ for n in 1 2 3 4; do "$0" "$1" later 100 3000 & done; wait; } | cat');
  const lines = (await text(child.stdout)).trimEnd().split('\n');
  assert.strictEqual(read(lines).captures.length, 400);
});

test('the process ends though nobody reads its output', async (t) => {
  const socket = start(['return', 500, 5000]);
  assert.strictEqual((await once(socket, 'exit'))[0], 0);
  const script = '{ "$0" "$1" return 500 5000; echo $? >&2; } | sleep 1000';
  const pipe = spawn('sh', ['-c', script, process.execPath, APP], { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => process.kill(-pipe.pid));
  assert.strictEqual((await once(pipe.stderr, 'data')).toString(), '0\n');
});

test('the app goes on when its reader goes away', async () => {
  const child = start(['later', 500, 5000]);
  child.stdout.destroy();
  const [exit] = await once(child, 'close');
  assert.strictEqual(exit, 3);
});

test('a file is written on after it was renamed away', async (t) => {
  const made = folder(t);
  const file = path.join(made, 'app.log');
  const emitter = new Emitter({ output: file });
  emitter.begin('x', 'first', 'x://x').finish();
  await emitter.flush();
  fs.renameSync(file, `${file}.1`);
  emitter.reopen();
  emitter.begin('x', 'second', 'x://x').finish();
  await emitter.shutdown();
  const methods = (name) => read(fs.readFileSync(name, 'utf8').trimEnd().split('\n')).captures.map(({ req }) => req.head.method);
  assert.deepStrictEqual([methods(`${file}.1`), methods(file)], [['first'], ['second']]);
});

test('an output that can not be opened is an error when the emitter is made', () => {
  assert.throws(() => new Emitter({ output: '/no/such/folder/app.log' }), {
    name: 'SettingsError',
    message: /^the output \/no\/such\/folder\/app\.log can't be opened: ENOENT/,
  });
});
