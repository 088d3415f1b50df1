'use strict';
// JSON text of heads and tails (L-3.3 to L-3.5), written as bytes of UTF-8 into memory that is used again: of strings in between, as texts are joined, V8's collector
// would have a lot to do.

const { isUtf8 } = require('node:buffer');

const BEYOND_ASCII = /[^\x00-\x7f]/;
/** Each escape of a JSON text by itself: `JSON.stringify` spells lone surrogates so, and nothing else beyond U+001F. */
const ESCAPES = /\\(?:ud[89a-f][0-9a-f]{2}|[^])/g;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A JSON text of `JSON.stringify` with U+FFFD in the place of lone surrogates (L-3.5). */
function wellFormed(json) {
  return json.includes('\\ud') ? json.replace(ESCAPES, (escape) => (escape.length > 2 ? '\ufffd' : escape)) : json;
}

/** The text of bytes: UTF-8 where they are that, else Latin-1 (L-3.5). */
function textOfBytes(bytes) {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? buffer.toString('utf8') : buffer.toString('latin1');
}

let bytes = Buffer.allocUnsafeSlow(4096);
let at = 0;

function reserve(more) {
  if (at + more <= bytes.length) return;
  const grown = Buffer.allocUnsafeSlow(2 * (at + more));
  grown.set(bytes.subarray(0, at));
  bytes = grown;
}

/** Begins a text. One is written at a time. */
function begin() {
  at = 0;
}

/** The text so far, as a binary string (see heads.js). */
function written() {
  return bytes.latin1Slice(0, at);
}

/** Writes ASCII as it is. */
function raw(text) {
  const { length } = text;
  reserve(length);
  for (let from = 0; from < length; from++) bytes[at++] = text.charCodeAt(from);
}

/** Writes a part of a text as a JSON string; one in Latin-1 is what its bytes say. */
function string(text, from = 0, to = text.length, isLatin1 = false) {
  reserve(to - from + 2);
  const start = at;
  bytes[at++] = QUOTE;
  for (let next = from; next < to; next++) {
    const code = text.charCodeAt(next);
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
      at = start;
      escaped(text.slice(from, to), isLatin1);
      return;
    }
    bytes[at++] = code;
  }
  bytes[at++] = QUOTE;
}

function escaped(text, isLatin1) {
  const meant = isLatin1 && BEYOND_ASCII.test(text) ? textOfBytes(Buffer.from(text, 'latin1')) : text;
  const json = Buffer.from(wellFormed(JSON.stringify(meant)));
  reserve(json.length);
  bytes.set(json, at);
  at += json.length;
}

module.exports = { begin, written, raw, string, textOfBytes };
