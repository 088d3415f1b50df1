'use strict';
// What waits for the writer: steps of captures in their order, bounded in bytes, and never waited for by who puts one in.
//
// Invariants: `bytes` counts queued and held steps, bodies and lines that the writer holds, and the room that is kept for each open capture's end; only
// ends, for which room was kept, and what the writer makes of steps pass the limit.

/** What a step costs beside its texts. */
const STEP_BYTES = 128;
/** What is kept for each open capture: two ends and a response's head without headers. */
const CLOSING_BYTES = 1024;

class Queue {
  #limit;
  #bytes = 0;
  #steps = [];
  #at = 0;
  #wake;
  #closed = false;

  /**
   * @param {number} limit in bytes
   * @param {(isFilling: boolean) => void} wake called for each step that is put in
   */
  constructor(limit, wake) {
    this.#limit = limit;
    this.#wake = wake;
  }

  /** Takes room, or refuses it where that passes the limit. */
  take(bytes) {
    if (this.#closed || this.#bytes + bytes > this.#limit) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Takes room that was kept, or that what is queued already turned into. */
  hold(bytes) {
    this.#bytes += bytes;
  }

  /** Gives room back. */
  release(bytes) {
    this.#bytes -= bytes;
  }

  /** Puts a step in whose room was taken. */
  put(step) {
    this.#steps.push(step);
    this.#wake(this.#bytes > this.#limit / 4);
  }

  /** The next step, which stays; undefined where there is none. */
  first() {
    return this.#steps[this.#at];
  }

  /** Takes the next step out. */
  shift() {
    this.#at++;
    if (this.#at === this.#steps.length) {
      this.#steps = [];
      this.#at = 0;
    }
  }

  /** How much is taken. */
  get bytes() {
    return this.#bytes;
  }

  get isClosed() {
    return this.#closed;
  }

  /** Refuses all that is new from here on. */
  close() {
    this.#closed = true;
  }
}

module.exports = { Queue, STEP_BYTES, CLOSING_BYTES };
