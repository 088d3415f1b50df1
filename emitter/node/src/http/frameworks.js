'use strict';
// Inbound HTTP by the frameworks' own means.

const { serve } = require('./server.js');

/** An Express middleware; without a core it does nothing. */
function expressMiddleware(core, options) {
  return function capture(request, response, next) {
    if (core) serve(core, options, request, response, next);
    else next();
  };
}

/** A Fastify plugin; without a core it does nothing. */
function fastifyPlugin(core, options) {
  function capture(instance, _, done) {
    if (core) {
      instance.addHook('onRequest', (request, reply, next) => {
        serve(core, options, request.raw, reply.raw, next, request.routeOptions?.url);
      });
    }
    done();
  }
  // What the plugin hooks into is its parent, not a scope of its own.
  capture[Symbol.for('skip-override')] = true;
  capture[Symbol.for('fastify.display-name')] = 'reassemble-emitter';
  return capture;
}

module.exports = { expressMiddleware, fastifyPlugin };
