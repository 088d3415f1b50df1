// The same from CommonJS.
import emitters = require('reassemble-emitter');

const emitter: emitters.Emitter = new emitters.Emitter({ output: 'off' });
emitter.begin('x', 'x', 'x://x').finish();
