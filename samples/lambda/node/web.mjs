// Answers HTTP, whether an API Gateway, a load balancer or a function URL sends the event.
import { Emitter } from 'reassemble-emitter';

const emitter = Emitter.fromEnv();
const fetch = emitter.wrapFetch();

export const handler = emitter.lambda(async (event) => {
  const path = event.rawPath ?? event.path;
  console.info(`asked for\n  ${path}`);
  if (path.endsWith('/call')) {
    // Asks whoever is named: the call shares this invocation's trace.
    const called = await fetch(event.queryStringParameters.to, { method: 'POST', body: 'called' });
    return answer(event, 'text/plain', Buffer.from(await called.arrayBuffer()));
  }
  return answer(event, contentType(event), Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8'));
});

/** The event's content type; a load balancer may give headers as lists alone. */
function contentType(event) {
  const headers = Object.entries(event.multiValueHeaders ?? event.headers);
  const [, value] = headers.find(([name]) => name.toLowerCase() === 'content-type') ?? [];
  return [value].flat()[0] ?? 'text/plain';
}

/** Two cookies, in the form that the event's sender takes. */
function answer(event, type, data) {
  const answered = { statusCode: 200, body: data.toString('base64'), isBase64Encoded: true };
  const cookies = ['visit=1', 'seen=2'];
  return event.multiValueHeaders
    ? { ...answered, multiValueHeaders: { 'content-type': [type], 'set-cookie': cookies } }
    : { ...answered, headers: { 'content-type': type }, cookies };
}
