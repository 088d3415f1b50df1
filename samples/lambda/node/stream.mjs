// Streams its answers behind a function URL.
import { Emitter } from 'reassemble-emitter';

const emitter = Emitter.fromEnv();
const fetch = emitter.wrapFetch();

export const handler = emitter.lambda(
  awslambda.streamifyResponse(async (event, responseStream) => {
    const path = event.rawPath;
    console.info(`asked for\n  ${path}`);
    if (path === '/call') {
      // Asks whoever is named: the call shares this invocation's trace.
      const called = await fetch(event.queryStringParameters.to, { method: 'POST', body: 'called' });
      const stream = begin(responseStream, 'text/plain');
      for await (const piece of called.body) stream.write(piece);
      stream.end();
      return;
    }
    const body = Buffer.from(event.body, 'base64');
    const stream = begin(responseStream, event.headers['content-type']);
    stream.write(body.subarray(0, 100));
    if (path === '/break') throw new RangeError('no more');
    stream.end(body.subarray(100));
  }),
);

/** A response with two cookies. */
function begin(responseStream, type) {
  return awslambda.HttpResponseStream.from(responseStream, {
    statusCode: 200,
    headers: { 'content-type': type },
    cookies: ['visit=1', 'seen=2'],
  });
}
