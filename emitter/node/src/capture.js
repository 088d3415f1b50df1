'use strict';
// Captures of anything that no integration sees: a query, a message, a job.

const { currentContext, within } = require('./context.js');
const { newTraceparent, parseTraceparent } = require('./identity.js');
const { quietly } = require('./quietly.js');

/** Pairs of an object of names and values, of pairs, or of a `Headers`; a value may be a list. */
function pairsOf(headers) {
  if (headers === undefined || headers === null) return undefined;
  const entries = typeof headers[Symbol.iterator] === 'function' ? [...headers] : Object.entries(headers);
  const pairs = [];
  for (const [name, value] of entries) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) pairs.push([String(name), one instanceof Uint8Array ? one : String(one)]);
    }
  }
  return pairs;
}

/** The first value of a header in pairs. */
function valueIn(pairs, wanted) {
  const value = pairs?.find(([name]) => name.toLowerCase() === wanted)?.[1];
  return typeof value === 'string' ? value : undefined;
}

function bodyHeaders(pairs) {
  return {
    headers: pairs,
    contentType: valueIn(pairs, 'content-type'),
    contentEncoding: valueIn(pairs, 'content-encoding'),
  };
}

function tagsOf(tags) {
  if (tags === undefined) return undefined;
  return Object.fromEntries(Object.entries(tags).map(([name, value]) => [name, String(value)]));
}

function textOrNone(value) {
  return value === undefined || value === null ? undefined : String(value);
}

/** Bytes or text of a body; any other value as JSON. */
function bodyOf(data) {
  if (typeof data === 'string' || data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  return JSON.stringify(data) ?? '';
}

/** One capture under way. See `Emitter.begin`. Where it is left out, it takes all calls and does nothing; none of them ever throws. */
class Capture {
  #halves;
  #context;
  #error;

  constructor(core, proto, method, url, options) {
    const caller = currentContext();
    const { dir, headers, peer, tags, oneway } = options;
    const trace = parseTraceparent(options.trace) ?? caller?.trace ?? newTraceparent();
    this.#halves = quietly(() =>
      core?.begin({
        dir: dir === 'in' ? 'in' : 'out',
        proto: String(proto),
        method: String(method),
        url: String(url),
        ...bodyHeaders(pairsOf(headers)),
        peer: textOrNone(peer),
        trace,
        parent: textOrNone(options.parent) ?? caller?.id,
        tags: tagsOf(tags),
        oneway: Boolean(oneway),
      }),
    );
    this.#context = { id: this.id, trace };
  }

  /** The capture's id; undefined where it is not captured. */
  get id() {
    return this.#halves?.live.id;
  }

  /** The capture's W3C traceparent. */
  get trace() {
    return this.#context.trace;
  }

  /** Runs `work` within this capture: what it calls shares the trace and names this capture as its parent. Returns what `work` returns. */
  run(work, ...args) {
    return within(this.#context, work, ...args);
  }

  /** Adds to the request's body: a statement, arguments, a message. Text, bytes, or a value that is written as JSON. */
  requestBody(data) {
    quietly(() => this.#halves?.request.body(bodyOf(data)));
  }

  /** Ends the request, where all of it is known before the response; otherwise it ends with the capture. */
  endRequest() {
    quietly(() => this.#halves?.request.end());
  }

  /** Begins the response: a number for HTTP, a text elsewhere (an SQLSTATE, a gRPC status name); with headers, or what the protocol has like them. */
  respond(status, headers) {
    quietly(() => {
      const told = Number.isSafeInteger(status) ? status : textOrNone(status);
      this.#halves?.response?.respond(told, bodyHeaders(pairsOf(headers)));
    });
  }

  /** Adds to the response's body: rows as JSON, a reply. Text, bytes, or a value that is written as JSON. */
  responseBody(data) {
    quietly(() => this.#halves?.response?.body(bodyOf(data)));
  }

  /** Says what went wrong: an error, or a text. The capture then ends with it. */
  error(error) {
    this.#error = quietly(() => (error instanceof Error ? `${error.name}: ${error.message}` : String(error))) ?? 'error';
  }

  /** Ends the capture. */
  finish() {
    quietly(() => {
      const { request, response } = this.#halves ?? {};
      if (this.#error !== undefined) (response ?? request)?.fail(this.#error);
      request?.end();
      response?.end();
    });
  }
}

module.exports = { Capture, valueIn, bodyOf };
