'use strict';
// Inbound HTTP: what a server is asked and answers. What switches protocols (websockets, `CONNECT`) is left alone.

const { bindEvents, within } = require('../context.js');
const { newTraceparent, parseTraceparent } = require('../identity.js');
const { quietly } = require('../quietly.js');
const { followIncoming, followOutgoing, receivedHead, sentHead, sentTrailers } = require('./messages.js');

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
  if (core.seen.has(request)) return work();
  core.seen.add(request);
  const exchange = quietly(() => new Exchange(core, options, request, response, route));
  if (!exchange) return work();
  try {
    return within(exchange.context, work);
  } catch (error) {
    exchange.hasFailed = true;
    throw error;
  }
}

/** A request and its response under way. */
class Exchange {
  #request;
  #response;
  #asked;
  #answered;
  context;
  /** The handler threw. Somebody may answer all the same. */
  hasFailed = false;

  constructor(core, options, request, response, route) {
    this.#request = request;
    this.#response = response;
    const trace = parseTraceparent(request.headers.traceparent) ?? newTraceparent();
    const target = request.originalUrl ?? request.url;
    const halves = core.letsHttp(request.method, pathOf(target)) ? this.#begin(core, options, trace, target, route) : undefined;
    this.context = { id: halves?.live.id, trace };
    bindEvents(request, this.context);
    bindEvents(response, this.context);
    if (!halves) return;
    this.#asked = halves.request;
    this.#answered = halves.response;
    this.#followRequest();
    this.#followResponse();
  }

  #begin(core, options, trace, target, route) {
    const request = this.#request;
    const { length, ...head } = receivedHead(request);
    const halves = core.begin({
      dir: 'in',
      proto: protocol(request),
      method: request.method,
      url: absoluteUrl(request, target, options.scheme),
      ...head,
      peer: peerOf(request.socket),
      trace,
      route,
    });
    if (halves) halves.request.expected = length;
    return halves;
  }

  #followRequest() {
    const request = this.#request;
    const asked = this.#asked;
    const hasBegun = request.readableDidRead || request.readableLength > 0;
    if (hasBegun) {
      asked.abandon('body begun before its capture');
      return;
    }
    if (request.httpVersionMajor === 1 && request.complete) {
      asked.end();
      return;
    }
    followIncoming(request, asked, () => this.#endUnread());
  }

  /** Ends a request that will not come to its end. */
  #endUnread() {
    const asked = this.#asked;
    asked.abandon(asked.seen > 0 ? 'body not read to its end' : 'body not read');
  }

  /** Node.js forgets a request once it is answered: where its body has not ended by then, nothing tells when it will. */
  #endForgotten() {
    const request = this.#request;
    if (!this.#asked.isOpen || request.httpVersionMajor !== 1) return;
    if (request._dumped || !request.socket || request.socket.destroyed) this.#endUnread();
    else request.socket.once('close', () => quietly(() => this.#endUnread()));
  }

  #followResponse() {
    const response = this.#response;
    const answered = this.#answered;
    const onHead = () => {
      if (answered.hasBegun || !response.headersSent) return;
      const { length, ...head } = sentHead(response);
      answered.expected = length;
      answered.respond(response.statusCode, head);
    };
    followOutgoing(response, onHead, (data, encoding) => {
      if (!isBodiless(this.#request, response.statusCode)) answered.body(data, encoding);
    });
    response.once('finish', () =>
      quietly(() => {
        onHead();
        answered.end(sentTrailers(response));
      }),
    );
    response.once('close', () =>
      quietly(() => {
        this.#endForgotten();
        if (!answered.isOpen) return;
        onHead();
        if (this.hasFailed) answered.fail('handler failed');
        else answered.abandon(answered.hasBegun ? "connection closed before the body's end" : 'connection closed before the response');
      }),
    );
  }
}

function protocol({ httpVersionMajor, httpVersion }) {
  return httpVersionMajor === 2 ? 'h2' : `http/${httpVersion}`;
}

function pathOf(target) {
  const path = /^(?:https?:\/\/[^/?#]*)?([^?#]*)/i.exec(target)[1];
  return path || '/';
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
