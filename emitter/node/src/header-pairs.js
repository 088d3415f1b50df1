'use strict';
// Headers as pairs of names and values, redacted, from the forms in which Node.js and apps hand them over:
//
// - an array of strings, names and values by turns, as `rawHeaders` has them, in Latin-1;
// - a text, the head as it goes over the wire, in Latin-1;
// - pairs of the plain API, whose values are texts, or bytes.

const { textOfBytes, textOfLatin1 } = require('./heads.js');

/** Pairs of names and values as a head holds them; undefined where there are none to tell of. */
function headerPairs(headers, redactor) {
  if (headers === undefined) return undefined;
  const pairs = [];
  if (typeof headers === 'string') {
    const lines = headers.split('\r\n');
    // The first line is the request's or the response's own.
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      if (colon > 0) put(pairs, line.slice(0, colon), textOfLatin1(line.slice(colon + 1).trim()), redactor);
    }
  } else if (typeof headers[0] === 'string') {
    for (let at = 0; at + 1 < headers.length; at += 2) {
      // HTTP/2 has the request's line among its headers.
      if (headers[at][0] !== ':') put(pairs, headers[at], textOfLatin1(headers[at + 1]), redactor);
    }
  } else {
    for (const [name, value] of headers) put(pairs, name, typeof value === 'string' ? value : textOfBytes(value), redactor);
  }
  return pairs;
}

function put(pairs, name, value, redactor) {
  pairs.push([name, redactor.headerValue(name, value)]);
}

module.exports = { headerPairs };
