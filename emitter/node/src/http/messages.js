'use strict';
// What servers and clients of `node:http` share: messages whose bodies are captured as they pass.
//
// Invariant: a body goes on at its own pace and unchanged. Nobody is made to read it: what comes in is seen where Node.js puts it into the message's
// buffer (`push`), what goes out where the app hands it over (`write`, `end`).

const { within } = require('../context.js');

/** A header's value in a head as it goes over the wire, of which the same in lowercase is given too; undefined where it has none. */
function headerIn(head, lower, name) {
  const start = lower.indexOf(`\r\n${name}:`);
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
    const lower = head.toLowerCase();
    return {
      headers: head,
      contentType: headerIn(head, lower, 'content-type'),
      contentEncoding: headerIn(head, lower, 'content-encoding'),
      length: lengthOf(headerIn(head, lower, 'content-length')),
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

/** What follows a message that comes in: its half is captured as it arrives. */
class IncomingFollower {
  /** @param {import('../context.js').Context} [context] within which listeners run */
  constructor(message, half, context) {
    this.message = message;
    this.half = half;
    this.context = context;
    this.emit = message.emit;
    this.push = message.push;
  }

  onEvent(event) {
    if (event === 'close' && this.half?.isOpen) this.onBreak();
  }

  /** The message was closed before its body's end. */
  onBreak() {}

  onPush(chunk, encoding) {
    if (chunk === null) endIncoming(this.message, this.half);
    else if (chunk !== undefined) this.half.body(chunk, encoding);
  }
}

/** What follows a message that goes out: its head once it is fixed, and its body as the app hands it over. */
class OutgoingFollower {
  isWithin = false;

  constructor(message, context) {
    this.message = message;
    this.context = context;
    this.emit = message.emit;
    this.write = message.write;
    this.end = message.end;
    this.flushHeaders = message.flushHeaders;
  }

  onEvent() {}

  /** The head may have been fixed. */
  onHead() {}

  /** The app handed over a piece of the body, bytes or a text in an encoding. */
  onBody() {}
}

/**
 * Has followers see messages, by methods of the messages' own that are the same for all: for each message that passes, a closure for each method would cost more
 * than what these do. They are an emitter's own, for two emitters may follow one message.
 */
class Following {
  #key = Symbol('capture');
  #emit;
  #push;
  #write;
  #end;
  #flushHeaders;

  constructor() {
    const key = this.#key;
    const handOver = (message, method, args) => {
      const follower = message[key];
      // `end` calls `write`.
      if (follower.isWithin) return Reflect.apply(method, message, args);
      const wasEnded = message.writableEnded;
      follower.isWithin = true;
      let result;
      try {
        result = Reflect.apply(method, message, args);
      } finally {
        follower.isWithin = false;
      }
      if (!wasEnded) tell(follower, args[0], args[1]);
      return result;
    };
    this.#emit = function emit(event, first) {
      const follower = this[key];
      try {
        follower.onEvent(event, first);
      } catch {
        // A fault of the emitter's own never reaches the app; so below.
      }
      // Node.js runs a message's listeners within its connection's context.
      const { context } = follower;
      if (context === undefined || this.listenerCount(event) === 0) return Reflect.apply(follower.emit, this, arguments);
      return within(context, Reflect.apply, follower.emit, this, arguments);
    };
    this.#push = function push(chunk, encoding) {
      const follower = this[key];
      try {
        follower.onPush(chunk, encoding);
      } catch {}
      return follower.push.call(this, chunk, encoding);
    };
    this.#write = function write() {
      return handOver(this, this[key].write, arguments);
    };
    this.#end = function end() {
      return handOver(this, this[key].end, arguments);
    };
    this.#flushHeaders = function flushHeaders() {
      const follower = this[key];
      follower.flushHeaders.call(this);
      try {
        follower.onHead();
      } catch {}
    };
  }

  /** Whether a message is followed, so that a second integration leaves it alone. */
  has(message) {
    return message[this.#key] !== undefined;
  }

  /** Binds a message's listeners to its follower's context, whatever else it does. */
  events(follower) {
    const { message } = follower;
    message[this.#key] = follower;
    message.emit = this.#emit;
  }

  incoming(follower) {
    this.events(follower);
    follower.message.push = this.#push;
  }

  outgoing(follower) {
    const { message } = follower;
    this.events(follower);
    message.write = this.#write;
    message.end = this.#end;
    message.flushHeaders = this.#flushHeaders;
  }
}

/** Tells a follower what the app handed over. */
function tell(follower, chunk, encoding) {
  try {
    follower.onHead();
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) follower.onBody(chunk, typeof encoding === 'string' ? encoding : undefined);
  } catch {}
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

/** The trailers that a message of HTTP/1 sent; undefined where it had none. */
function sentTrailers(message) {
  return message.chunkedEncoding && message._trailer ? `\r\n${message._trailer}` : undefined;
}

module.exports = { Following, IncomingFollower, OutgoingFollower, lengthOf, receivedHead, sentHead, sentTrailers };
