'use strict';
// What tests read: an emitter whose lines are kept, and the captures that they make, each part checked as a reader checks it.

const assert = require('node:assert');
const http = require('node:http');
const { once } = require('node:events');

const { Emitter } = require('../index.js');
const { crc32, crcHex } = require('../src/crc.js');

/** What does not happen by then never will. */
const PATIENCE_MS = 30_000;

/** The text of a head or tail: its object, or its fragments joined. */
function joined(chunks, whole, fragment) {
  const said = chunks.find((chunk) => chunk[whole]);
  return said ? said[whole] : JSON.parse(chunks.map((chunk) => chunk[fragment] ?? '').join(''));
}

/** One part of chunks, once its chunks, lengths and checksums are found right. */
function part(chunks) {
  chunks.sort((a, b) => a.seq - b.seq);
  const last = chunks[chunks.length - 1];
  assert.deepStrictEqual(
    chunks.map(({ seq }) => seq),
    chunks.map((_, at) => at),
  );
  assert.strictEqual(last.of, chunks.length);
  const pieces = chunks.map(({ text, b64 }) => (b64 === undefined ? Buffer.from(text ?? '') : Buffer.from(b64, 'base64')));
  pieces.forEach((piece, at) => piece.length && assert.strictEqual(chunks[at].crc, crcHex(crc32(piece))));
  const body = Buffer.concat(pieces);
  const tail = joined(chunks, 'tail', 'tailf');
  assert.deepStrictEqual([tail.len, tail.crc], [body.length, crcHex(crc32(body))]);
  const head = joined(chunks, 'head', 'headf');
  const header = (name) => head.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
  return { head, tail, body, text: body.toString(), header };
}

/** All captures of lines, in the order in which they began, and the `meta` records. */
function read(lines) {
  const captures = new Map();
  const metas = [];
  // What is repeated is ignored, as readers do (L-7.2): at the process's end a write under way is written once more.
  for (const record of [...new Set(lines)].map((line) => JSON.parse(line))) {
    if (record.part === 'meta') {
      metas.push(record.head);
      continue;
    }
    const parts = captures.get(record.cap1) ?? { req: [], res: [] };
    captures.set(record.cap1, parts);
    parts[record.part].push(record);
  }
  const all = [...captures].map(([id, { req, res }]) => ({ id, req: part(req), res: res.length ? part(res) : undefined }));
  all.sort((a, b) => a.req.head.n - b.req.head.n);
  return { captures: all, metas };
}

/** An emitter whose lines are kept. */
function keeping(settings = {}) {
  const lines = [];
  const emitter = new Emitter({ service: 'test', output: (line) => lines.push(line.toString()), ...settings });
  return {
    emitter,
    lines,
    /** All captures, once so many have ended. */
    async captured(count) {
      const deadline = performance.now() + PATIENCE_MS;
      while (emitter.counts().finished < count) {
        assert.ok(performance.now() < deadline, `${JSON.stringify(emitter.counts())} instead of ${count}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await emitter.flush(PATIENCE_MS);
      return read(lines).captures;
    },
    read: () => read(lines),
  };
}

/** A server on loopback that ends with the test; its port. */
async function listen(t, server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return server.address().port;
}

/** Asks by `node:http` and gives the whole answer. */
async function ask(port, path, { body, ...options } = {}) {
  const request = http.request({ port, host: '127.0.0.1', path, agent: false, ...options });
  request.end(body);
  const [response] = await once(request, 'response');
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) };
}

module.exports = { keeping, read, listen, ask };
