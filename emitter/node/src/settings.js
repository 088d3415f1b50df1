'use strict';
// Settings (C-1): layers of them, from calls and from the environment, become one checked whole. What is applied later wins; lists grow.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { Filter } = require('./filter.js');
const { Redactor } = require('./redact.js');
const { signingKey, MAX_SECRET_BYTES } = require('./sign.js');

const KIB = 1024;
const UNITS = { '': 1, KiB: KIB, MiB: KIB ** 2, GiB: KIB ** 3 };
const SIZE = /^([0-9]+)\s*(KiB|MiB|GiB)?$/;
const NUMBER = /^[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?$/;

/** Why an emitter can't be made: what is set to what, and what it can be. */
class SettingsError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'SettingsError';
  }
}

function refused(name, value, expected) {
  return new SettingsError(`${name}=${JSON.stringify(value) ?? String(value)} is not ${expected}`);
}

const text = (value, name) => {
  if (typeof value !== 'string') throw refused(name, value, 'a text');
  return value;
};

const size = (least, greatest, expected) => (value, name) => {
  const [, digits, unit = ''] = SIZE.exec(value) ?? [];
  const bytes = Number(digits) * UNITS[unit];
  if (!Number.isSafeInteger(bytes) || bytes < least || bytes > greatest) throw refused(name, value, expected);
  return bytes;
};

const number = (fits, expected) => (value, name) => {
  const read = typeof value === 'string' && NUMBER.test(value.trim()) ? Number(value) : value;
  if (typeof read !== 'number' || !fits(read)) throw refused(name, value, expected);
  return read;
};

const choice =
  (...choices) =>
  (value, name) => {
    if (!choices.includes(value)) throw refused(name, value, choices.map((one) => `\`${one}\``).join(' or '));
    return value;
  };

const onOff = (value, name) => {
  if (typeof value === 'boolean') return value;
  return choice('on', 'off')(value, name) === 'on';
};

const list = (value, name) => {
  const items = Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : [undefined];
  if (!items.every((item) => typeof item === 'string')) throw refused(name, value, 'a list of texts');
  return items.map((item) => item.trim()).filter((item) => item !== '');
};

const output = (value, name) => {
  const good = typeof value === 'function' || (typeof value === 'string' && (!value.startsWith('fd:') || /^fd:[0-9]{1,9}$/.test(value)));
  if (!good) throw refused(name, value, '`stdout`, `stderr`, `off`, `fd:N` or a path');
  return value;
};

const ANY_SIZE = size(0, Number.MAX_SAFE_INTEGER, 'a number of bytes (4096, 64KiB, 8MiB, 1GiB)');

/** Each setting: its name in calls, its variable, what it is unless set, and how its value is read. Lists have a list unless set. */
const SETTINGS = [
  ['service', 'CAPTURE_SERVICE', undefined, text],
  ['output', 'CAPTURE_OUTPUT', 'stdout', output],
  ['lineLimit', 'CAPTURE_LINE_LIMIT', 4096, size(512, 262_144, 'a number of bytes from 512 to 262144')],
  ['bodyLimit', 'CAPTURE_BODY_LIMIT', KIB ** 2, ANY_SIZE],
  ['queueLimit', 'CAPTURE_QUEUE_LIMIT', 32 * KIB ** 2, ANY_SIZE],
  ['sampleRate', 'CAPTURE_SAMPLE_RATE', 1, number((rate) => rate >= 0 && rate <= 1, 'a share from 0 to 1')],
  ['sampleBy', 'CAPTURE_SAMPLE_BY', 'trace', choice('trace', 'id')],
  [
    'rateLimit',
    'CAPTURE_RATE_LIMIT',
    undefined,
    number((limit) => limit > 0 && Number.isFinite(limit), 'a number of captures a second, above 0'),
  ],
  ['errors', 'CAPTURE_ERRORS', 'sampled', choice('sampled', 'always')],
  ['onlyMethods', 'CAPTURE_ONLY_METHODS', [], list],
  ['skipMethods', 'CAPTURE_SKIP_METHODS', [], list],
  ['onlyPaths', 'CAPTURE_ONLY_PATHS', [], list],
  ['skipPaths', 'CAPTURE_SKIP_PATHS', [], list],
  ['onlyBodyTypes', 'CAPTURE_ONLY_BODY_TYPES', [], list],
  ['skipBodyTypes', 'CAPTURE_SKIP_BODY_TYPES', [], list],
  ['redactHeaders', 'CAPTURE_REDACT_HEADERS', [], list],
  ['keepHeaders', 'CAPTURE_KEEP_HEADERS', [], list],
  ['redactNames', 'CAPTURE_REDACT_NAMES', [], list],
  ['keepNames', 'CAPTURE_KEEP_NAMES', [], list],
  ['redactBodies', 'CAPTURE_REDACT_BODIES', true, onOff],
  ['redactBuffer', 'CAPTURE_REDACT_BUFFER', 64 * KIB, ANY_SIZE],
  ['signingKey', 'CAPTURE_SIGNING_KEY', undefined, text],
  ['signingKeyFile', 'CAPTURE_SIGNING_KEY_FILE', undefined, text],
];

const NAMES = new Set(SETTINGS.map(([key]) => key));

/** The layer that an environment sets; a variable that is empty is as if it were unset. */
function environmentLayer(environment) {
  const layer = { variables: true, otelService: environment.OTEL_SERVICE_NAME || undefined };
  for (const [key, variable] of SETTINGS) layer[key] = environment[variable] || undefined;
  return layer;
}

/**
 * One checked whole of layers, the first applied first.
 * @throws {SettingsError} where a value is none that a setting can have
 */
function resolveSettings(layers) {
  const set = Object.fromEntries(SETTINGS.map(([key, , unlessSet]) => [key, unlessSet]));
  let signing;
  let otelService;
  for (const layer of layers) {
    const named = (key, variable) => (layer.variables ? variable : key);
    if (!layer.variables) refuseUnknown(layer);
    for (const [key, variable, unlessSet, read] of SETTINGS) {
      if (layer[key] === undefined) continue;
      const value = read(layer[key], named(key, variable));
      set[key] = Array.isArray(unlessSet) ? [...set[key], ...value] : value;
    }
    signing = layerKey(layer, named) ?? signing;
    otelService = layer.otelService ?? otelService;
  }
  return {
    ...set,
    service: set.service ?? otelService ?? programName(),
    host: os.hostname(),
    key: signing,
    methods: new Filter(set.onlyMethods.map(upper), set.skipMethods.map(upper)),
    paths: new Filter(set.onlyPaths, set.skipPaths),
    bodyTypes: new Filter(set.onlyBodyTypes.map(lower), set.skipBodyTypes.map(lower)),
    redactor: new Redactor(set),
  };
}

const upper = (item) => item.toUpperCase();
const lower = (item) => item.toLowerCase();

function refuseUnknown(layer) {
  for (const key of Object.keys(layer)) {
    if (!NAMES.has(key)) throw new SettingsError(`there is no setting ${key}`);
  }
}

/** The key that a layer signs with; undefined where it sets none. */
function layerKey(layer, named) {
  const { signingKey: secret, signingKeyFile: file } = layer;
  const secretName = named('signingKey', 'CAPTURE_SIGNING_KEY');
  if (secret !== undefined && file !== undefined) {
    throw new SettingsError(`${secretName} and ${named('signingKeyFile', 'CAPTURE_SIGNING_KEY_FILE')} are both set; set one of them`);
  }
  if (secret === undefined && file === undefined) return undefined;
  try {
    // White space around a secret, such as a file's last newline, is not part of it.
    return signingKey((secret ?? readSecret(file)).trim());
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new SettingsError(`${file ?? secretName} holds no secret to sign with: ${cause.message}`, { cause });
  }
}

/** A file's text, as far as a secret may reach and a little more: whatever file is named, it costs no memory. */
function readSecret(file) {
  let fd;
  try {
    fd = fs.openSync(file, 'r');
    const bytes = Buffer.alloc(2 * MAX_SECRET_BYTES);
    return bytes.toString('latin1', 0, fs.readSync(fd, bytes));
  } catch (cause) {
    throw new SettingsError(`the secret to sign with can't be read from ${file}`, { cause });
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

/** The program's file name. */
function programName() {
  return path.parse(process.argv[1] ?? process.execPath).name;
}

module.exports = { resolveSettings, environmentLayer, SettingsError };
