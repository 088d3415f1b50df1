'use strict';
// Headers, or trailers, as the JSON text of pairs of names and values, redacted, from the forms in which Node.js and apps hand them over:
//
// - an array of strings, names and values by turns, as `rawHeaders` has them, in Latin-1;
// - a text, the head as it goes over the wire, in Latin-1;
// - pairs of the plain API, whose values are texts, or bytes.

const { quoted, textOfBytes, textOfLatin1 } = require('./heads.js');

/**
 * The JSON text of pairs of names and values as a head holds them; undefined where there are none to tell of.
 * @param {string | string[] | [string, string | Uint8Array][] | undefined} headers
 * @param {import('./redact.js').Redactor} redactor
 */
function headersText(headers, redactor) {
  if (headers === undefined) return undefined;
  let text = '';
  if (typeof headers === 'string') {
    // The first line is the request's or the response's own.
    let end = headers.indexOf('\r\n');
    while (end >= 0) {
      const start = end + 2;
      end = headers.indexOf('\r\n', start);
      const colon = headers.indexOf(':', start);
      if (colon < 0) break;
      if (colon === start || (end >= 0 && colon > end)) continue;
      const value = headers.slice(colon + 1, end < 0 ? undefined : end).trim();
      text += pair(headers.slice(start, colon), value, true, redactor);
    }
  } else if (typeof headers[0] === 'string') {
    for (let at = 0; at + 1 < headers.length; at += 2) {
      // HTTP/2 has the request's line among its headers.
      if (headers[at][0] !== ':') text += pair(headers[at], headers[at + 1], true, redactor);
    }
  } else {
    for (const [name, value] of headers) text += pair(name, value, false, redactor);
  }
  return `[${text.slice(1)}]`;
}

/** A pair, with the comma before it. */
function pair(name, value, isLatin1, redactor) {
  const kept = redactor.headerValue(name, value);
  const text = typeof kept === 'string' ? kept : textOfBytes(kept);
  return `,[${quoted(name)},${quoted(isLatin1 ? textOfLatin1(text) : text)}]`;
}

module.exports = { headersText };
