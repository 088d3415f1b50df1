'use strict';
// Calls of what is not HTTP, whose request and response are JSON: so what is listed as a secret is redacted in them by its name.

const { currentContext } = require('./context.js');
const { newTraceparent } = require('./identity.js');
const { quietly } = require('./quietly.js');

const HEADERS = [['content-type', 'application/json']];
const CONTENT_TYPE = HEADERS[0][1];

/** A call under way; one that is left out takes all calls and does nothing. None of its methods throws. */
class JsonCall {
  #halves;

  /** @param {{proto: string, method: string, url: string, oneway?: boolean}} call */
  constructor(core, { proto, method, url, oneway = false }) {
    const caller = currentContext();
    this.#halves = quietly(() =>
      core.begin({
        dir: 'out',
        proto,
        method,
        url,
        headers: HEADERS,
        contentType: CONTENT_TYPE,
        trace: caller?.trace ?? newTraceparent(),
        parent: caller?.id,
        oneway,
      }),
    );
  }

  /** Whether it is captured: where it is not, nothing need be written as JSON. */
  get isCaptured() {
    return this.#halves !== undefined;
  }

  /** Captures the request, pieces of one JSON text; one that is secret is left out. */
  ask(pieces, isSecret) {
    quietly(() => this.#halves && put(this.#halves.request, pieces, isSecret));
  }

  /** Captures the response, as `ask` does. */
  answer(status, pieces, isSecret) {
    quietly(() => {
      const { response } = this.#halves ?? {};
      if (!response) return;
      response.respond(status, { headers: HEADERS, contentType: CONTENT_TYPE });
      put(response, pieces, isSecret);
    });
  }

  /** Ends a call that failed, with the status of its error where that has one. */
  fail(status, words) {
    quietly(() => {
      const { live, response } = this.#halves ?? {};
      if (!response) return;
      live.settle(true);
      if (status !== undefined) response.respond(status, { headers: HEADERS, contentType: CONTENT_TYPE });
      response.fail(words);
    });
  }
}

/** Captures a body as far as it may be: what is longer is not even made. */
function put(half, pieces, isSecret) {
  if (isSecret) half.leaveOut();
  try {
    for (const piece of pieces) {
      half.body(piece);
      if (half.isCut) break;
    }
  } catch {
    // What has no JSON: a value within itself, a getter that throws.
    half.abandon('body not captured');
  }
  if (half.isCut) half.endCut();
  else half.end();
}

/** A value as JSON has it; bytes by `text`, and what JSON has nothing for as its text. */
function jsonOf(value, text) {
  return JSON.stringify(value, function (key, item) {
    // `toJSON` of a buffer has spelled its bytes already.
    const given = this[key];
    if (given instanceof Uint8Array) return text(given);
    return typeof item === 'bigint' ? String(item) : item;
  });
}

module.exports = { JsonCall, jsonOf };
