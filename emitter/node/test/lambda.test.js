'use strict';
// Lambda handlers, with events as the services send them.

const assert = require('node:assert');
const http = require('node:http');
const { test } = require('node:test');

const { currentContext } = require('../index.js');
const { keeping, listen } = require('./captured.js');
const { awslambda, openResponseStream, STREAMING } = require('./response-stream.js');

const CONTEXT = { awsRequestId: 'r-1', functionName: 'shop' };
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** What a handler answers to an event, and the one capture of it, which must be written by then. */
async function invoked(handler, event, settings) {
  const { emitter, read } = keeping(settings);
  const answer = await emitter.lambda(handler)(event, CONTEXT);
  assert.strictEqual(emitter.counts().finished, 1);
  return { answer, ...read().captures[0] };
}

test('API Gateway v2 and function URLs', async () => {
  const event = {
    version: '2.0',
    rawPath: '/items/7',
    rawQueryString: 'token=x&a=%20',
    cookies: ['a=1', 'b=2'],
    headers: { host: 'shop.test', 'content-type': 'application/json', traceparent: TRACE },
    requestContext: { http: { method: 'POST', path: '/items/7', sourceIp: '203.0.113.9' } },
    body: Buffer.from('{"password":"x"}').toString('base64'),
    isBase64Encoded: true,
  };
  let context;
  const handler = async () => {
    context = currentContext();
    return { statusCode: 201, headers: { 'content-type': 'text/plain' }, cookies: ['c=3'], body: 'made' };
  };
  const { answer, id, req, res } = await invoked(handler, event);
  assert.deepStrictEqual([answer.body, context], ['made', { id, trace: TRACE }]);
  const { dir, proto, method, url, peer, trace, tags } = req.head;
  assert.deepStrictEqual(
    [dir, proto, method, url, peer, trace, tags],
    ['in', 'http/1.1', 'POST', 'https://shop.test/items/7?token=[redacted]&a=%20', '203.0.113.9', TRACE, { aws_request_id: 'r-1' }],
  );
  assert.deepStrictEqual([req.text, req.header('cookie')], ['{"password":"[redacted]"}', ['[redacted]']]);
  assert.deepStrictEqual([res.head.status, res.text, res.header('set-cookie')], [201, 'made', ['[redacted]']]);
});

test('an answer of version 2 without a status is JSON', async () => {
  const event = { version: '2.0', rawPath: '/', rawQueryString: '', headers: {}, requestContext: { http: { method: 'GET' } } };
  const { req, res } = await invoked(async () => ({ tea: 1 }), event);
  assert.deepStrictEqual([req.head.url, res.head.status, res.text], ['/', 200, '{"tea":1}']);
});

test('API Gateway v1 and load balancers', async () => {
  const event = {
    httpMethod: 'GET',
    path: '/items',
    multiValueQueryStringParameters: { q: ['a b', 'c'] },
    multiValueHeaders: { Host: ['shop.test'], 'X-Forwarded-Proto': ['http'], 'X-Two': ['1', '2'] },
    requestContext: { path: '/prod/items', identity: { sourceIp: '203.0.113.9' } },
    body: null,
  };
  const handler = async () => ({ statusCode: 200, multiValueHeaders: { 'X-Out': ['1', '2'] }, body: Buffer.from([0xff]).toString('base64'), isBase64Encoded: true });
  const gateway = await invoked(handler, event);
  assert.deepStrictEqual([gateway.req.head.url, gateway.req.header('x-two')], ['http://shop.test/prod/items?q=a%20b&q=c', ['1', '2']]);
  assert.deepStrictEqual([gateway.res.body, gateway.res.header('x-out')], [Buffer.from([0xff]), ['1', '2']]);
  const balancer = await invoked(handler, {
    ...event,
    multiValueQueryStringParameters: undefined,
    queryStringParameters: { q: 'a%20b' },
    multiValueHeaders: { ...event.multiValueHeaders, 'X-Forwarded-For': ['6.6.6.6, 203.0.113.10'] },
    requestContext: { elb: { targetGroupArn: 'arn' } },
  });
  assert.deepStrictEqual([balancer.req.head.url, balancer.req.head.peer], ['http://shop.test/items?q=a%20b', '203.0.113.10']);
});

test('any other event, answered by a promise, a callback or an error', async () => {
  const event = { Records: [{ body: 'x', secret: 'y' }] };
  const { req, res } = await invoked(async () => 'done', event);
  assert.deepStrictEqual([req.head.proto, req.head.method, req.head.url], ['lambda', 'invoke', 'lambda://shop']);
  assert.deepStrictEqual([req.text, res.head.status, res.text], ['{"Records":[{"body":"x","secret":"[redacted]"}]}', 'OK', '"done"']);

  const { emitter, read } = keeping();
  const called = emitter.lambda((_, context, callback) => setTimeout(() => callback(null, context.functionName), 1));
  assert.strictEqual(await new Promise((resolve) => called(event, CONTEXT, (_, answer) => resolve(answer))), 'shop');
  assert.strictEqual(read().captures[0].res.text, '"shop"');

  const fault = new RangeError('no tea');
  await assert.rejects(emitter.lambda(async () => Promise.reject(fault))(event, CONTEXT), fault);
  assert.strictEqual(read().captures[1].res.tail.error, 'RangeError');
});

test('what was asked is written though a function whose time is over never answers', async () => {
  const { emitter, read } = keeping();
  void emitter.lambda(() => new Promise(() => {}))({ order: 7 }, CONTEXT);
  await emitter.flush(30_000);
  const [{ req, res }] = read().captures;
  assert.deepStrictEqual([req.text, res], ['{"order":7}', undefined]);
});

test('what filters leave out is answered all the same', async () => {
  const { emitter } = keeping({ skipPaths: ['/health'] });
  const event = { rawPath: '/health', headers: {}, requestContext: { http: { method: 'GET' } } };
  assert.strictEqual(await emitter.lambda(async () => 'fine')(event, CONTEXT), 'fine');
  assert.strictEqual(emitter.counts().begun, 0);
});

const FUNCTION_URL = {
  version: '2.0',
  rawPath: '/',
  headers: { host: 'f.test' },
  requestContext: { http: { method: 'GET' } },
};

/** A Runtime API that takes streamed responses; gives its port, and what has come. */
async function runtimeApi(t) {
  const pieces = [];
  const came = { text: () => Buffer.concat(pieces).toString('latin1') };
  came.first = new Promise((resolve) => (came.onFirst = resolve));
  came.whole = new Promise((resolve) => (came.onWhole = resolve));
  const server = http.createServer((request, response) => {
    came.type = request.headers['content-type'];
    request.on('data', (piece) => {
      pieces.push(piece);
      came.onFirst();
    });
    request.on('end', () => {
      response.end();
      came.onWhole();
    });
  });
  came.port = await listen(t, server);
  return came;
}

test('a response that is streamed, with its metadata', async (t) => {
  const came = await runtimeApi(t);
  const { emitter, read } = keeping();
  const given = [];
  const handler = emitter.lambda(
    awslambda.streamifyResponse(async (event, responseStream, context) => {
      given.push(context, currentContext());
      const metadata = { statusCode: 201, headers: { 'content-type': 'text/plain' }, cookies: ['a=1', 'b=2'] };
      const stream = awslambda.HttpResponseStream.from(responseStream, metadata);
      stream.write('one ');
      // A piece is with the client before there is a next one.
      await came.first;
      stream.write(Buffer.from('two '));
      stream.write('c3a9', 'hex');
      stream.end(' end');
    }),
  );
  assert.deepStrictEqual([handler[STREAMING], handler.length], ['response', 3]);
  await handler(FUNCTION_URL, openResponseStream(came.port), CONTEXT);
  await came.whole;
  assert.strictEqual(emitter.counts().finished, 1);
  const [{ id, req, res }] = read().captures;
  assert.deepStrictEqual([given[0], given[1].id], [CONTEXT, id]);
  assert.deepStrictEqual([req.head.url, req.head.tags], ['https://f.test/', { aws_request_id: 'r-1' }]);
  assert.deepStrictEqual([res.head.status, res.text, res.tail.error], [201, 'one two \u00e9 end', undefined]);
  assert.deepStrictEqual([res.header('content-type'), res.header('set-cookie')], [['text/plain'], ['[redacted]', '[redacted]']]);
  const metadata = '{"statusCode":201,"headers":{"content-type":"text/plain"},"cookies":["a=1","b=2"]}';
  assert.strictEqual(came.text(), `${metadata}${'\0'.repeat(8)}one two \u00c3\u00a9 end`);
  assert.strictEqual(came.type, 'application/vnd.awslambda.http-integration-response');
});

test('a response that is streamed without metadata, whichever way the handler is wrapped', async (t) => {
  const wraps = [(emitter, handler) => emitter.lambda(awslambda.streamifyResponse(handler)), (emitter, handler) => awslambda.streamifyResponse(emitter.lambda(handler))];
  const handlers = [
    async (_, stream, context) => {
      stream.setContentType('application/json');
      stream.write({ secret: 'x' });
      stream.write(`\n"${context.functionName}"`);
      // The stream goes on when the handler is done.
      setTimeout(() => stream.end(), 5);
    },
    async (_, stream) => {
      stream.setContentType('application/json');
      stream.write('{"secret":"x"}\n"shop"');
      stream.end();
    },
  ];
  for (const wrap of wraps) {
    for (const handler of handlers) {
      const came = await runtimeApi(t);
      const { emitter, read } = keeping();
      await wrap(emitter, handler)({ order: 7 }, openResponseStream(came.port), CONTEXT);
      const [{ req, res }] = read().captures;
      assert.deepStrictEqual([req.head.proto, req.head.url, req.text], ['lambda', 'lambda://shop', '{"order":7}']);
      assert.deepStrictEqual([res.head.status, res.text], ['OK', '{"secret":"[redacted]"}\n"shop"']);
      assert.deepStrictEqual(res.header('content-type'), ['application/json']);
    }
  }
});

test('a handler that streams more than is captured, none, or fails on its way', async (t) => {
  const { port } = await runtimeApi(t);
  const { emitter, read } = keeping({ bodyLimit: 4 });
  const streamed = (work) => emitter.lambda(awslambda.streamifyResponse(work))(FUNCTION_URL, openResponseStream(port), CONTEXT);
  const fault = new RangeError('no tea');

  await streamed(async (_, stream) => stream.end('12345678'));
  await streamed(async (_, stream) => stream.end());
  await assert.rejects(
    streamed(async (_, stream) => {
      stream.write('123');
      throw fault;
    }),
    fault,
  );
  await assert.rejects(streamed(() => Promise.reject(fault)), fault);
  await streamed(async (_, stream) => {
    stream.write('12');
    stream.destroy();
  });

  const told = read().captures.map(({ res: { head, text, tail } }) => [head.status, text, tail.truncated, tail.error]);
  assert.deepStrictEqual(told, [
    [200, '1234', true, undefined],
    [200, '', undefined, undefined],
    [200, '123', true, 'RangeError'],
    [undefined, '', true, 'RangeError'],
    [200, '12', true, "stream closed before the body's end"],
  ]);
});
