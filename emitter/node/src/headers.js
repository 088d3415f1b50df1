'use strict';
// Headers, or trailers, as JSON pairs of names and values, redacted, from the forms in which Node.js and apps hand them over:
//
// - an array of strings, names and values by turns, as `rawHeaders` has them, in Latin-1;
// - a text, the head as it goes over the wire, in Latin-1;
// - pairs of the plain API, whose values are texts, or bytes.

const json = require('./json-text.js');

const SPACE = 0x20;
const TAB = 0x09;
const isSpace = (code) => code === SPACE || code === TAB;

/**
 * Writes headers as the pairs of a head.
 * @param {string | string[] | [string, string | Uint8Array][]} headers
 * @param {import('./redact.js').Redactor} redactor
 */
function writeHeaders(headers, redactor) {
  json.raw('[');
  if (typeof headers === 'string') {
    writeLines(headers, redactor);
  } else if (typeof headers[0] === 'string') {
    let isFirst = true;
    for (let at = 0; at + 1 < headers.length; at += 2) {
      const name = headers[at];
      // HTTP/2 has the request's line among its headers.
      if (name[0] === ':') continue;
      openPair(name, isFirst);
      json.string(redactor.headerValue(name, headers[at + 1]), undefined, undefined, true);
      json.raw(']');
      isFirst = false;
    }
  } else {
    headers.forEach(([name, value], at) => {
      openPair(name, at === 0);
      const kept = redactor.headerValue(name, value);
      json.string(typeof kept === 'string' ? kept : json.textOfBytes(kept));
      json.raw(']');
    });
  }
  json.raw(']');
}

function writeLines(head, redactor) {
  let isFirst = true;
  // The first line is the request's or the response's own.
  let end = head.indexOf('\r\n');
  while (end >= 0) {
    const start = end + 2;
    end = head.indexOf('\r\n', start);
    const colon = head.indexOf(':', start);
    if (colon < 0) return;
    let to = end < 0 ? head.length : end;
    if (colon === start || colon > to) continue;
    let from = colon + 1;
    while (from < to && isSpace(head.charCodeAt(from))) from++;
    while (to > from && isSpace(head.charCodeAt(to - 1))) to--;
    const name = head.slice(start, colon);
    openPair(name, isFirst);
    if (redactor.hidesHeader(name)) json.string(redactor.headerValue(name, ''));
    else json.string(head, from, to, true);
    json.raw(']');
    isFirst = false;
  }
}

function openPair(name, isFirst) {
  json.raw(isFirst ? '[' : ',[');
  json.string(name);
  json.raw(',');
}

module.exports = { writeHeaders };
