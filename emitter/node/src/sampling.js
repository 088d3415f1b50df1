'use strict';
// Which captures are taken: sampling (L-3.6) and a rate limit for each endpoint (C-2.2).

const { crc32 } = require('./crc.js');

/** Endpoints with a bucket of their own; later ones share one. */
const MAX_ENDPOINTS = 1024;
/** A longer segment of a path is a value, not a name. */
const MAX_SEGMENT = 32;

/** Whether sampling at `rate` takes what `key` names: the same answer in every process and language. */
function isSampled(key, rate) {
  return rate >= 1 || crc32(Buffer.from(key, 'latin1')) < rate * 2 ** 32;
}

/** A path with each segment that is likely a value replaced by `*`. */
function routeOf(path) {
  return path
    .split('/')
    .map((segment) => (segment.length > MAX_SEGMENT || /[0-9]/.test(segment) ? '*' : segment))
    .join('/');
}

/** A bucket of captures for each endpoint. */
class RateLimiter {
  #limit;
  #size;
  #buckets = new Map();
  #shared;

  /** @param {number} limit captures a second for each endpoint */
  constructor(limit) {
    this.#limit = limit;
    this.#size = Math.max(1, limit);
    this.#shared = { left: this.#size, at: -Infinity };
  }

  /** Takes a capture from an endpoint's bucket, at a monotonic instant in milliseconds; false where it is empty. */
  take(endpoint, nowMs) {
    const bucket = this.#bucket(endpoint);
    bucket.left = Math.min(this.#size, bucket.left + ((nowMs - bucket.at) / 1000) * this.#limit);
    bucket.at = nowMs;
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

  #bucket(endpoint) {
    let bucket = this.#buckets.get(endpoint);
    if (bucket) return bucket;
    if (this.#buckets.size >= MAX_ENDPOINTS) return this.#shared;
    bucket = { left: this.#size, at: -Infinity };
    this.#buckets.set(endpoint, bucket);
    return bucket;
  }
}

module.exports = { isSampled, routeOf, RateLimiter };
