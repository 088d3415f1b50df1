'use strict';
// Outbound HTTP through `fetch`. Redirects are followed below it: a capture holds the first request and the last response.

const { bodyOf, valueIn } = require('../capture.js');
const { quietly } = require('../quietly.js');
const { callTrace } = require('./client.js');
const { lengthOf } = require('./messages.js');

/** Statuses whose responses have no body, by the Fetch standard. */
const BODILESS = new Set([101, 103, 204, 205, 304]);

/** Before undici 6 (in Node.js 18, and early 20) a clone of a body that is not read to its end keeps the process alive. */
const CLONES_LET_GO = Number.parseInt(process.versions.undici, 10) >= 6;

/** Responses that the app forgot, so that their captures end. */
const forgotten = new FinalizationRegistry((half) => quietly(() => half.abandon('body not read')));

/** A `fetch` whose calls are captured. */
function wrapFetch(core, fetch) {
  return async function (input, init) {
    const call = quietly(() => begin(core, input, init));
    if (!call) return fetch(input, init);
    let response;
    try {
      response = await fetch(...call.args);
    } catch (error) {
      quietly(() => {
        const words = describe(error);
        call.halves?.request.abandon(words);
        call.halves?.response.fail(words);
      });
      throw error;
    }
    return call.halves ? (quietly(() => follow(response, call.halves)) ?? response) : response;
  };
}

/** Decides on a call, gives it a `traceparent` where it has none, and captures its request. Undefined where filters leave it out. */
function begin(core, input, init = {}) {
  const given = input instanceof Request ? input : undefined;
  const url = new URL(given?.url ?? input);
  const method = String(init.method ?? given?.method ?? 'GET').toUpperCase();
  if (!/^https?:$/.test(url.protocol) || !core.letsHttp(method, url.pathname)) return undefined;
  const headers = new Headers(init.headers ?? given?.headers);
  const cause = callTrace(headers.get('traceparent') ?? undefined);
  if (!headers.has('traceparent')) headers.set('traceparent', cause.trace);
  const pairs = [...headers];
  const body = init.body ?? undefined;
  // `fetch` adds what the body's class tells.
  const type = valueIn(pairs, 'content-type') ?? typeOf(body);
  if (type !== undefined && !headers.has('content-type')) pairs.push(['content-type', type]);
  const contentEncoding = valueIn(pairs, 'content-encoding');
  const halves = core.begin({
    dir: 'out',
    proto: 'http/1.1',
    method,
    url: url.href,
    headers: pairs,
    contentType: type,
    contentEncoding,
    ...cause,
  });
  const sent = { ...init, headers };
  if (halves) quietly(() => captureBody(halves.request, body, given, sent));
  return { args: [input, sent], halves };
}

/** The content type that `fetch` gives to a body that has none. */
function typeOf(body) {
  if (typeof body === 'string') return 'text/plain;charset=UTF-8';
  if (body instanceof URLSearchParams) return 'application/x-www-form-urlencoded;charset=UTF-8';
  if (body instanceof Blob) return body.type || undefined;
  return body instanceof FormData ? 'multipart/form-data' : undefined;
}

/** Captures a request's body; a stream is replaced in `sent` by one that passes it on. */
function captureBody(half, body, given, sent) {
  if (body === undefined) {
    if (!given?.body) half.end();
    else if (CLONES_LET_GO) copy(given.clone().body, half);
    else half.abandon('body not captured');
  } else if (typeof body === 'string' || body instanceof ArrayBuffer || ArrayBuffer.isView(body)) {
    half.body(bodyOf(body));
    half.end();
  } else if (body instanceof URLSearchParams) {
    half.body(body.toString());
    half.end();
  } else if (body instanceof Blob) {
    copy(body.stream(), half);
  } else if (body instanceof ReadableStream) {
    sent.body = passingUpload(body, half);
  } else if (typeof body[Symbol.asyncIterator] === 'function') {
    sent.body = passingItems(body, half);
  } else {
    half.abandon('body not captured');
  }
}

/**
 * Captures a stream that nobody else reads: of a `Blob`, or a `Request`'s clone, for to replace such a body by a stream would change how it is sent. It is read
 * no further than it is captured, so a clone holds back no more than that.
 */
async function copy(stream, half) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return half.end();
      half.body(value);
      if (half.isCut) return half.endCut();
    }
  } catch (error) {
    return half.abandon(describe(error));
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Where a stream that passes another one on takes its chunks from: captures each, and how they end. */
function source(stream, half, enqueue) {
  const reader = stream.getReader();
  return {
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) {
          quietly(() => half.body(value));
          return enqueue(controller, value);
        }
      } catch (error) {
        quietly(() => half.abandon(describe(error)));
        throw error;
      }
      quietly(() => half.end());
      controller.close();
      // Who waits with a buffer of its own is told so by this.
      controller.byobRequest?.respond(0);
    },
    cancel(reason) {
      quietly(() => half.abandon('body not read to its end'));
      return reader.cancel(reason);
    },
  };
}

/** Passes on at the reader's pace: nothing is read ahead. */
const PACE = { highWaterMark: 0 };

/** A stream of an upload's chunks, whatever they are. */
function passingUpload(stream, half) {
  return new ReadableStream(
    source(stream, half, (controller, chunk) => controller.enqueue(chunk)),
    PACE,
  );
}

/** A stream of a response's bytes, which like `fetch`'s own may be read into buffers of the app's. It takes over the memory of what it is given. */
function passingBytes(stream, half) {
  const bytes = source(stream, half, (controller, chunk) => {
    // An empty chunk can't be passed on, and ends no wait: the next one does.
    if (chunk.byteLength === 0) return bytes.pull(controller);
    // Memory that is shared with others stays theirs.
    const isWhole = chunk.byteLength === chunk.buffer.byteLength;
    controller.enqueue(isWhole ? chunk : Uint8Array.prototype.slice.call(chunk));
    return undefined;
  });
  return new ReadableStream({ ...bytes, type: 'bytes' }, PACE);
}

async function* passingItems(items, half) {
  try {
    for await (const item of items) {
      quietly(() => half.body(bodyOf(item)));
      yield item;
    }
    quietly(() => half.end());
  } finally {
    quietly(() => half.abandon('body broke off'));
  }
}

/** Captures a response: gives one like it, whose body is captured as the app reads it. */
function follow(response, { response: answered }) {
  const { status } = response;
  // `fetch` undoes a body's encoding: what is captured is what the app reads, and the headers must not say otherwise.
  const isDecoded = response.headers.has('content-encoding');
  const pairs = [...response.headers].filter(([name]) => !isDecoded || (name !== 'content-encoding' && name !== 'content-length'));
  answered.expected = lengthOf(valueIn(pairs, 'content-length'));
  answered.respond(status, { headers: pairs, contentType: valueIn(pairs, 'content-type') });
  if (!response.body || BODILESS.has(status)) {
    answered.end();
    return response;
  }
  const { url, redirected, type } = response;
  const body = passingBytes(response.body, answered);
  const told = like(new Response(body, { status, statusText: response.statusText, headers: response.headers }), { url, redirected, type });
  forgotten.register(told, answered);
  return told;
}

/** Gives a response what its constructor can't, and its clones too. */
function like(response, told) {
  for (const [name, value] of Object.entries(told)) Object.defineProperty(response, name, { value, configurable: true });
  const { clone } = Response.prototype;
  Object.defineProperty(response, 'clone', { value: () => like(clone.call(response), told), configurable: true });
  return response;
}

/** An error in words, without the URL, which may hold secrets. */
function describe(error) {
  return [error?.cause?.code, error?.code, error?.name].find((words) => typeof words === 'string') ?? 'call failed';
}

module.exports = { wrapFetch };
