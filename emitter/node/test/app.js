'use strict';
// An app that tests start as a process of its own: captures as many queries as it is told, with bodies of so many bytes, and ends as it is told.

const { Emitter } = require('../index.js');

const [ending, count, size] = process.argv.slice(2);
const emitter = Emitter.fromEnv();

for (let n = 0; n < Number(count); n++) {
  const query = emitter.begin('postgres', 'query', `postgres://db/${n}`);
  query.requestBody('r'.repeat(Number(size)));
  query.respond('00000');
  query.finish();
}

if (ending === 'exit') process.exit(3);
if (ending === 'throw') throw new Error('the app failed');
// The background writes first, as in an app that goes on for a while.
if (ending === 'later') setTimeout(() => process.exit(3), 100);
