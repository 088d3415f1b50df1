'use strict';
// What all captures of an emitter share: settings, queue, counters, and the decision on each capture.

const { bodyPolicy } = require('./body-policy.js');
const { Half, Live } = require('./half.js');
const { captureId, nowUs, randomHex, traceId } = require('./identity.js');
const { Queue } = require('./queue.js');
const { isSampled, routeOf, RateLimiter } = require('./sampling.js');
const { openSink } = require('./sink.js');
const { LineWriter } = require('./writer.js');

/** The path of a URL, absolute or not, without its query. */
function pathOf(url) {
  return /^(?:[a-z][a-z0-9+.-]*:)?(?:\/\/[^/?#]*)?([^?#]*)/i.exec(url)[1] || '/';
}

class Core {
  #limiter;
  counters = { begun: 0, finished: 0, dropped: 0, sampledOut: 0, lostLines: 0 };
  /** Set once the emitter is being shut down; kept when it is. */
  ending;

  /** @param {ReturnType<typeof import('./settings.js').resolveSettings>} settings */
  constructor(settings) {
    this.settings = settings;
    this.inst = randomHex(16);
    this.queue = new Queue(settings.queueLimit, (isFilling) => this.writer.wake(isFilling));
    this.#limiter = settings.rateLimit === undefined ? undefined : new RateLimiter(settings.rateLimit);
    this.writer = new LineWriter(this, openSink(settings.output));
  }

  /** Whether filters let an HTTP request to a URL in, absolute or not. What they leave out is not counted. */
  letsHttp(method, url) {
    const { methods, paths } = this.settings;
    return (methods.isOpen || methods.lets(method.toUpperCase())) && (paths.isOpen || paths.lets(pathOf(url)));
  }

  /**
   * Begins a capture; undefined where it is left out or dropped.
   * @param {object} start `dir`, `proto`, `method`, `url`, `headers`, `peer`, `trace`, `parent`, `tags`, `oneway` of the head; `contentType` and
   *   `contentEncoding` of the request's body; `route`, where the framework tells it
   * @returns {{live: Live, request: Half, response: Half | undefined} | undefined}
   */
  begin(start) {
    if (this.queue.isClosed) return undefined;
    const { settings } = this;
    const startUs = nowUs();
    const id = captureId(startUs);
    let why = this.#whyTaken(id, start);
    const isHeld = why === undefined && settings.errors === 'always';
    if (why === undefined && !isHeld) {
      this.counters.sampledOut++;
      return undefined;
    }
    if (this.writer.isOutputGone) {
      this.counters.dropped++;
      return undefined;
    }
    why ??= 'error';
    const policy = bodyPolicy(settings, start.contentType, start.contentEncoding);
    const live = new Live(this, { start, id, startUs, why, policy, isHeld });
    if (!live.isOpen) return undefined;
    return {
      live,
      request: new Half(live, 'req', policy),
      response: start.oneway ? undefined : new Half(live, 'res'),
    };
  }

  /** Why a capture is taken (C-2.4); undefined where sampling or the rate limit leaves it out. */
  #whyTaken(id, { method, url, trace, route }) {
    const { sampleRate, sampleBy } = this.settings;
    if (sampleRate < 1 && !isSampled(trace && sampleBy === 'trace' ? traceId(trace) : id, sampleRate)) return undefined;
    if (!this.#limiter) return sampleRate < 1 ? 'sample' : 'all';
    const endpoint = `${method} ${route ?? routeOf(pathOf(url))}`;
    return this.#limiter.take(endpoint, performance.now()) ? 'limit' : undefined;
  }
}

module.exports = { Core };
