'use strict';
// The JSON text of heads and tails (L-2, L-3.3 to L-3.5), as *binary strings*: one character a byte of UTF-8. So a text's length is its length in bytes, V8
// keeps it at one byte a character, and it is written out as Latin-1, which is a plain copy.

const { writeHeaders } = require('./headers.js');
const json = require('./json-text.js');

/** `error` is cut to so many bytes. */
const MAX_ERROR_BYTES = 1024;

function decimal(number) {
  return Number.isInteger(number) ? String(number) : number.toFixed(6).replace(/\.?0+$/, '');
}

/** Begins a member; the first one's key opens the object. */
function key(name, isFirst) {
  json.raw(isFirst ? '{"' : ',"');
  json.raw(name);
  json.raw('":');
}

/** A member of a simple value; nothing where it is absent. Tells whether the next member is the first. */
function member(name, value, isFirst = false) {
  if (value === undefined) return isFirst;
  key(name, isFirst);
  if (typeof value === 'string') json.string(value);
  // Counters of other languages pass what a number holds exactly; such a one is a bigint here.
  else json.raw(typeof value === 'number' ? decimal(value) : String(value));
  return false;
}

/** Headers, or trailers; nothing where there are none to tell of. */
function headersMember(name, headers, redactor, isFirst = false) {
  if (headers === undefined) return isFirst;
  key(name, isFirst);
  writeHeaders(headers, redactor);
  return false;
}

/** Tags stand in the order of their names' bytes, which an object's own order is not: it puts numbers first. */
function tagsMember(tags, isFirst) {
  if (tags === undefined) return isFirst;
  const names = Object.keys(tags).map((name) => [Buffer.from(name), name]);
  names.sort(([a], [b]) => Buffer.compare(a, b));
  key('tags', isFirst);
  json.raw('{');
  names.forEach(([, name], at) => {
    if (at > 0) json.raw(',');
    json.string(name);
    json.raw(':');
    json.string(tags[name]);
  });
  json.raw('}');
  return false;
}

function end(isEmpty) {
  json.raw(isEmpty ? '{}' : '}');
  return json.written();
}

/** The head of `req`; keys as L-2.2 names them, absent ones undefined; `headers` in any form that headers.js reads. */
function requestHead(values, redactor) {
  json.begin();
  let isFirst = member('ts', values.ts, true);
  isFirst = member('service', values.service, isFirst);
  isFirst = member('host', values.host, isFirst);
  isFirst = member('inst', values.inst, isFirst);
  isFirst = member('n', values.n, isFirst);
  isFirst = member('dir', values.dir, isFirst);
  isFirst = member('proto', values.proto, isFirst);
  isFirst = member('method', values.method, isFirst);
  isFirst = member('url', values.url, isFirst);
  isFirst = headersMember('headers', values.headers, redactor, isFirst);
  isFirst = member('peer', values.peer, isFirst);
  isFirst = member('trace', values.trace, isFirst);
  isFirst = member('parent', values.parent, isFirst);
  isFirst = tagsMember(values.tags, isFirst);
  isFirst = member('rate', values.rate, isFirst);
  isFirst = member('why', values.why, isFirst);
  isFirst = member('body_enc', values.body_enc, isFirst);
  return end(member('oneway', values.oneway, isFirst));
}

/** The head of `res` (L-2.3). */
function responseHead({ ts, us, status, headers, body_enc }, redactor) {
  json.begin();
  let isFirst = member('ts', ts, true);
  isFirst = member('us', us, isFirst);
  isFirst = member('status', status, isFirst);
  isFirst = headersMember('headers', headers, redactor, isFirst);
  return end(member('body_enc', body_enc, isFirst));
}

const META_KEYS = 'ts service host inst begun finished dropped sampled_out'.split(' ');

/** The head of `meta` (L-2.6). */
function metaHead(values) {
  json.begin();
  return end(META_KEYS.reduce((isFirst, name) => member(name, values[name], isFirst), true));
}

/** A tail (L-2.4), with the length and the CRC-32 of the body in front. */
function tailText(len, crc, { us, status, trailers, error, truncated, full_len }, redactor) {
  json.begin();
  member('len', len, true);
  member('crc', crc);
  member('us', us);
  member('status', status);
  headersMember('trailers', trailers, redactor);
  member('error', error === undefined ? undefined : shortened(error));
  member('truncated', truncated);
  return end(member('full_len', full_len));
}

/** A text of at most 1,024 bytes, cut at a character's edge. */
function shortened(error) {
  if (error.length * 3 <= MAX_ERROR_BYTES) return error;
  const bytes = Buffer.from(error);
  let end = Math.min(bytes.length, MAX_ERROR_BYTES);
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

module.exports = { requestHead, responseHead, metaHead, tailText };
