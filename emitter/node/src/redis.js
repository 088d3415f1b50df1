'use strict';
// What a service asks of Redis through ioredis.
//
// A capture's method is the command, its request the arguments as a JSON list, its response the reply as JSON. The commands of a pipeline or transaction are captured
// each; subscriptions, and what the library itself asks when it connects, are not.

const { JsonCall, jsonOf } = require('./json-call.js');
const { quietly } = require('./quietly.js');

/** Commands whose arguments and replies hold secrets. */
const SECRET = new Set(['AUTH', 'HELLO', 'ACL', 'CONFIG', 'MIGRATE']);
const SUBSCRIBING = /^(?:[PS]?(?:UN)?SUBSCRIBE|MONITOR)$/;
/** What ioredis asks before a connection is ready. */
const HANDSHAKE = new Set(['AUTH', 'HELLO', 'SELECT', 'INFO', 'CLIENT', 'READONLY']);

/** Clients that are captured already, by emitter. */
const captured = new WeakMap();

/** Has the commands of a client captured. */
function instrumentRedis(core, client) {
  const known = captured.get(core) ?? new WeakSet();
  captured.set(core, known);
  if (known.has(client)) return;
  known.add(client);
  // A command that waited for the connection, or is sent again after one broke, passes here more than once.
  const sent = new WeakSet();
  const { sendCommand } = client;
  client.sendCommand = function (command) {
    quietly(() => {
      if (sent.has(command)) return;
      sent.add(command);
      follow(core, client, command);
    });
    return sendCommand.apply(this, arguments);
  };
}

function follow(core, client, command) {
  const method = command.name.toUpperCase();
  if (SUBSCRIBING.test(method) || (client.status === 'connect' && HANDSHAKE.has(method))) return;
  const call = new JsonCall(core, { proto: 'redis', method, url: urlOf(client) });
  if (!call.isCaptured) return;
  const isSecret = SECRET.has(method);
  call.ask([json(command.args)], isSecret);
  // To wait for its promise would hide from the app that nobody handles its rejection.
  const { resolve, reject } = command;
  command.resolve = function (reply) {
    resolve.call(this, reply);
    quietly(() => {
      // The promise has what the library makes of a reply; it was just resolved.
      command.promise.then(
        (made) => call.answer('OK', pieces(made), isSecret),
        (error) => call.fail(undefined, describe(error)),
      );
    });
  };
  command.reject = function (error) {
    call.fail(undefined, describe(error));
    reject.call(this, error);
  };
}

function urlOf({ options, condition }) {
  const { host, port, path, db } = options ?? {};
  const where = path ? `redis://${path}` : `redis://${host ?? 'localhost'}:${port ?? 6379}`;
  return `${where}/${condition?.select ?? db ?? 0}`;
}

const json = (value) => jsonOf(value, (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) ?? 'null';

/** A reply in pieces, so that no more of a long list is made than is captured. */
function* pieces(reply) {
  if (!Array.isArray(reply) || reply.length === 0) {
    yield json(reply);
    return;
  }
  let lead = '[';
  for (const item of reply) {
    yield lead + json(item);
    lead = ',';
  }
  yield ']';
}

/** A server's error by its code: the rest of its message may hold what was asked. */
function describe(error) {
  const name = error?.name ?? 'error';
  const [code] = /^[A-Z]+(?= |$)/.exec(error?.message ?? '') ?? [];
  return name === 'ReplyError' && code ? `${name}: ${code}` : (error?.code ?? name);
}

module.exports = { instrumentRedis };
