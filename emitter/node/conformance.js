'use strict';
// Reads JSON lines on standard input, and answers each with one on standard output:
//
//   {"emit": VECTOR, "feed": "given" | "whole" | "bytes"}  →  {"lines": "all lines that the writer makes"}
//   {"redact": CASE}                                       →  {"output": "what may be captured" or null}
//
// Vectors and cases are those of formats/spec/vectors/emit and formats/spec/vectors/redact.

const readline = require('node:readline');

const { redactBody } = require('./src/body-policy.js');
const { metaHead, requestHead, responseHead } = require('./src/heads.js');
const { PartWriter } = require('./src/lines.js');
const { Redactor } = require('./src/redact.js');
const { signingKey } = require('./src/sign.js');

const HEADS = { req: requestHead, res: responseHead, meta: metaHead };

/** The arrivals of a body, as given, joined to one, or byte by byte. */
function arrivals(vector, feed) {
  const given = (vector.arrivals ?? []).flatMap(({ text, b64, times = 1 }) =>
    Array(times).fill(text === undefined ? Buffer.from(b64, 'base64') : Buffer.from(text)),
  );
  if (feed === 'given') return given;
  const whole = Buffer.concat(given);
  return feed === 'whole' ? [whole] : Array.from(whole, (_, at) => whole.subarray(at, at + 1));
}

/** Vectors stand behind redaction. */
const REDACTS_NOTHING = { headerValue: (_, value) => value, hidesHeader: () => false };

/** A vector's headers or trailers. */
function pairs(given) {
  return given?.map(([name, value]) => [name, value.b64 === undefined ? value : Buffer.from(value.b64, 'base64')]);
}

/** A line's part as it is written. */
const bytesOf = (part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part));

/** All lines of a vector. */
function emit(vector, feed) {
  const lines = [];
  const head = HEADS[vector.part]({ ...vector.head, headers: pairs(vector.head.headers) }, REDACTS_NOTHING);
  const cut = { limit: vector.limit, key: vector.key && signingKey(vector.key), redactor: REDACTS_NOTHING };
  const part = new PartWriter(vector.id, vector.part, head, cut, (line) => lines.push(...line.map(bytesOf)));
  if (vector.part === 'meta') {
    part.finishMeta();
  } else {
    for (const bytes of arrivals(vector, feed)) part.body(bytes);
    part.finish({ ...vector.tail, trailers: pairs(vector.tail.trailers) });
  }
  return Buffer.concat(lines).toString('utf8');
}

/** What a redaction case may leave; null where the body is left out. */
function redact(one) {
  const redactor = new Redactor({
    redactHeaders: one.redact_headers,
    keepHeaders: one.keep_headers,
    redactNames: one.redact_names,
    keepNames: one.keep_names,
  });
  if (one.kind === 'header') return redactor.headerValue(one.name, one.value);
  if (one.kind === 'url') return redactor.url(one.input);
  return redactBody(one.kind, Buffer.from(one.input), redactor)?.toString('utf8') ?? null;
}

const LONG_INTEGERS = /"(?:[^"\\]|\\.)*"|-?[0-9]{16,}(?![0-9.eE])/g;
const LONG_INTEGER_MARK = 'long integer ';

/** A JSON text's value, in which integers that a number does not hold exactly are bigints. */
function parse(text) {
  const marked = text.replace(LONG_INTEGERS, (token) => (token.startsWith('"') ? token : `"${LONG_INTEGER_MARK}${token}"`));
  return JSON.parse(marked, (_, value) =>
    typeof value === 'string' && value.startsWith(LONG_INTEGER_MARK) ? BigInt(value.slice(LONG_INTEGER_MARK.length)) : value,
  );
}

/** The answer to a line, without newlines. */
function answer(line) {
  const { emit: vector, feed, redact: one } = parse(line);
  return JSON.stringify(vector ? { lines: emit(vector, feed) } : { output: redact(one) });
}

module.exports = { answer };

if (require.main === module) {
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    process.stdout.write(`${answer(line)}\n`);
  });
}
