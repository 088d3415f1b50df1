'use strict';
// What a service asks of PostgreSQL through node-postgres.
//
// A capture's request is `{"statement": …, "parameters": …}`, with the `name` of a prepared one; its response the rows as objects by the names of their columns, with
// the values that `pg` reads. Of what streams its rows (`pg-cursor`, `pg-query-stream`, a `Query` of the app's) the statement alone is captured.

const { AsyncResource } = require('node:async_hooks');

const { JsonCall, jsonOf } = require('./json-call.js');
const { quietly } = require('./quietly.js');

const SUCCESS = '00000';

/** Clients and pools that are captured already, by emitter. */
const captured = new WeakMap();

/** Has the statements of a client, or of a pool's clients, captured. */
function instrumentPostgres(core, target) {
  const known = captured.get(core) ?? new WeakSet();
  captured.set(core, known);
  if (known.has(target)) return;
  known.add(target);
  if (isPool(target)) followPool(core, target);
  else followClient(core, target);
}

const isPool = (target) => typeof target.totalCount === 'number';

function followPool(core, pool) {
  const { connect } = pool;
  pool.connect = function (done) {
    // A pool calls back within the request that gave the client back.
    return typeof done === 'function' ? connect.call(this, AsyncResource.bind(done)) : connect.call(this);
  };
  for (const client of pool._clients ?? []) instrumentPostgres(core, client);
  pool.on('connect', (client) => quietly(() => instrumentPostgres(core, client)));
}

function followClient(core, client) {
  const { query } = client;
  client.query = function (config, values, callback) {
    const call = quietly(() => begin(core, client, config, values));
    if (!call || typeof config.submit === 'function') return query.apply(this, arguments);
    const args = [config, values, callback];
    const at = args.findIndex((argument) => typeof argument === 'function');
    if (at >= 0) args[at] = reporting(call, args[at]);
    else if (typeof config.callback === 'function') args[0] = { ...config, callback: reporting(call, config.callback) };
    let result;
    try {
      result = query.apply(this, args);
    } catch (error) {
      fail(call, error);
      throw error;
    }
    if (typeof result?.then !== 'function') return result;
    return result.then(
      (answered) => {
        answer(call, answered);
        return answered;
      },
      (error) => {
        fail(call, error);
        throw error;
      },
    );
  };
}

/** A callback that tells a call first. */
function reporting(call, callback) {
  return function (error, result) {
    if (error) fail(call, error);
    else answer(call, result);
    return callback.apply(this, arguments);
  };
}

function begin(core, { host, port, database }, config, values) {
  const isSubmittable = typeof config.submit === 'function';
  const url = `postgres://${host}:${port}/${database}`;
  const call = new JsonCall(core, { proto: 'postgres', method: 'query', url, oneway: isSubmittable });
  if (call.isCaptured) call.ask(statement(isSubmittable ? (config.cursor ?? config) : config, values));
  return call;
}

function* statement(config, values) {
  const isText = typeof config === 'string';
  yield jsonOf(
    {
      statement: isText ? config : config.text,
      name: isText ? undefined : config.name,
      parameters: Array.isArray(values) ? values : config.values,
    },
    hex,
  );
}

function answer(call, result) {
  if (!call.isCaptured) return;
  // Of several statements in one text the last one's rows are taken.
  const last = Array.isArray(result) ? result[result.length - 1] : result;
  call.answer(SUCCESS, last?.fields?.length ? rows(last) : []);
}

function* rows({ rows: all, fields }) {
  let lead = '[';
  for (const row of all) {
    const named = Array.isArray(row) ? Object.fromEntries(fields.map(({ name }, at) => [name, row[at]])) : row;
    yield lead + jsonOf(named, hex);
    lead = ',';
  }
  yield all.length > 0 ? ']' : '[]';
}

/** Bytes as PostgreSQL writes them. */
function hex(bytes) {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`;
}

/** An error's message may hold what was asked, and so is not captured. */
function fail(call, error) {
  const code = typeof error?.code === 'string' ? error.code : undefined;
  // Errors of the server have a severity, and an SQLSTATE for their code.
  call.fail(error?.severity === undefined ? undefined : code, code ?? error?.name ?? 'error');
}

module.exports = { instrumentPostgres };
