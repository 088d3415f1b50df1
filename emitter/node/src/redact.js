'use strict';
// What must not be captured: headers, query parameters and userinfo that hold secrets (L-3.7). The lists and rules are those of formats/src/redact.rs.
//
// What is secret becomes `[redacted]`, without its length; names stay, and every other character stays as it was.

const { finder } = require('./finder.js');

/** What stands in a secret's place. */
const REDACTED = '[redacted]';

const DEFAULT_HEADERS = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'x-auth-token',
  'x-csrftoken',
  'x-xsrf-token',
  'x-amz-security-token',
];

/** Names in query strings, forms and JSON, whatever their case. `*` at an end stands for any characters. */
const DEFAULT_NAMES = [
  'password',
  'passwd',
  'pwd',
  'secret',
  '*key',
  '*token*',
  '*session*',
  '*credit*',
  '*card*',
  '*auth*',
];

/** Names in query strings alone: what signed URLs carry. */
const DEFAULT_QUERY = [
  'AWSAccessKeyId',
  'Signature',
  'sig',
  'X-Goog-Signature',
  'X-Amz-Signature',
  'X-Amz-Credential',
  'X-Amz-Security-Token',
];

/** Decisions on so many names are remembered: an API has few, and a hostile client must not fill memory. */
const REMEMBERED = 1024;
/** Longer names are decided on anew. */
const REMEMBERED_LENGTH = 128;

const BEYOND_ASCII = /[^\x00-\x7f]/;

/** Lowercase where it is ASCII: the names that lists hold are compared so in every language. */
function lowercase(text) {
  return BEYOND_ASCII.test(text) ? text.replace(/[A-Z]+/g, (part) => part.toLowerCase()) : text.toLowerCase();
}

/** A test of lowercase names. */
function pattern(text) {
  const lower = lowercase(text);
  if (lower.startsWith('*')) {
    if (lower.endsWith('*')) {
      const inner = lower.slice(1).replace(/\*+$/, '');
      return (name) => name.includes(inner);
    }
    const end = lower.slice(1);
    return (name) => name.endsWith(end);
  }
  if (lower.endsWith('*')) {
    const start = lower.slice(0, -1);
    return (name) => name.startsWith(start);
  }
  return (name) => name === lower;
}

/**
 * A test of whether JSON text, in bytes, may hold a name that one of these patterns lists: sometimes wrongly true. `\u` may spell any character of a name, and any
 * other escape one of those that have an escape of their own.
 */
function mayHold(patterns) {
  const texts = patterns.map((text) => text.replace(/^\*+|\*+$/g, ''));
  const escape = texts.some((text) => /["\\/\x00-\x1f]/.test(text)) ? '\\' : '\\u';
  return finder([escape, ...texts].map((text) => Buffer.from(text)));
}

/** A test that remembers. */
function remembering(test) {
  const known = new Map();
  return (name) => {
    const before = known.get(name);
    if (before !== undefined) return before;
    const found = test(name);
    if (known.size < REMEMBERED && name.length <= REMEMBERED_LENGTH) known.set(name, found);
    return found;
  };
}

/** A parameter's name without its percent-encoding; the name is text, or with `latin1` a binary string of bytes. */
function plainName(name, latin1) {
  let plain = name;
  if (/[%+]/.test(name)) {
    const bytes = Buffer.from(name.replaceAll('+', ' '), latin1 ? 'latin1' : 'utf8').toString('latin1');
    const decoded = bytes.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
    plain = Buffer.from(decoded, 'latin1').toString('utf8');
  } else if (latin1 && BEYOND_ASCII.test(name)) {
    plain = Buffer.from(name, 'latin1').toString('utf8');
  }
  return plain.trim();
}

/** Where the value begins that must not be kept, in what stands between two `&`; -1 for none. */
function secretValueAt(parameter, isSecret) {
  let at = 0;
  // Some servers take `;` for a separator too.
  for (const field of parameter.split(';')) {
    const equals = field.indexOf('=');
    if (equals >= 0 && isSecret(field.slice(0, equals))) return at + equals + 1;
    at += field.length + 1;
  }
  return -1;
}

function parameters(text, isSecret) {
  return text
    .split('&')
    .map((parameter) => {
      const at = secretValueAt(parameter, isSecret);
      return at < 0 ? parameter : parameter.slice(0, at) + REDACTED;
    })
    .join('&');
}

/** A URL without userinfo. */
function withoutUserinfo(url) {
  const start = /^(?:[^/?#]*:)?\/\//.exec(url)?.[0].length;
  if (start === undefined) return url;
  const length = url.slice(start).search(/[/?#]/);
  const end = length < 0 ? url.length : start + length;
  const at = url.slice(start, end).lastIndexOf('@');
  return at < 0 ? url : url.slice(0, start) + url.slice(start + at + 1);
}

/** Knows what is secret: the shared lists, with what is added to them and taken from them. */
class Redactor {
  #isHeaderListed;
  #kept;
  #isListed;
  #isQueryListed;
  #mayHoldName;

  /** @param {{redactHeaders?: string[], keepHeaders?: string[], redactNames?: string[], keepNames?: string[]}} lists */
  constructor({ redactHeaders = [], keepHeaders = [], redactNames = [], keepNames = [] } = {}) {
    const headers = new Set([...DEFAULT_HEADERS, ...redactHeaders].map(lowercase));
    for (const name of keepHeaders) headers.delete(lowercase(name));
    this.#isHeaderListed = remembering((name) => headers.has(lowercase(name)));
    const names = [...DEFAULT_NAMES, ...redactNames].map(pattern);
    this.#mayHoldName = mayHold([...DEFAULT_NAMES, ...redactNames]);
    const query = DEFAULT_QUERY.map(pattern);
    this.#kept = keepNames.map(pattern);
    this.#isListed = remembering((name) => this.#decide(name, names));
    this.#isQueryListed = remembering((name) => this.#decide(name, [...names, ...query]));
  }

  #decide(name, patterns) {
    const lower = lowercase(name);
    return patterns.some((test) => test(lower)) && !this.#kept.some((test) => test(lower));
  }

  /** Whether what stands under a name in JSON is a secret. */
  isSecretName(name) {
    return this.#isListed(name);
  }

  /** Whether JSON text, in bytes, may hold a name that is a secret's (C-3.3). */
  mayHoldSecretName(bytes) {
    return this.#mayHoldName(bytes);
  }

  /** Whether a header's value is a secret. */
  hidesHeader(name) {
    return this.#isHeaderListed(name);
  }

  /** A header's value as it may be captured. */
  headerValue(name, value) {
    return this.#isHeaderListed(name) ? REDACTED : value;
  }

  /** A URL as it may be captured: without userinfo, and listed query parameters without their values. */
  url(url) {
    const bare = url.includes('@') ? withoutUserinfo(url) : url;
    const hash = bare.indexOf('#');
    const beforeFragment = hash < 0 ? bare : bare.slice(0, hash);
    const mark = beforeFragment.indexOf('?');
    if (mark < 0) return bare;
    const query = parameters(beforeFragment.slice(mark + 1), (name) => this.#isQueryListed(plainName(name, false)));
    return bare.slice(0, mark + 1) + query + bare.slice(beforeFragment.length);
  }

  /** A form's body as it may be captured (C-3.3), from and to a binary string. */
  form(body) {
    return parameters(body, (name) => this.#isListed(plainName(name, true)));
  }
}

module.exports = { Redactor, REDACTED };
