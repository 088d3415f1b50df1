'use strict';
// Response streams of Lambda handlers (`awslambda.streamifyResponse`): whatever is written passes on first, and is told then, so that no byte waits.

const { quietly } = require('./quietly.js');

/** What a response is said to be where its handler does not say. */
const DEFAULT_TYPE = 'application/octet-stream';

/** Whether a handler was given a response stream. */
const isResponseStream = (value) => typeof value?.write === 'function' && typeof value.end === 'function';

/** A piece as it goes over the wire; what is neither text nor bytes goes as JSON. */
const pieceOf = (chunk, encoding) => (typeof chunk === 'string' && typeof encoding === 'string' ? Buffer.from(chunk, encoding) : chunk);

/**
 * Follows what a handler writes to its response stream.
 * @param {object} stream
 * @param {{onHead: (metadata: object | undefined, contentType: string) => void, onBody: (piece: any) => void}} told `onHead` comes first, with what
 *   `HttpResponseStream.from` was given
 * @returns {Promise<boolean>} true once the handler has ended the stream, false where it was closed before
 */
function followStream(stream, { onHead, onBody }) {
  const { write, end, setContentType } = stream;
  let contentType = DEFAULT_TYPE;
  let metadata;
  let hasBegun = false;
  let hasEnded = false;

  /** The runtime has the stream begin with its metadata, by a hook that it calls before the first piece goes. */
  const hearMetadata = () => {
    const { _onBeforeFirstWrite: hook } = stream;
    if (hasBegun || typeof hook !== 'function') return;
    stream._onBeforeFirstWrite = (send) =>
      hook((piece) => {
        if (typeof piece === 'string') metadata ??= quietly(() => JSON.parse(piece));
        return send(piece);
      });
  };

  const tell = (chunk, encoding) => {
    if (hasEnded) return;
    if (!hasBegun) {
      hasBegun = true;
      onHead(metadata, contentType);
    }
    if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') onBody(pieceOf(chunk, encoding));
  };

  if (typeof setContentType === 'function') {
    stream.setContentType = function (type) {
      const result = setContentType.apply(this, arguments);
      contentType = String(type);
      return result;
    };
  }
  stream.write = function (chunk, encoding) {
    quietly(hearMetadata);
    const result = write.apply(this, arguments);
    quietly(() => tell(chunk, encoding));
    return result;
  };
  return new Promise((resolve) => {
    stream.end = function (chunk, encoding) {
      const result = end.apply(this, arguments);
      quietly(() => tell(chunk, encoding));
      hasEnded = true;
      resolve(true);
      return result;
    };
    stream.once?.('close', () => resolve(hasEnded));
  });
}

module.exports = { followStream, isResponseStream };
