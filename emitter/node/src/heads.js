'use strict';
// The JSON text of heads and tails (L-2, L-3.3 to L-3.5), as *binary strings*: one character a byte of UTF-8. So a text's length is its length in bytes, V8
// keeps it at one byte a character, and it is written out as Latin-1, which is a plain copy.

const { isUtf8 } = require('node:buffer');

/** `error` is cut to so many bytes. */
const MAX_ERROR_BYTES = 1024;

const BEYOND_ASCII = /[^\x00-\x7f]/;
/** Each escape of a JSON text by itself: `JSON.stringify` spells lone surrogates so, and nothing else beyond U+001F. */
const ESCAPES = /\\(?:ud[89a-f][0-9a-f]{2}|[^])/g;

/** A JSON text of `JSON.stringify` with U+FFFD in the place of lone surrogates (L-3.5). */
function wellFormed(json) {
  return json.includes('\\ud') ? json.replace(ESCAPES, (escape) => (escape.length > 2 ? '\ufffd' : escape)) : json;
}

/** A text as a binary string of its UTF-8. */
function binary(text) {
  return BEYOND_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** The text of bytes: UTF-8 where they are that, else Latin-1 (L-3.5). */
function textOfBytes(bytes) {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? buffer.toString('utf8') : buffer.toString('latin1');
}

/** The text of a header's value that Node.js read as Latin-1. */
function textOfLatin1(value) {
  return BEYOND_ASCII.test(value) ? textOfBytes(Buffer.from(value, 'latin1')) : value;
}

function decimal(number) {
  return Number.isInteger(number) ? String(number) : number.toFixed(6).replace(/\.?0+$/, '');
}

/** What no JSON string has an escape for. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** A text as a JSON string. */
function quoted(text) {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** Tags stand in the order of their names' bytes, which an object's own order is not: it puts numbers first. */
function tagsText(tags) {
  const names = Object.keys(tags).map((name) => [Buffer.from(name), name]);
  names.sort(([a], [b]) => Buffer.compare(a, b));
  return `{${names.map(([, name]) => `${JSON.stringify(name)}:${JSON.stringify(tags[name])}`).join(',')}}`;
}

/** An object's text so far with one member more, whose value is simple; as it was where the value is absent. */
function plus(text, key, value) {
  if (value === undefined) return text;
  if (typeof value === 'string') return plusJson(text, key, quoted(value));
  // Counters of other languages pass what a number holds exactly; such a one is a bigint here.
  return plusJson(text, key, typeof value === 'number' ? decimal(value) : value);
}

/** The same with a value that is JSON text already. */
function plusJson(text, key, json) {
  if (json === undefined) return text;
  return text === '{' ? `{"${key}":${json}` : `${text},"${key}":${json}`;
}

/** An object whose members stand there, as a binary string. */
function object(text) {
  return binary(wellFormed(`${text}}`));
}

/** The head of `req`; keys as L-2.2 names them, absent ones undefined, and `headers` JSON text. */
function requestHead(values) {
  let text = plus('{', 'ts', values.ts);
  text = plus(text, 'service', values.service);
  text = plus(text, 'host', values.host);
  text = plus(text, 'inst', values.inst);
  text = plus(text, 'n', values.n);
  text = plus(text, 'dir', values.dir);
  text = plus(text, 'proto', values.proto);
  text = plus(text, 'method', values.method);
  text = plus(text, 'url', values.url);
  text = plusJson(text, 'headers', values.headers);
  text = plus(text, 'peer', values.peer);
  text = plus(text, 'trace', values.trace);
  text = plus(text, 'parent', values.parent);
  if (values.tags !== undefined) text = plusJson(text, 'tags', tagsText(values.tags));
  text = plus(text, 'rate', values.rate);
  text = plus(text, 'why', values.why);
  text = plus(text, 'body_enc', values.body_enc);
  return object(plus(text, 'oneway', values.oneway));
}

/** The head of `res` (L-2.3). */
function responseHead({ ts, us, status, headers, body_enc }) {
  let text = plus('{', 'ts', ts);
  text = plus(text, 'us', us);
  text = plus(text, 'status', status);
  text = plusJson(text, 'headers', headers);
  return object(plus(text, 'body_enc', body_enc));
}

const META_KEYS = 'ts service host inst begun finished dropped sampled_out'.split(' ');

/** The head of `meta` (L-2.6). */
function metaHead(values) {
  return object(META_KEYS.reduce((text, key) => plus(text, key, values[key]), '{'));
}

/** A tail (L-2.4), with the length and the CRC-32 of the body in front. */
function tailText(len, crc, { us, status, trailers, error, truncated, full_len }) {
  let text = plus(`{"len":${len},"crc":"${crc}"`, 'us', us);
  text = plus(text, 'status', status);
  text = plusJson(text, 'trailers', trailers);
  if (error !== undefined) text = plus(text, 'error', shortened(error));
  text = plus(text, 'truncated', truncated);
  return object(plus(text, 'full_len', full_len));
}

/** A text of at most 1,024 bytes, cut at a character's edge. */
function shortened(error) {
  if (error.length * 3 <= MAX_ERROR_BYTES) return error;
  const bytes = Buffer.from(error);
  let end = Math.min(bytes.length, MAX_ERROR_BYTES);
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

module.exports = { quoted, requestHead, responseHead, metaHead, tailText, textOfLatin1, textOfBytes };
