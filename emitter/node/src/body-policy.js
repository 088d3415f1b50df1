'use strict';
// What becomes of a body: it passes, is left out for its type (C-2.1), or is held and looked through for secrets (C-3.2).

const { isUtf8 } = require('node:buffer');

const { redactJson } = require('./redact-json.js');

const PASS = 'pass';
const SKIP = 'skip';
const JSON_BODY = 'json';
const FORM = 'form';

/** A content type without its parameters, in lowercase. */
function essence(contentType) {
  const end = contentType.indexOf(';');
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/**
 * What becomes of a body of this type and encoding.
 * @returns {'pass'|'skip'|'json'|'form'}
 */
function bodyPolicy({ bodyTypes, redactBodies }, contentType = '', contentEncoding = '') {
  const type = essence(contentType);
  if (!bodyTypes.lets(type)) return SKIP;
  if (!redactBodies || (contentEncoding !== '' && contentEncoding.toLowerCase() !== 'identity')) return PASS;
  if (type === 'application/x-www-form-urlencoded') return FORM;
  return type === 'application/json' || type === 'application/x-ndjson' || type.endsWith('+json') ? JSON_BODY : PASS;
}

/** A whole body as it may be captured; undefined where it does not fit its type. */
function redactBody(policy, bytes, redactor) {
  if (policy === FORM) {
    const body = bytes.toString('latin1');
    const kept = redactor.form(body);
    return kept === body ? bytes : Buffer.from(kept, 'latin1');
  }
  if (!isUtf8(bytes)) return undefined;
  // To read JSON costs many times what it costs to look for the names in it.
  if (!redactor.mayHoldSecretName(bytes)) return bytes;
  const body = bytes.toString('utf8');
  const kept = redactJson(body, (name) => redactor.isSecretName(name));
  if (kept === undefined) return undefined;
  return kept === body ? bytes : Buffer.from(kept, 'utf8');
}

module.exports = { bodyPolicy, redactBody, PASS, SKIP, JSON_BODY, FORM };
