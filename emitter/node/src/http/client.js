'use strict';
// Outbound HTTP through `node:http` and `node:https`, whichever library calls them.

const http = require('node:http');
const https = require('node:https');
const { syncBuiltinESMExports } = require('node:module');

const { currentContext } = require('../context.js');
const { childTraceparent, newTraceparent, parseTraceparent } = require('../identity.js');
const { quietly } = require('../quietly.js');
const { follow, IncomingFollower, OutgoingFollower, receivedHead, sentHead, sentTrailers } = require('./messages.js');

/** Captures the calls of both modules from now on; what it returns undoes that. */
function instrumentClient(core) {
  let isOn = true;
  const undo = [http, https].map((module) => {
    const { request, get } = module;
    const ask = function (...args) {
      const message = request.apply(this, args);
      if (isOn) quietly(() => followCall(core, message));
      return message;
    };
    const askAndEnd = function (...args) {
      const message = ask.apply(this, args);
      message.end();
      return message;
    };
    module.request = ask;
    module.get = askAndEnd;
    return () => {
      // Where somebody else has wrapped these since, they stay and pass calls on.
      if (module.request === ask) module.request = request;
      if (module.get === askAndEnd) module.get = get;
    };
  });
  syncBuiltinESMExports();
  return () => {
    isOn = false;
    for (const one of undo) one();
    syncBuiltinESMExports();
  };
}

/** The trace that an outbound call bears, and the capture that it is made within. */
function callTrace(given) {
  const context = currentContext();
  const trace = parseTraceparent(given) ?? (context ? childTraceparent(context.trace) : newTraceparent());
  return { trace, parent: context?.id };
}

/** Decides on a call, and captures it. */
function followCall(core, message) {
  if (!core.letsHttp(message.method, message.path)) return;
  const given = message.getHeader('traceparent');
  const cause = callTrace(given);
  if (given === undefined && !message.headersSent) message.setHeader('traceparent', cause.trace);
  follow(new Call(core, message, cause));
}

/** A call under way. It begins with its head: until then the app may set headers. */
class Call extends OutgoingFollower {
  #cause;
  #halves;
  #hasDecided = false;
  #error;

  constructor(core, message, cause) {
    super(core, message);
    this.#cause = cause;
  }

  onBody(data, encoding) {
    this.#halves?.request.body(data, encoding);
  }

  onHead() {
    const { message } = this;
    if (this.#hasDecided || !message.headersSent) return;
    this.#hasDecided = true;
    const { length, ...head } = sentHead(message);
    this.#halves = this.core.begin({
      dir: 'out',
      proto: 'http/1.1',
      method: message.method,
      url: urlOf(message),
      ...head,
      ...this.#cause,
    });
    if (this.#halves) this.#halves.request.expected = length;
  }

  onEvent(event, first) {
    const { request, response } = this.#halves ?? {};
    if (!request) return;
    switch (event) {
      case 'finish':
        request.end(sentTrailers(this.message));
        break;
      case 'response':
        this.#answer(first);
        break;
      case 'upgrade':
      case 'connect':
        // What flows behind the heads is left alone.
        this.#respond(first);
        request.end();
        response.end();
        break;
      case 'error':
        this.#error = first?.code ?? first?.message;
        break;
      case 'close':
        request.abandon(this.#error ?? "connection closed before the body's end");
        if (!response.hasBegun) response.fail(this.#error ?? 'connection closed before the response');
        break;
    }
  }

  #respond(message) {
    const { length, ...head } = receivedHead(message);
    const { response } = this.#halves;
    response.expected = this.message.method === 'HEAD' ? undefined : length;
    response.respond(message.statusCode, head);
  }

  #answer(message) {
    this.#respond(message);
    const { response } = this.#halves;
    follow(new Answer(this.core, message, response, this));
  }

  get error() {
    return this.#error;
  }
}

/** Follows a call's response. */
class Answer extends IncomingFollower {
  #call;

  constructor(core, message, half, call) {
    super(core, message, half);
    this.#call = call;
  }

  onBreak() {
    this.half.abandon(this.#call.error ?? "connection closed before the body's end");
  }
}

/** The URL of a call, absolute. */
function urlOf(message) {
  const host = message.getHeader('host') ?? message.host;
  return message.path.startsWith('/') ? `${message.protocol}//${host}${message.path}` : message.path;
}

module.exports = { instrumentClient, callTrace };
