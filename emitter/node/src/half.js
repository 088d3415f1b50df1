'use strict';
// One capture on the side of the app, and its halves, request and response: they count and cut what passes, and make sure that each half ends. What they
// hand to the writer are *steps*; nothing is formatted, redacted or cut into lines here.
//
// Invariants: a half that has begun is ended exactly once; once a piece was left out, none follows it; a capture that is held has put nothing into the queue.

const { bodyPolicy, PASS, SKIP } = require('./body-policy.js');
const { STEP_BYTES, CLOSING_BYTES } = require('./queue.js');

const BEGIN = 0;
const RESPOND = 1;
const BODY = 2;
const END = 3;

/** So much of a request's body is held until it shows whether it is captured (C-2.3). */
const HELD_BODY_BYTES = 64 * 1024;

/** What headers cost: a text, or names and values in a list, by turns or in pairs. */
function headersCost(headers) {
  if (headers === undefined) return 0;
  if (typeof headers === 'string') return headers.length;
  let bytes = 0;
  for (const item of headers) bytes += typeof item === 'string' ? item.length : item[0].length + item[1].length;
  return bytes;
}

/** A capture under way. */
class Live {
  #queue;
  #counters;
  /** Steps of a capture of which it is not known yet whether it will be taken. */
  #held;
  /** Whether it is neither dropped nor left out. */
  isOpen = true;

  // The writer's own:
  /** Its parts under way. */
  req;
  res;
  openParts = 0;
  hasResponded = false;
  hasEnded = false;
  /** Lines that are not written yet, and whether one was lost. */
  unwritten = 0;
  isTorn = false;

  /**
   * @param {import('./core.js').Core} core
   * @param {{start: object, id: string, startUs: number, why: string, policy: string, isHeld: boolean}} capture `start` as `Core.begin` takes it
   */
  constructor(core, { start, id, startUs, why, policy, isHeld }) {
    this.#queue = core.queue;
    this.#counters = core.counters;
    this.settings = core.settings;
    this.id = id;
    this.startUs = startUs;
    this.startMs = performance.now();
    this.hasResponse = !start.oneway;
    const cost = STEP_BYTES + start.url.length + start.method.length + headersCost(start.headers) + tagsCost(start.tags);
    const step = { kind: BEGIN, live: this, start, n: 0, why, policy, cost };
    if (!this.#queue.take(step.cost + CLOSING_BYTES)) {
      this.isOpen = false;
      this.#counters.dropped++;
    } else if (isHeld) {
      this.#held = [step];
    } else {
      this.#admit(step);
    }
  }

  get isHeld() {
    return this.#held !== undefined;
  }

  #admit(step) {
    step.n = ++this.#counters.begun;
    this.#queue.put(step);
  }

  /** Puts a step in, or refuses it where the queue is full. */
  push(step) {
    if (!this.isOpen || !this.#queue.take(step.cost)) return false;
    this.#put(step);
    return true;
  }

  /** Puts a step in for which room was kept. */
  pushReserved(step) {
    if (!this.isOpen) return;
    this.#queue.hold(step.cost);
    this.#put(step);
  }

  #put(step) {
    if (this.#held) this.#held.push(step);
    else this.#queue.put(step);
  }

  /** Decides on a capture that is held: it is captured where it failed, else left out. */
  settle(isFailure) {
    const held = this.#held;
    if (!held) return;
    this.#held = undefined;
    if (isFailure && !this.#queue.isClosed) {
      this.#admit(held[0]);
      for (const step of held.slice(1)) this.#queue.put(step);
      return;
    }
    this.isOpen = false;
    this.#counters.sampledOut++;
    this.#queue.release(CLOSING_BYTES + held.reduce((sum, step) => sum + step.cost, 0));
  }

  elapsedUs() {
    return Math.round((performance.now() - this.startMs) * 1000);
  }
}

function tagsCost(tags) {
  if (!tags) return 0;
  return Object.keys(tags).reduce((sum, name) => sum + name.length + tags[name].length, 0);
}

// Why a body is no longer captured, as its part's `error` says it; for the body limit and a type that is left out nothing need be said.
const CUT_SETTING = '';
const CUT_QUEUE = 'queue';
const CUT_REDACT_BUFFER = 'redact_buffer';

/** A copy of the first bytes of a typed array. */
function copyOf(data, bytes) {
  const copy = Buffer.allocUnsafe(bytes);
  copy.set(bytes === data.byteLength ? data : data.subarray(0, bytes));
  return copy;
}

/** One half of a capture. */
class Half {
  #live;
  #part;
  #begun;
  #policy;
  #limit;
  #seen = 0;
  #taken = 0;
  #cut;
  #ended = false;
  /** How long the body will be, where its headers tell. */
  expected;

  /** @param {'req'|'res'} part */
  constructor(live, part, policy) {
    this.#live = live;
    this.#part = part;
    this.#begun = part === 'req';
    if (this.#begun) this.#follow(policy);
  }

  #follow(policy) {
    const { bodyLimit, redactBuffer } = this.#live.settings;
    this.#policy = policy;
    this.#limit = policy === PASS ? bodyLimit : redactBuffer;
    if (policy === SKIP) this.#cut = CUT_SETTING;
  }

  /** How many bytes of the body have passed. */
  get seen() {
    return this.#seen;
  }

  get isOpen() {
    return !this.#ended && this.#live.isOpen;
  }

  /** Whether a piece was left out, so that none follows. */
  get isCut() {
    return this.#cut !== undefined;
  }

  get hasBegun() {
    return this.#begun;
  }

  /**
   * Begins the response. Where the queue has no room for its headers it begins without them, and its body is left out.
   * @param {number | string | undefined} status
   * @param {object} [headers] as they came: `headers` in any form that the writer reads, `contentType`, `contentEncoding`
   */
  respond(status, { headers, contentType, contentEncoding } = {}) {
    if (this.#begun || this.#ended) return;
    this.#begun = true;
    const live = this.#live;
    live.settle(typeof status === 'number' && status >= 500);
    if (!live.isOpen) return;
    this.#follow(bodyPolicy(live.settings, contentType, contentEncoding));
    const us = live.elapsedUs();
    const step = { kind: RESPOND, live, us, status, headers, policy: this.#policy, cost: STEP_BYTES + headersCost(headers) };
    if (live.push(step)) return;
    this.#cut = CUT_QUEUE;
    live.pushReserved({ ...step, headers: undefined, cost: STEP_BYTES });
  }

  /** Takes the next piece of the body: bytes, which are copied, for they stay the app's, or a text in an encoding. */
  body(data, encoding = 'utf8') {
    // A response's body without a response: it begins without a status.
    if (!this.#begun) this.respond(undefined);
    if (!this.isOpen) return;
    const isText = typeof data === 'string';
    const bytes = isText ? Buffer.byteLength(data, encoding) : data.byteLength;
    this.#seen += bytes;
    if (bytes === 0 || this.#cut !== undefined) return;
    const limit = this.#live.isHeld ? Math.min(this.#limit, HELD_BODY_BYTES) : this.#limit;
    const room = limit - this.#taken;
    if (bytes > room) {
      this.#cut = this.#policy === PASS ? CUT_SETTING : CUT_REDACT_BUFFER;
      if (room === 0 || this.#policy !== PASS) return;
    }
    const kept = Math.min(bytes, room);
    let piece = data;
    if (!isText) piece = copyOf(data, kept);
    else if (kept < bytes) piece = Buffer.from(data, encoding).subarray(0, kept);
    const step = { kind: BODY, live: this.#live, part: this.#part, data: piece, encoding, cost: STEP_BYTES + kept };
    if (this.#live.push(step)) this.#taken += kept;
    else this.#cut = CUT_QUEUE;
  }

  /** Whether this half's end decides on a capture that is held: no response has come, or none will. */
  get #decides() {
    return !this.#begun || !this.#live.hasResponse;
  }

  /** Ends the half, with trailers where there were any. */
  end(trailers) {
    if (this.#decides) this.#live.settle(false);
    this.#close(undefined, trailers, this.#seen);
  }

  /** Leaves the body out, of which nothing has passed yet. */
  leaveOut() {
    this.#cut ??= CUT_SETTING;
  }

  /** Ends a half that is cut, of which the rest did not pass here. */
  endCut() {
    if (this.#decides) this.#live.settle(false);
    this.#close(undefined, undefined, this.expected);
  }

  /** Ends the half before its time, or without a response: the call or the handler failed. */
  fail(error) {
    if (this.#decides) this.#live.settle(true);
    this.abandon(error);
  }

  /** Ends the half before its time: of a body that began, the rest does not come. */
  abandon(error) {
    if (this.#decides) this.#live.settle(false);
    this.#close(error, undefined, this.expected);
  }

  #close(error, trailers, fullLen) {
    if (this.#ended) return;
    if (!this.#begun) this.respond(undefined);
    this.#ended = true;
    const live = this.#live;
    if (!live.isOpen) return;
    const isCut = this.#cut !== undefined && (this.#seen > 0 || this.#cut === CUT_QUEUE);
    const step = {
      kind: END,
      live,
      part: this.#part,
      us: live.elapsedUs(),
      trailers,
      // A queue without room comes first, for it may have cut this short; then an error of the half's own.
      error: this.#cut === CUT_QUEUE ? CUT_QUEUE : (error ?? ((isCut && this.#cut) || undefined)),
      truncated: isCut || error !== undefined || undefined,
      fullLen,
      seen: this.#seen,
      cost: STEP_BYTES,
    };
    const extra = headersCost(trailers) + (error?.length ?? 0);
    if (extra <= CLOSING_BYTES / 4) live.pushReserved(step);
    else if (!live.push({ ...step, cost: STEP_BYTES + extra })) {
      live.pushReserved({ ...step, trailers: undefined, error: CUT_QUEUE, truncated: true });
    }
  }
}

module.exports = { Live, Half, BEGIN, RESPOND, BODY, END };
