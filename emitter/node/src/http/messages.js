'use strict';
// What servers and clients of `node:http` share: messages whose bodies are captured as they pass.
//
// Invariant: a body goes on at its own pace and unchanged. Nobody is made to read it: what comes in is seen where Node.js puts it into the message's
// buffer (`push`), what goes out where the app hands it over (`write`, `end`).

const { quietly } = require('../quietly.js');

/** A header's value in a head as it goes over the wire; undefined where it has none. */
function headerIn(head, name) {
  const start = head.toLowerCase().indexOf(`\r\n${name}:`);
  if (start < 0) return undefined;
  const from = start + name.length + 3;
  const end = head.indexOf('\r\n', from);
  return head.slice(from, end < 0 ? undefined : end).trim();
}

/** A declared length of a body; undefined where there is none. */
function lengthOf(value) {
  return value !== undefined && /^[0-9]+$/.test(value) ? Number(value) : undefined;
}

/** What a message that goes out says in its head, once it is fixed: the text of HTTP/1 as it goes over the wire, or HTTP/2's headers. */
function sentHead(message) {
  const head = message._header;
  if (typeof head === 'string') {
    return {
      headers: head,
      contentType: headerIn(head, 'content-type'),
      contentEncoding: headerIn(head, 'content-encoding'),
      length: lengthOf(headerIn(head, 'content-length')),
    };
  }
  const headers = [];
  for (const [name, value] of Object.entries(message.getHeaders())) {
    for (const one of Array.isArray(value) ? value : [value]) headers.push(name, String(one));
  }
  const first = (name) => message.getHeader(name)?.toString();
  return {
    headers,
    contentType: first('content-type'),
    contentEncoding: first('content-encoding'),
    length: lengthOf(first('content-length')),
  };
}

/** What a message that came in says in its head. */
function receivedHead({ rawHeaders, headers }) {
  return {
    headers: rawHeaders,
    contentType: headers['content-type'],
    contentEncoding: headers['content-encoding'],
    length: lengthOf(headers['content-length']),
  };
}

/** Captures the body of a message that comes in, as it arrives; `brokeOff` ends its half where the body does not. */
function followIncoming(message, half, brokeOff) {
  const { push } = message;
  message.push = function (chunk, encoding) {
    quietly(() => {
      if (chunk === null) endIncoming(message, half);
      else if (chunk !== undefined) half.body(chunk, encoding);
    });
    return push.call(this, chunk, encoding);
  };
  message.once('close', () => quietly(() => half.isOpen && brokeOff()));
}

function endIncoming(message, half) {
  if (message.httpVersionMajor === 1 && !message.complete) return;
  // Node.js throws away what comes behind a response that was sent early.
  if (message._dumped && half.expected !== half.seen && !(half.expected === undefined && half.seen === 0)) {
    half.abandon('body not read to its end');
    return;
  }
  half.end(message.rawTrailers?.length ? message.rawTrailers : undefined);
}

/**
 * Captures the body of a message that goes out, as the app hands it over.
 * @param {() => void} onHead called whenever the head may have been fixed
 * @param {(data: string | Uint8Array, encoding?: string) => void} onBody called with each piece
 */
function followOutgoing(message, onHead, onBody) {
  // `end` of HTTP/2 calls `write`.
  let isWithin = false;
  const follow = (method) =>
    function (chunk, encoding, callback) {
      if (isWithin) return method.call(this, chunk, encoding, callback);
      const wasEnded = this.writableEnded;
      isWithin = true;
      let result;
      try {
        result = method.apply(this, arguments);
      } finally {
        isWithin = false;
      }
      if (!wasEnded) {
        quietly(() => {
          onHead();
          const isBody = typeof chunk === 'string' || chunk instanceof Uint8Array;
          if (isBody) onBody(chunk, typeof encoding === 'string' ? encoding : undefined);
        });
      }
      return result;
    };
  message.write = follow(message.write);
  message.end = follow(message.end);
  const { flushHeaders } = message;
  message.flushHeaders = function () {
    flushHeaders.call(this);
    quietly(onHead);
  };
}

/** The trailers that a message of HTTP/1 sent; undefined where it had none. */
function sentTrailers(message) {
  return message.chunkedEncoding && message._trailer ? `\r\n${message._trailer}` : undefined;
}

module.exports = { followIncoming, followOutgoing, lengthOf, receivedHead, sentHead, sentTrailers };
