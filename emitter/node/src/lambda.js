'use strict';
// Lambda handlers: events of API Gateway (both versions), load balancers and function URLs as the HTTP requests that they are, any other event as `lambda`.
//
// A function is frozen once it has answered, so what was captured is written before.

const { Capture } = require('./capture.js');
const { followStream, isResponseStream } = require('./lambda-stream.js');
const { quietly } = require('./quietly.js');

/** A handler whose events are captured; it keeps its way of answering, by a promise, a callback or a stream. */
function wrapHandler(core, handler, flush) {
  const start = (event, context) => quietly(() => begin(core, event, context));
  const settle = (finish) => {
    quietly(finish);
    return flush();
  };

  function byCallback(event, context, callback) {
    if (isResponseStream(context)) return byStream.apply(this, arguments);
    const invocation = start(event, context);
    if (!invocation) return handler.call(this, event, context, callback);
    const answer = (error, value) =>
      settle(() => (error === undefined || error === null ? invocation.finish(value) : invocation.fail(error))).then(() => callback(error, value));
    return invocation.run(() => handler.call(this, event, context, answer));
  }

  async function byPromise(event, context) {
    if (isResponseStream(context)) return byStream.apply(this, arguments);
    const invocation = start(event, context);
    if (!invocation) return handler.call(this, event, context);
    return settled(invocation, async () => {
      const answer = await invocation.run(() => handler.call(this, event, context));
      return [answer, () => invocation.finish(answer)];
    });
  }

  async function byStream(event, stream, context) {
    const invocation = start(event, context);
    if (!invocation) return handler.call(this, event, stream, context);
    const ended = quietly(() => invocation.follow(stream));
    return settled(invocation, async () => {
      const ignored = await invocation.run(() => handler.call(this, event, stream, context));
      // The handler may be done before its stream is; Lambda waits for that too.
      const isWhole = await ended;
      return [ignored, () => invocation.finishStream(isWhole)];
    });
  }

  /** What `work` answers or throws, once all that was captured is written; with the answer it gives what ends the capture. */
  async function settled(invocation, work) {
    let done;
    try {
      done = await work();
    } catch (error) {
      await settle(() => invocation.fail(error));
      throw error;
    }
    const [answer, finish] = done;
    await settle(finish);
    return answer;
  }

  // By marks on a handler the runtime knows one that streams.
  return Object.assign(handler.length >= 3 ? byCallback : byPromise, handler);
}

/** Begins the capture of an event; undefined where filters leave it out. */
function begin(core, event, context) {
  const tags = context?.awsRequestId === undefined ? undefined : { aws_request_id: context.awsRequestId };
  const http = httpOf(event);
  if (!http) {
    const url = `lambda://${context?.functionName ?? ''}`;
    const headers = [['content-type', 'application/json']];
    const capture = new Capture(core, 'lambda', 'invoke', url, { dir: 'in', headers, tags });
    capture.requestBody(JSON.stringify(event) ?? '');
    return new Invocation(capture, false);
  }
  if (!core.letsHttp(http.method, http.path)) return undefined;
  const { headers, peer } = http;
  const trace = headers.find(([name]) => name.toLowerCase() === 'traceparent')?.[1];
  const capture = new Capture(core, 'http/1.1', http.method, http.url, { dir: 'in', headers, peer, trace, tags });
  capture.requestBody(bodyOf(event));
  return new Invocation(capture, true);
}

/** An event under way. */
class Invocation {
  #capture;
  #isHttp;

  constructor(capture, isHttp) {
    // A function whose time is over has no other end: what it was asked is written while it works.
    capture.endRequest();
    this.#capture = capture;
    this.#isHttp = isHttp;
  }

  run(work) {
    return this.#capture.run(work);
  }

  /** Ends with an answer. */
  finish(answer) {
    const capture = this.#capture;
    if (this.#isHttp && Number.isInteger(Number(answer?.statusCode ?? NaN))) {
      capture.respond(Number(answer.statusCode), headersOf(answer));
      capture.responseBody(bodyOf(answer));
    } else {
      // An answer without a status is JSON, and of an HTTP event the gateway says 200.
      capture.respond(this.#isHttp ? 200 : 'OK', [['content-type', 'application/json']]);
      capture.responseBody(answer === undefined ? '' : JSON.stringify(answer));
    }
    capture.finish();
  }

  /** Ends with what the handler threw. */
  fail(error) {
    // What it says may hold anything of the event.
    this.#capture.error([error?.name ?? 'error', error?.code].filter((word) => typeof word === 'string').join(': '));
    this.#capture.finish();
  }

  /** Follows the stream that takes the response. */
  follow(stream) {
    const capture = this.#capture;
    return followStream(stream, {
      onHead: (metadata, contentType) => {
        if (metadata) capture.respond(Number(metadata.statusCode ?? 200), headersOf(metadata));
        else capture.respond(this.#isHttp ? 200 : 'OK', [['content-type', contentType]]);
      },
      onBody: (piece) => capture.responseBody(piece),
    });
  }

  /** Ends with what was streamed. */
  finishStream(isWhole) {
    if (isWhole === false) this.#capture.error("stream closed before the body's end");
    this.#capture.finish();
  }
}

/** What an event tells of an HTTP request; undefined where it is none. */
function httpOf(event) {
  const { requestContext } = event ?? {};
  if (!requestContext) return undefined;
  if (requestContext.http) {
    const { method, sourceIp } = requestContext.http;
    const headers = [...pairsOf(event), ...cookies(event.cookies?.length ? [event.cookies.join('; ')] : [], 'cookie')];
    const query = event.rawQueryString ? `?${event.rawQueryString}` : '';
    return request({ method, path: event.rawPath, query, headers, peer: sourceIp });
  }
  if (typeof event.httpMethod !== 'string') return undefined;
  // A load balancer hands parameters over as they came, a gateway decoded.
  const encode = requestContext.elb ? String : encodeURIComponent;
  const parameters = Object.entries(event.multiValueQueryStringParameters ?? event.queryStringParameters ?? {});
  const fields = parameters.flatMap(([name, values]) => [values].flat().map((value) => `${encode(name)}=${encode(value)}`));
  return request({
    method: event.httpMethod,
    path: requestContext.path ?? event.path,
    query: fields.length ? `?${fields.join('&')}` : '',
    headers: pairsOf(event),
    peer: requestContext.identity?.sourceIp ?? forwardedFor(pairsOf(event)),
  });
}

/** The address that the load balancer saw; what stands before it any client may have written. */
function forwardedFor(headers) {
  const all = headers.find(([name]) => name.toLowerCase() === 'x-forwarded-for')?.[1];
  return all?.split(',').pop().trim();
}

function request({ method, path, query, headers, peer }) {
  const value = (wanted) => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  const host = value('host');
  const target = `${path}${query}`;
  const url = host === undefined ? target : `${value('x-forwarded-proto') ?? 'https'}://${host}${target}`;
  return { method, path, url, headers, peer };
}

/** Headers of an event or an answer, as pairs. */
function pairsOf({ headers, multiValueHeaders }) {
  const all = Object.entries({ ...headers, ...multiValueHeaders });
  return all.flatMap(([name, values]) => [values].flat().map((value) => [name, String(value)]));
}

/** Headers of an answer, or of a stream's metadata. */
const headersOf = (answer) => [...pairsOf(answer), ...cookies(answer.cookies, 'set-cookie')];

const cookies = (values, name) => (values ?? []).map((value) => [name, String(value)]);

function bodyOf({ body, isBase64Encoded }) {
  if (body === undefined || body === null) return '';
  return isBase64Encoded ? Buffer.from(body, 'base64') : String(body);
}

module.exports = { wrapHandler };
