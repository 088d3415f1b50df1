// Takes orders off a queue; a batch with one that is no JSON fails whole.
import { Emitter } from 'reassemble-emitter';

const emitter = Emitter.fromEnv();

export const handler = emitter.lambda(async (event) => {
  for (const message of event.Records) {
    const order = JSON.parse(message.body);
    console.info(`${order.qty}\n  of ${order.item}`);
  }
  return { batchItemFailures: [] };
});
