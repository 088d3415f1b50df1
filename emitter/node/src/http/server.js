'use strict';
// Inbound HTTP: what a server is asked and answers. What switches protocols (websockets, `CONNECT`) is left alone.

const { within } = require('../context.js');
const { newTraceparent, parseTraceparent } = require('../identity.js');
const { quietly } = require('../quietly.js');
const { follow, isFollowed, IncomingFollower, OutgoingFollower, lengthOf, sentHead, sentTrailers } = require('./messages.js');

/** What a server emits with a request and its response. */
const REQUEST_EVENTS = new Set(['request', 'checkContinue', 'checkExpectation']);

const isBodiless = (request, status) => request.method === 'HEAD' || status === 204 || status === 304;

/** Captures what a server is asked and answers. */
function instrumentServer(core, server, options) {
  const { emit } = server;
  server.emit = function (event, request, response) {
    if (!REQUEST_EVENTS.has(event)) return emit.apply(this, arguments);
    return serve(core, options, request, response, () => emit.apply(this, arguments));
  };
}

/** A request listener whose requests are captured. */
function wrapListener(core, listener, options) {
  return function (request, response) {
    return serve(core, options, request, response, () => listener.apply(this, arguments));
  };
}

/** Captures a request while `work` answers it, and whatever that starts. `route` is the route's pattern, where the framework tells it. */
function serve(core, options, request, response, work, route) {
  if (isFollowed(core, request)) return work();
  const answered = quietly(() => capture(core, options, request, response, route));
  if (!answered) return work();
  try {
    return within(answered.context, work);
  } catch (error) {
    answered.hasFailed = true;
    throw error;
  }
}

/** Decides on a request, and has it and its response followed. */
function capture(core, options, request, response, route) {
  const { headers } = request;
  const trace = parseTraceparent(headers.traceparent) ?? newTraceparent();
  const target = request.originalUrl ?? request.url;
  const halves = core.letsHttp(request.method, target)
    ? core.begin({
        dir: 'in',
        proto: protocol(request),
        method: request.method,
        url: absoluteUrl(request, target, options.scheme),
        headers: request.rawHeaders,
        peer: peerOf(request.socket),
        trace,
        contentType: headers['content-type'],
        contentEncoding: headers['content-encoding'],
        route,
      })
    : undefined;
  const context = { id: halves?.live.id, trace };
  const asked = new Asked(core, request, halves?.request, context);
  const answered = new Answered(core, response, halves?.response, asked);
  if (halves) {
    halves.request.expected = lengthOf(headers['content-length']);
    asked.endWhereNoneComes();
  }
  follow(asked);
  follow(answered);
  return answered;
}

/** Follows a request. Without a half it gives listeners their context, and no more; so does a response's. */
class Asked extends IncomingFollower {
  /** Ends the half where no body is still to come, or not all of it. */
  endWhereNoneComes() {
    const { message, half } = this;
    if (message.readableDidRead || message.readableLength > 0) half.abandon('body begun before its capture');
    else if (message.httpVersionMajor === 1 && message.complete) half.end();
  }

  /** Ends a request that will not come to its end. */
  onBreak() {
    this.half.abandon(this.half.seen > 0 ? 'body not read to its end' : 'body not read');
  }

  /** Node.js forgets a request once it is answered: where its body has not ended by then, nothing tells when it will. */
  onAnswered() {
    const { message, half } = this;
    if (!half.isOpen || message.httpVersionMajor !== 1) return;
    if (message._dumped || !message.socket || message.socket.destroyed) this.onBreak();
    else message.socket.once('close', () => quietly(() => this.onBreak()));
  }
}

/** Follows a response. */
class Answered extends OutgoingFollower {
  #half;
  #asked;
  /** The handler threw. Somebody may answer all the same. */
  hasFailed = false;

  constructor(core, response, half, asked) {
    super(core, response, asked.context);
    this.#half = half;
    this.#asked = asked;
  }

  onHead() {
    const half = this.#half;
    if (!half || half.hasBegun || !this.message.headersSent) return;
    const head = sentHead(this.message);
    half.expected = head.length;
    half.respond(this.message.statusCode, head);
  }

  onBody(data, encoding) {
    if (!isBodiless(this.#asked.message, this.message.statusCode)) this.#half?.body(data, encoding);
  }

  onEvent(event) {
    const half = this.#half;
    if (half === undefined) return;
    if (event === 'finish') {
      this.onHead();
      half.end(sentTrailers(this.message));
    } else if (event === 'close') {
      this.#asked.onAnswered();
      if (!half.isOpen) return;
      this.onHead();
      if (half.hasBegun) half.abandon("connection closed before the body's end");
      else half.fail(this.hasFailed ? 'handler failed' : 'connection closed before the response');
    }
  }
}

function protocol({ httpVersionMajor, httpVersion }) {
  return httpVersionMajor === 2 ? 'h2' : `http/${httpVersion}`;
}

/** The URL, absolute where the host is known. The scheme is the connection's, unless it is set. */
function absoluteUrl(request, target, scheme) {
  const host = request.headers.host ?? request.headers[':authority'];
  if (!target.startsWith('/') || host === undefined) return target;
  return `${scheme ?? (request.socket?.encrypted ? 'https' : 'http')}://${host}${target}`;
}

/** A peer's address and port. */
function peerOf(socket) {
  const { remoteAddress, remotePort, remoteFamily } = socket ?? {};
  if (remoteAddress === undefined) return undefined;
  return remoteFamily === 'IPv6' ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}

module.exports = { instrumentServer, wrapListener, serve };
