'use strict';
// Signatures of lines (L-8). The key is the bytes of the secret's text as they stand.

const { createHmac, createSecretKey } = require('node:crypto');

/** What a signature takes of a line: `,"sig":"` and 32 hex digits and `"`. */
const SIG_BYTES = 41;
const SIG_DIGITS = 32;
const MIN_SECRET_BYTES = 32;
const MAX_SECRET_BYTES = 1024;

/**
 * The key of a secret.
 * @throws {RangeError} where the text is no secret (L-8.5); what it says never holds the text
 */
function signingKey(secret) {
  const bytes = Buffer.byteLength(secret);
  if (bytes < MIN_SECRET_BYTES) {
    throw new RangeError(
      `the secret is ${bytes} bytes long, and ${MIN_SECRET_BYTES} are the least: take what \`openssl rand -hex 32\` prints`,
    );
  }
  if (bytes > MAX_SECRET_BYTES) throw new RangeError(`the secret is longer than ${MAX_SECRET_BYTES} bytes`);
  if (!/^[\x21-\x7e]+$/.test(secret)) {
    throw new RangeError('the secret holds white space, or a character that is not printable ASCII');
  }
  return createSecretKey(Buffer.from(secret));
}

/**
 * The `sig` of a line (L-8.1); `headf` and `tailf` are binary strings, `piece` bytes.
 */
function sign(key, { id, part, seq, of, headf, piece, tailf }) {
  const numbers = `${seq} ${of ?? '-'} - ${headf.length} ${piece.length} ${tailf.length}`;
  return createHmac('sha256', key)
    .update(`${id} ${part} ${numbers}\n${headf}`, 'latin1')
    .update(piece)
    .update(tailf, 'latin1')
    .digest('hex')
    .slice(0, SIG_DIGITS);
}

module.exports = { signingKey, sign, SIG_BYTES, MAX_SECRET_BYTES };
