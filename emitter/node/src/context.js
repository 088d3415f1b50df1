'use strict';
// The capture within which code runs, so that what it calls knows its cause. It follows promises, timers and callbacks.

const { AsyncLocalStorage } = require('node:async_hooks');

const storage = new AsyncLocalStorage();

/**
 * The inbound request within which the calling code runs.
 * @returns {{id: string | undefined, trace: string} | undefined} `id` is undefined where this request is not captured; `trace` is its traceparent
 */
function currentContext() {
  return storage.getStore();
}

/** Runs work within a context. */
function within(context, work, ...args) {
  return storage.getStore() === context ? work(...args) : storage.run(context, work, ...args);
}

module.exports = { currentContext, within };
