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

/** Headers, or trailers, whose values are texts or bytes. */
function pairsText(pairs) {
  const isText = pairs.every((pair) => typeof pair[1] === 'string');
  return JSON.stringify(isText ? pairs : pairs.map(([name, value]) => [name, typeof value === 'string' ? value : textOfBytes(value)]));
}

/** Tags stand in the order of their names' bytes, which an object's own order is not: it puts numbers first. */
function tagsText(tags) {
  const names = Object.keys(tags).map((name) => [Buffer.from(name), name]);
  names.sort(([a], [b]) => Buffer.compare(a, b));
  return `{${names.map(([, name]) => `${JSON.stringify(name)}:${JSON.stringify(tags[name])}`).join(',')}}`;
}

/** A member of a simple value, with the comma before it; nothing where it is absent. */
function member(key, value) {
  if (value === undefined) return '';
  if (typeof value === 'string') return `,"${key}":${JSON.stringify(value)}`;
  // Counters of other languages pass what a number holds exactly; such a one is a bigint here.
  return `,"${key}":${typeof value === 'number' ? decimal(value) : value}`;
}

const pairsMember = (key, pairs) => (pairs === undefined ? '' : `,"${key}":${pairsText(pairs)}`);

/** An object of members, as a binary string. */
function object(members) {
  return binary(wellFormed(`{${members.slice(1)}}`));
}

/** The head of `req`; keys as L-2.2 names them, absent ones undefined. */
function requestHead(values) {
  return object(
    member('ts', values.ts) +
      member('service', values.service) +
      member('host', values.host) +
      member('inst', values.inst) +
      member('n', values.n) +
      member('dir', values.dir) +
      member('proto', values.proto) +
      member('method', values.method) +
      member('url', values.url) +
      pairsMember('headers', values.headers) +
      member('peer', values.peer) +
      member('trace', values.trace) +
      member('parent', values.parent) +
      (values.tags === undefined ? '' : `,"tags":${tagsText(values.tags)}`) +
      member('rate', values.rate) +
      member('why', values.why) +
      member('body_enc', values.body_enc) +
      member('oneway', values.oneway),
  );
}

/** The head of `res` (L-2.3). */
function responseHead({ ts, us, status, headers, body_enc }) {
  return object(member('ts', ts) + member('us', us) + member('status', status) + pairsMember('headers', headers) + member('body_enc', body_enc));
}

const META_KEYS = 'ts service host inst begun finished dropped sampled_out'.split(' ');

/** The head of `meta` (L-2.6). */
function metaHead(values) {
  return object(META_KEYS.map((key) => member(key, values[key])).join(''));
}

/** A tail (L-2.4), with the length and the CRC-32 of the body in front. */
function tailText(len, crc, { us, status, trailers, error, truncated, full_len }) {
  return object(
    `,"len":${len},"crc":"${crc}"` +
      member('us', us) +
      member('status', status) +
      pairsMember('trailers', trailers) +
      member('error', error === undefined ? undefined : shortened(error)) +
      member('truncated', truncated) +
      member('full_len', full_len),
  );
}

/** A text of at most 1,024 bytes, cut at a character's edge. */
function shortened(error) {
  if (error.length * 3 <= MAX_ERROR_BYTES) return error;
  const bytes = Buffer.from(error);
  let end = Math.min(bytes.length, MAX_ERROR_BYTES);
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

module.exports = { requestHead, responseHead, metaHead, tailText, textOfLatin1, textOfBytes };
