'use strict';
// Lambda's response stream in the shape that its runtime client gives it: an object of functions bound to an HTTP request to the Runtime API, with a hook
// that is called before the first piece. samples/lambda tries the client itself.

const http = require('node:http');

const FUNCTIONS = ['write', 'end', 'destroy', 'on', 'once', 'off', 'emit', 'removeListener', 'listenerCount', 'setContentType'];
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');

/** What Lambda's runtime has among the globals. */
const awslambda = {
  streamifyResponse(handler) {
    handler[STREAMING] = 'response';
    return handler;
  },
  HttpResponseStream: {
    from(stream, metadata) {
      stream.setContentType('application/vnd.awslambda.http-integration-response');
      stream._onBeforeFirstWrite = (write) => {
        write(JSON.stringify(metadata));
        write(new Uint8Array(8));
      };
      return stream;
    },
  },
};

/** A response stream to a server on `port`. */
function openResponseStream(port) {
  const inner = http.request({ port, host: '127.0.0.1', method: 'POST', agent: false });
  inner.on('error', () => {});
  inner.setContentType = (type) => inner.setHeader('content-type', type);
  const { write } = inner;
  let hasWritten = false;
  inner.write = (chunk, encoding, callback) => {
    if (!hasWritten) inner._onBeforeFirstWrite?.((piece) => write.call(inner, piece));
    hasWritten = true;
    const isPlain = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return write.call(inner, isPlain ? chunk : JSON.stringify(chunk), encoding, callback);
  };
  const stream = Object.fromEntries(FUNCTIONS.map((name) => [name, inner[name].bind(inner)]));
  for (const name of ['_onBeforeFirstWrite', 'destroyed', 'writable', 'writableEnded', 'writableNeedDrain', 'writableFinished']) {
    Object.defineProperty(stream, name, { get: () => inner[name], set: (value) => (inner[name] = value) });
  }
  return stream;
}

module.exports = { awslambda, openResponseStream, STREAMING };
