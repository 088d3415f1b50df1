'use strict';
// The emitter: the handle by which an app captures, and that ends with it.

const { Capture } = require('./capture.js');
const { Core } = require('./core.js');
const { instrumentClient } = require('./http/client.js');
const { wrapFetch } = require('./http/fetch.js');
const { expressMiddleware, fastifyPlugin } = require('./http/frameworks.js');
const { instrumentServer, wrapListener } = require('./http/server.js');
const { wrapHandler } = require('./lambda.js');
const { instrumentPostgres } = require('./postgres.js');
const { instrumentRedis } = require('./redis.js');
const { environmentLayer, resolveSettings, SettingsError } = require('./settings.js');

/** How long the end of the process, and calls without a patience of their own, wait for the output. */
const PATIENCE_MS = 2000;

/** Emitters to be ended with the process. */
const emitters = new Set();

function endAll() {
  const deadline = performance.now() + PATIENCE_MS;
  for (const core of emitters) {
    core.queue.close();
    core.writer.endSync(deadline);
  }
}

/**
 * Takes captures and writes them in the background: the app never waits, and no fault of the emitter's reaches it.
 *
 * At the process's end what is queued is written, for two seconds at most, and what is open ends with the error `shutdown`.
 */
class Emitter {
  #core;

  /**
   * An emitter of settings, of several layers of them where one is not enough: later ones win, lists grow.
   * @param {...import('../index.js').Settings} layers
   * @throws {SettingsError} where a value is none that a setting can have, or the output can't be opened
   */
  constructor(...layers) {
    const settings = resolveSettings(layers);
    if (settings.output === 'off') return;
    try {
      this.#core = new Core(settings);
    } catch (cause) {
      throw new SettingsError(`the output ${settings.output} can't be opened: ${cause.message}`, { cause });
    }
    if (emitters.size === 0) process.on('exit', endAll);
    emitters.add(this.#core);
  }

  /**
   * An emitter that the environment sets up (`CAPTURE_…`), over settings by code where there are any.
   * @param {import('../index.js').Settings} [settings]
   * @param {Record<string, string | undefined>} [environment] `process.env` unless given
   * @throws {SettingsError} as the constructor; it names the variable
   */
  static fromEnv(settings = {}, environment = process.env) {
    return new Emitter(settings, environmentLayer(environment));
  }

  /** An emitter that captures nothing. */
  static disabled() {
    return new Emitter({ output: 'off' });
  }

  /**
   * Begins a capture of anything that no integration sees: `proto` is the protocol (`postgres`, `kafka`, …), `method` the operation, `url` the target.
   * @param {string} proto
   * @param {string} method
   * @param {string} url
   * @param {import('../index.js').BeginOptions} [options]
   */
  begin(proto, method, url, options) {
    return new Capture(this.#core, proto, method, url, options ?? {});
  }

  /**
   * Captures what a `node:http`, `node:https` or (by its compatibility API) `node:http2` server is asked and answers.
   * @param {import('node:http').Server} server
   * @param {import('../index.js').ServerOptions} [options]
   * @returns the server
   */
  instrument(server, options = {}) {
    if (this.#core) instrumentServer(this.#core, server, options);
    return server;
  }

  /** A request listener whose requests are captured: `http.createServer(emitter.listener((req, res) => …))`. */
  listener(listener, options = {}) {
    return this.#core ? wrapListener(this.#core, listener, options) : listener;
  }

  /** An Express middleware. Put it first, so that it sees what clients see. */
  express(options = {}) {
    return expressMiddleware(this.#core, options);
  }

  /** A Fastify plugin: `fastify.register(emitter.fastify())`, before what is to be captured. */
  fastify(options = {}) {
    return fastifyPlugin(this.#core, options);
  }

  /**
   * A Lambda handler whose events are captured, by promise, callback or stream; what is captured is written before it answers. Events of API Gateway, load balancers
   * and function URLs are captured as HTTP, any other as `lambda`.
   */
  lambda(handler) {
    return this.#core ? wrapHandler(this.#core, handler, () => this.flush()) : handler;
  }

  /** A `fetch` whose calls are captured; the global one unless another is given. */
  wrapFetch(fetch = globalThis.fetch) {
    return this.#core ? wrapFetch(this.#core, fetch) : fetch;
  }

  /**
   * Captures what the process asks of others through `node:http` and `node:https`, whichever library does, from now on.
   * @returns {() => void} undoes it
   */
  instrumentHttp() {
    return this.#core ? instrumentClient(this.#core) : () => {};
  }

  /**
   * Captures the statements of a node-postgres client, or of a pool's clients.
   * @returns the same client or pool
   */
  instrumentPostgres(target) {
    if (this.#core) instrumentPostgres(this.#core, target);
    return target;
  }

  /**
   * Captures the commands of an ioredis client, those of its pipelines too.
   * @returns the same client
   */
  instrumentRedis(client) {
    if (this.#core) instrumentRedis(this.#core, client);
    return client;
  }

  /** Waits until all that was captured so far is written, at most `patienceMs` milliseconds; false where that was not enough. */
  flush(patienceMs = PATIENCE_MS) {
    if (!this.#core) return Promise.resolve(true);
    return patiently(patienceMs, (done) => this.#core.writer.whenIdle(done));
  }

  /** Opens the output's file again, after it was renamed away; any other output goes on. */
  reopen() {
    this.#core?.writer.reopen();
  }

  /**
   * Ends the emitter: nothing new is captured, and what is open ends with the error `shutdown`. Waits for the output at most `patienceMs` milliseconds; false
   * where that was not enough. What is not written by then still is, if the process goes on.
   */
  shutdown(patienceMs = PATIENCE_MS) {
    const core = this.#core;
    if (!core) return Promise.resolve(true);
    core.queue.close();
    core.ending ??= new Promise((resolve) => {
      core.writer.end(() => {
        emitters.delete(core);
        if (emitters.size === 0) process.off('exit', endAll);
        resolve();
      });
    });
    return patiently(patienceMs, (done) => core.ending.then(done));
  }

  /** What happened so far. */
  counts() {
    return this.#core ? { ...this.#core.counters } : { begun: 0, finished: 0, dropped: 0, sampledOut: 0, lostLines: 0 };
  }
}

/** Whether work calls back in time. The process stays alive meanwhile. */
function patiently(patienceMs, work) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), patienceMs);
    work(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

module.exports = { Emitter };
