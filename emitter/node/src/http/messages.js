'use strict';
// What servers and clients of `node:http` share: messages whose bodies are captured as they pass.
//
// Invariant: a body goes on at its own pace and unchanged. Nobody is made to read it: what comes in is seen where Node.js puts it into the message's
// buffer (`push`), what goes out where the app hands it over (`write`, `end`).

const http = require('node:http');
const http2 = require('node:http2');

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

/** What follows a message: it sees the message's events before their listeners do, which run within its context. */
class Follower {
  /** The next of the message's followers: each emitter has its own. */
  next;
  /** The message hands a piece over right now. */
  isWithin = false;

  /**
   * @param {import('../core.js').Core} core whose follower it is
   * @param {object} [context] within which listeners run
   */
  constructor(core, message, context) {
    this.core = core;
    this.message = message;
    this.context = context;
  }

  onEvent() {}
}

/** Follows a message that comes in: its half is captured as it arrives. */
class IncomingFollower extends Follower {
  constructor(core, message, half, context) {
    super(core, message, context);
    this.half = half;
  }

  onEvent(event) {
    if (event === 'close' && this.half?.isOpen) this.onBreak();
  }

  /** The message was closed before its body's end. */
  onBreak() {}

  onPush(chunk, encoding) {
    if (!this.half?.isOpen) return;
    if (chunk === null) endIncoming(this.message, this.half);
    else if (chunk !== undefined) this.half.body(chunk, encoding);
  }
}

/** Follows a message that goes out: its head once it is fixed, and its body as the app hands it over. */
class OutgoingFollower extends Follower {
  /** The head may have been fixed. */
  onHead() {}

  /** The app handed over a piece of the body, bytes or a text in an encoding. */
  onBody() {}
}

// Methods of the messages' classes tell the followers. A message's own would cost more than all that they do: once a framework has given a message another
// prototype, as Express does, each property that is added has V8 copy the description of all of them.

/** Makes a constructor initialise what it is given. */
class Given {
  constructor(object) {
    return object;
  }
}

/**
 * A private field for a message's first follower: nobody else sees it. In a `WeakMap` it would be found as well, but what refers to its own key there lives on until V8
 * collects all of the heap, each message with it.
 */
const place = () =>
  class extends Given {
    #first;

    constructor(holder, first) {
      super(holder);
      this.#first = first;
    }

    static of(holder) {
      return #first in holder ? holder.#first : undefined;
    }
  };

// Even a private field is a property that is added. So it is the state of a stream that has it, whose class frameworks leave alone: of what comes in its own, and of a
// response its request's. Anything else has it itself.
const Own = place();
const OfResponse = place();

/** The first follower of a message that comes in. */
const firstOfIncoming = (message) => Own.of(message._readableState ?? message);

/** The first follower of a message that goes out. */
function firstOfOutgoing(message) {
  const holder = message.req?._readableState;
  const first = holder && OfResponse.of(holder);
  return first?.message === message ? first : Own.of(message);
}

function setFirst(follower, isIncoming) {
  const { message } = follower;
  if (isIncoming) {
    new Own(message._readableState ?? message, follower);
    return;
  }
  const holder = message.req?._readableState;
  // A request may have been given a second response.
  if (holder && !OfResponse.of(holder)) new OfResponse(holder, follower);
  else new Own(message, follower);
}

/** What has methods that tell followers. */
const patched = new WeakSet();

const INCOMING = [http.IncomingMessage.prototype, http2.Http2ServerRequest.prototype];
const OUTGOING = [http.ServerResponse.prototype, http.ClientRequest.prototype, http2.Http2ServerResponse.prototype];

/** Has a follower see its message. */
function follow(follower) {
  const { message } = follower;
  const isIncoming = follower instanceof IncomingFollower;
  let last = isIncoming ? firstOfIncoming(message) : firstOfOutgoing(message);
  if (last === undefined) {
    setFirst(follower, isIncoming);
    patch(message, isIncoming);
    return;
  }
  while (last.next !== undefined) last = last.next;
  last.next = follower;
}

function patch(message, isIncoming) {
  // What looks like a message and is none, as in tests without a server, gets methods of its own.
  const target = (isIncoming ? INCOMING : OUTGOING).find((prototype) => prototype.isPrototypeOf(message)) ?? message;
  if (patched.has(target)) return;
  patched.add(target);
  if (isIncoming) {
    replace(target, 'emit', tellingEvents, firstOfIncoming);
    replace(target, 'push', tellingPush, firstOfIncoming);
  } else {
    replace(target, 'emit', tellingEvents, firstOfOutgoing);
    replace(target, 'write', tellingPieces, firstOfOutgoing);
    replace(target, 'end', tellingPieces, firstOfOutgoing);
    replace(target, 'flushHeaders', tellingHead, firstOfOutgoing);
  }
}

function replace(target, name, make, firstOf) {
  Object.defineProperty(target, name, { value: make(target[name], firstOf), writable: true, configurable: true, enumerable: false });
}

/** Whether an emitter follows a message that comes in, so that a second integration of it leaves the message alone. */
function isFollowed(core, message) {
  let follower = firstOfIncoming(message);
  while (follower !== undefined && follower.core !== core) follower = follower.next;
  return follower !== undefined;
}

/** Tells a message's followers; a fault of an emitter's never reaches the app. */
function tell(first, how, a, b) {
  for (let follower = first; follower !== undefined; follower = follower.next) {
    try {
      how(follower, a, b);
    } catch {
      // The others still hear of it.
    }
  }
}

const tellEvent = (follower, event, first) => follower.onEvent(event, first);
const tellPush = (follower, chunk, encoding) => follower.onPush(chunk, encoding);
const tellHead = (follower) => follower.onHead();
const tellPiece = (follower, chunk, encoding) => {
  follower.onHead();
  if (typeof chunk === 'string' || chunk instanceof Uint8Array) follower.onBody(chunk, typeof encoding === 'string' ? encoding : undefined);
};

const tellingEvents = (method, firstOf) =>
  function emit(event, first) {
    const follower = firstOf(this);
    if (follower === undefined) return Reflect.apply(method, this, arguments);
    tell(follower, tellEvent, event, first);
    // Node.js runs a message's listeners within its connection's context.
    const { context } = follower;
    if (context === undefined || this.listenerCount(event) === 0) return Reflect.apply(method, this, arguments);
    return within(context, Reflect.apply, method, this, arguments);
  };

const tellingPush = (method, firstOf) =>
  function push(chunk, encoding) {
    const follower = firstOf(this);
    if (follower !== undefined) tell(follower, tellPush, chunk, encoding);
    return method.call(this, chunk, encoding);
  };

const tellingPieces = (method, firstOf) =>
  function (chunk, encoding) {
    const follower = firstOf(this);
    // `end` calls `write`.
    if (follower === undefined || follower.isWithin) return Reflect.apply(method, this, arguments);
    const wasEnded = this.writableEnded;
    follower.isWithin = true;
    let result;
    try {
      result = Reflect.apply(method, this, arguments);
    } finally {
      follower.isWithin = false;
    }
    if (!wasEnded) tell(follower, tellPiece, chunk, encoding);
    return result;
  };

const tellingHead = (method, firstOf) =>
  function flushHeaders() {
    method.call(this);
    const follower = firstOf(this);
    if (follower !== undefined) tell(follower, tellHead);
  };

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

module.exports = { follow, isFollowed, IncomingFollower, OutgoingFollower, lengthOf, receivedHead, sentHead, sentTrailers };
