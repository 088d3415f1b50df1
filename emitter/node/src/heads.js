'use strict';
// The JSON text of heads and tails (L-2, L-3.3 to L-3.5), as *binary strings*: one character a byte of UTF-8. So a text's length is its length in bytes, V8
// keeps it at one byte a character, and it is written out as Latin-1, which is a plain copy.

const { isUtf8 } = require('node:buffer');

/** `error` is cut to so many bytes. */
const MAX_ERROR_BYTES = 1024;

const REQUEST_KEYS =
  'ts service host inst n dir proto method url headers peer trace parent tags rate why body_enc oneway'.split(' ');
const RESPONSE_KEYS = 'ts us status headers body_enc'.split(' ');
const META_KEYS = 'ts service host inst begun finished dropped sampled_out'.split(' ');
const TAIL_KEYS = 'len crc us status trailers error truncated full_len'.split(' ');

const BEYOND_ASCII = /[^\x00-\x7f]/;
const LONE_SURROGATES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** A text without lone surrogates: U+FFFD in their place. */
function wellFormed(text) {
  return BEYOND_ASCII.test(text) ? text.replace(LONE_SURROGATES, '\ufffd') : text;
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

function quoted(text) {
  return JSON.stringify(wellFormed(text));
}

function decimal(number) {
  return Number.isInteger(number) ? String(number) : number.toFixed(6).replace(/\.?0+$/, '');
}

function pairsText(pairs) {
  let text = '';
  for (const [name, value] of pairs) {
    text += `${text && ','}[${quoted(name)},${quoted(typeof value === 'string' ? value : textOfBytes(value))}]`;
  }
  return `[${text}]`;
}

/** Tags stand in the order of their names' bytes, which an object's own order is not: it puts numbers first. */
function tagsText(tags) {
  const names = Object.keys(tags).map((name) => [Buffer.from(wellFormed(name)), name]);
  names.sort(([a], [b]) => Buffer.compare(a, b));
  return `{${names.map(([, name]) => `${quoted(name)}:${quoted(tags[name])}`).join(',')}}`;
}

function valueText(key, value) {
  if (key === 'headers' || key === 'trailers') return pairsText(value);
  if (key === 'tags') return tagsText(value);
  if (typeof value === 'string') return quoted(value);
  // Counters of other languages pass what a number holds exactly; such a one is a bigint here.
  return typeof value === 'number' ? decimal(value) : String(value);
}

function objectText(keys, values) {
  let text = '';
  for (const key of keys) {
    const value = values[key];
    if (value !== undefined) text += `${text && ','}"${key}":${valueText(key, value)}`;
  }
  return binary(`{${text}}`);
}

/** The head of `req`; keys as L-2.2 names them, absent ones undefined. */
const requestHead = (values) => objectText(REQUEST_KEYS, values);

/** The head of `res` (L-2.3). */
const responseHead = (values) => objectText(RESPONSE_KEYS, values);

/** The head of `meta` (L-2.6). */
const metaHead = (values) => objectText(META_KEYS, values);

/** A tail (L-2.4), with the length and the CRC-32 of the body in front. */
function tailText(len, crc, values) {
  const error = values.error === undefined ? undefined : shortened(values.error);
  return objectText(TAIL_KEYS, { ...values, error, len, crc });
}

/** A text of at most 1,024 bytes, cut at a character's edge. */
function shortened(error) {
  if (error.length * 3 <= MAX_ERROR_BYTES) return error;
  const bytes = Buffer.from(wellFormed(error));
  let end = Math.min(bytes.length, MAX_ERROR_BYTES);
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

module.exports = { requestHead, responseHead, metaHead, tailText, textOfLatin1, textOfBytes };
