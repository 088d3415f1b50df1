'use strict';
// Redaction of JSON bodies (C-3.3): one value, or several with white space or nothing between them. Every byte but the secrets' stays.

const { REDACTED } = require('./redact.js');

/** Arrays and objects nest at most so deep; deeper bodies are left out. */
const MAX_DEPTH = 128;
/** Texts that are JSON themselves are looked through so deep within one another: a queue's event that brings a topic's message has two. */
const MAX_TEXTS = 4;

// A token with the white space before it: a string, a number or a word, or a sign. Strings are matched in runs, so that the regular expression keeps no state for
// each character.
const TOKEN =
  /[ \t\n\r]*(?:("[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*")|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)|([[\]{},:]))/y;
const SPACE = /[ \t\n\r]*/y;
/** What may stand behind a number or a word. */
const BEHIND_WORD = /[ \t\n\r,:[\]{}"]|$/y;
/** What a string looks like that may say JSON with names, and what it then says. */
const MAY_BE_JSON = /^"[{[ \\].*\\/s;
const BEGINS_AS_JSON = /^[ \t\n\r]*[{[]/;
const LONE_SURROGATES = /\p{Surrogate}/gu;

// What may come next. AFTER_VALUE is a comma or the end of the array or object.
const VALUE = 0;
const VALUE_OR_END = 1;
const NAME = 2;
const NAME_OR_END = 3;
const COLON = 4;
const AFTER_VALUE = 5;

/**
 * A JSON body as it may be captured.
 * @param {string} text the body
 * @param {(name: string) => boolean} isSecret asked with each name, unescaped
 * @param {number} [texts] in how many texts this one stands
 * @returns {string | undefined} undefined where the body is no JSON, or nests too deep
 */
function redactJson(text, isSecret, texts = 0) {
  const open = [];
  let kept = '';
  /** Up to where the text was kept. */
  let from = 0;
  let next = VALUE;
  let at = 0;
  /** Where the secret value begins that is being passed over, and how many arrays and objects were open there. */
  let secretAt = -1;
  let secretDepth = 0;
  let nameIsSecret = false;

  for (;;) {
    if (open.length === 0) {
      SPACE.lastIndex = at;
      SPACE.test(text);
      if (SPACE.lastIndex === text.length) return kept + text.slice(from);
      next = VALUE;
    }
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text);
    if (!token) return undefined;
    at = TOKEN.lastIndex;
    const [, string, word, sign] = token;

    if (next === COLON) {
      if (sign !== ':') return undefined;
      next = VALUE;
      continue;
    }
    if (next === AFTER_VALUE) {
      const last = open[open.length - 1];
      if (sign === ',') next = last === '}' ? NAME : VALUE;
      else if (sign !== last) return undefined;
      else open.pop();
      if (sign === ',') continue;
    } else if (next === NAME || next === NAME_OR_END) {
      if (string) {
        const name = string.includes('\\') ? JSON.parse(string) : string.slice(1, -1);
        nameIsSecret = secretAt < 0 && isSecret(name);
        next = COLON;
        continue;
      }
      if (next !== NAME_OR_END || sign !== '}') return undefined;
      open.pop();
    } else if (next === VALUE_OR_END && sign === ']') {
      open.pop();
    } else {
      const length = (string ?? word ?? sign).length;
      if (nameIsSecret) {
        secretAt = at - length;
        secretDepth = open.length;
        nameIsSecret = false;
      }
      if (sign) {
        if (sign !== '{' && sign !== '[') return undefined;
        if (open.length === MAX_DEPTH) return undefined;
        open.push(sign === '{' ? '}' : ']');
        next = sign === '{' ? NAME_OR_END : VALUE_OR_END;
        continue;
      }
      if (word) {
        BEHIND_WORD.lastIndex = at;
        if (!BEHIND_WORD.test(text)) return undefined;
      }
      if (string && secretAt < 0 && texts < MAX_TEXTS) {
        const inner = redactText(string, isSecret, texts);
        if (inner !== string) {
          kept += text.slice(from, at - length) + inner;
          from = at;
        }
      }
    }
    // A value has ended here.
    if (secretAt >= 0 && open.length === secretDepth) {
      kept += `${text.slice(from, secretAt)}"${REDACTED}"`;
      from = at;
      secretAt = -1;
    }
    next = AFTER_VALUE;
  }
}

/** A string that is a value, as it may be captured: what is secret in JSON that it holds is left out. */
function redactText(string, isSecret, texts) {
  // JSON that has names has quotes, and those have escapes here.
  if (!MAY_BE_JSON.test(string)) return string;
  const said = JSON.parse(string);
  if (!BEGINS_AS_JSON.test(said)) return string;
  const kept = redactJson(said, isSecret, texts + 1);
  if (kept === undefined || kept === said) return string;
  return JSON.stringify(kept.replace(LONE_SURROGATES, '\ufffd'));
}

module.exports = { redactJson };
