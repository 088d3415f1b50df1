'use strict';
// Who a capture is: its id, its instant, and the trace that it belongs to.
//
// Every random digit comes from the system's random source and is used once. Some are drawn ahead, for one call costs as much as all else that an id takes.

const { randomFillSync } = require('node:crypto');

const AHEAD_BYTES = 2048;
const ahead = Buffer.alloc(AHEAD_BYTES);
let digits = '';
let used = 0;

/** Random lowercase hex digits, an even number of at most 64, that nobody else gets. */
function randomHex(count) {
  if (used + count > digits.length) {
    digits = randomFillSync(ahead).toString('hex');
    used = 0;
  }
  used += count;
  return digits.slice(used - count, used);
}

/** The texts of the last millisecond that an id was made in, and of the last second that was told. */
let idMillis = -1;
let idStart = '';
let toldSecond = -1;
let toldStart = '';

/** A UUIDv7 for a capture that begins at `us`, microseconds since 1970. */
function captureId(us) {
  const millis = Math.floor(us / 1000);
  if (millis !== idMillis) {
    const digits = millis.toString(16).padStart(12, '0');
    idStart = `${digits.slice(0, 8)}-${digits.slice(8)}-7`;
    idMillis = millis;
  }
  const random = randomHex(20);
  const variant = '89ab'[Number.parseInt(random[3], 16) & 3];
  return `${idStart}${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(7, 19)}`;
}

/** So far the two clocks may part before the wall's counts, in milliseconds. */
const CLOCK_SLACK_MS = 2;
let origin = performance.timeOrigin;

/** Microseconds since 1970, finer than the clock on the wall tells and never far from it. */
function nowUs() {
  const monotonic = performance.now();
  const wall = Date.now();
  if (Math.abs(origin + monotonic - wall) > CLOCK_SLACK_MS) origin = wall - monotonic;
  return Math.floor((origin + monotonic) * 1000);
}

/** An instant as heads have it: RFC 3339, UTC, six digits of the second. */
function timestamp(us) {
  const second = Math.floor(us / 1e6);
  if (second !== toldSecond) {
    toldStart = new Date(second * 1000).toISOString().slice(0, 20);
    toldSecond = second;
  }
  return `${toldStart}${String(us - second * 1e6).padStart(6, '0')}Z`;
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x20-\x7e]*)?$/;
const TRACEPARENT_LENGTH = 55;
const MAX_TRACEPARENT_LENGTH = 256;

/** A W3C traceparent as it came; undefined where it is none that the standard lets pass. */
function parseTraceparent(text) {
  if (typeof text !== 'string' || text.length > MAX_TRACEPARENT_LENGTH || !TRACEPARENT.test(text)) return undefined;
  return text.length > TRACEPARENT_LENGTH && text.startsWith('00') ? undefined : text;
}

/** An id of zeros alone means none. */
function randomId(count) {
  const id = randomHex(count);
  return /[^0]/.test(id) ? id : id.slice(0, -1) + '1';
}

/** A new trace, marked as sampled. */
function newTraceparent() {
  return `00-${randomId(32)}-${randomId(16)}-01`;
}

/** The same trace with a span of its own, as an outbound call bears it. */
function childTraceparent(traceparent) {
  return `00-${traceparent.slice(3, 35)}-${randomId(16)}-${traceparent.slice(53, 55)}`;
}

/** The 32 hex digits that all of a trace shares. */
function traceId(traceparent) {
  return traceparent.slice(3, 35);
}

module.exports = {
  captureId,
  randomHex,
  nowUs,
  timestamp,
  parseTraceparent,
  newTraceparent,
  childTraceparent,
  traceId,
};
