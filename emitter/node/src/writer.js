'use strict';
// The background writer: takes steps in their order, cuts each part into lines, and writes lines that lie ready together.
//
// It runs on the app's event loop, in slices between other work, some milliseconds after a request handed its steps over. A worker thread would have to be given
// copies of all texts and bodies, which costs the loop about as much as escaping and checksums do with the runtime's native functions; and it would be cut off
// when the process exits, while this one can write what is queued from the `exit` event.
//
// Invariants: a capture keeps its room until both its halves have ended; a line counts against the queue until it is written or lost; a capture is finished once
// all its lines are written; at most one write is under way.

const { redactBody, PASS, SKIP } = require('./body-policy.js');
const { BEGIN, RESPOND, BODY, END } = require('./half.js');
const { metaHead, requestHead, responseHead } = require('./heads.js');
const { captureId, nowUs, timestamp } = require('./identity.js');
const { LineBuffer } = require('./line-buffer.js');
const { PartWriter } = require('./lines.js');
const { CLOSING_BYTES } = require('./queue.js');
const { quietly } = require('./quietly.js');

/** How long steps may gather: to be woken, and to have a thread of the pool write, costs more than the lines of several captures. */
const LINGER_MS = 40;
/** So many bytes of lines are cut in one turn of the event loop: what a capture or two make, so that no request waits for those of many. */
const TURN_BYTES = 8 * 1024;
/** Lines are written once there are so many bytes of them, or no step is left. */
const GATHERED_BYTES = 256 * 1024;
/** A body goes through the cut in slices of this size, so that other work comes between those of a large one. */
const SLICE_BYTES = 64 * 1024;
/** So many writes to what never waits follow one another before other work comes. */
const WRITES_A_TURN = 64;
/** A full pipe is tried again after so long at first, and at most. */
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 64;
/** Counters are told at most so often (L-2.6). */
const META_EVERY_MS = 60_000;

const GONE = new Set(['EPIPE', 'EBADF', 'EDESTADDRREQ']);
const AGAIN = new Set(['EAGAIN', 'EWOULDBLOCK', 'EINTR']);
const NEWLINE = 0x0a;

/** Waits without the event loop: at the process's end there is none. */
function sleepSync(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

class LineWriter {
  #core;
  #sink;
  #cut;
  /** Captures of which a half is open. */
  #open = new Set();
  #lines = new LineBuffer();
  /** The write under way: its bytes, how many of them were taken, and how many lines they are. */
  #group;
  #isWriting = false;
  #isReopenDue = false;
  #torn = false;
  #retryMs = FIRST_RETRY_MS;
  #timer;
  #isSoon = false;
  #metaTimer;
  #told = '0,0,0,0';
  #toldAt = performance.now();
  #waiting = [];
  #isDone = false;
  /** Nobody reads the output any more, so that nothing need be captured. */
  isOutputGone = false;

  constructor(core, sink) {
    this.#core = core;
    this.#sink = sink;
    this.#cut = { limit: core.settings.lineLimit, key: core.settings.key, redactor: core.settings.redactor };
  }

  /** Looks after new steps soon; at once where the queue fills quickly. */
  wake(isFilling) {
    if (this.#isDone || this.#isWriting || this.#isSoon) return;
    if (isFilling) this.#runSoon();
    else this.#runLater();
  }

  /** Lets steps gather. */
  #runLater() {
    this.#timer ??= setTimeout(() => this.#run(), LINGER_MS).unref();
  }

  #runSoon() {
    this.#isSoon = true;
    // Not unreferenced: such a one would wait for the next event, however long that takes.
    setImmediate(() => {
      this.#isSoon = false;
      this.#run();
    });
  }

  /** Calls back once all that is queued now is written or lost. */
  whenIdle(done) {
    if (this.#isDone) {
      done();
      return;
    }
    this.#waiting.push(done);
    if (!this.#isWriting) this.#runSoon();
  }

  /** Opens the output's file again, once no write to the old one is under way. */
  reopen() {
    this.#isReopenDue = this.#isWriting;
    if (this.#isReopenDue || this.#isDone) return;
    this.#sink.reopen();
    this.isOutputGone = false;
    this.#torn = false;
  }

  /** Takes no more, ends what is open, tells the counters, and calls back once all is written or lost. */
  end(done) {
    this.whenIdle(() => {
      this.#closeAll();
      this.whenIdle(() => {
        this.#tell();
        this.whenIdle(() => {
          this.#dispose();
          this.#sink.close();
          done();
        });
      });
    });
  }

  /** The same without the event loop, until a monotonic instant in milliseconds. */
  endSync(deadline) {
    if (this.#isDone) return;
    // What a write under way has taken of its bytes can't be known any more. It is written once more: readers ignore what is repeated (L-7.2).
    this.#isWriting = false;
    quietly(() => {
      this.#handleSteps(Infinity);
      this.#writeSync(deadline);
      this.#closeAll();
      this.#writeSync(deadline);
      this.#tell();
      this.#writeSync(deadline);
    });
    this.#dispose();
  }

  #dispose() {
    this.#isDone = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#metaTimer);
  }

  #run() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isWriting || this.#isDone) return;
    // Nobody is there to catch a fault: the app would end.
    quietly(() => {
      this.#handleSteps(this.#lines.bytes + TURN_BYTES);
      this.#tellWhenDue();
      if (this.#core.queue.first() && this.#lines.bytes < GATHERED_BYTES) this.#runSoon();
      else this.#writeOn();
    });
  }

  #handleSteps(untilBytes) {
    const { queue } = this.#core;
    for (let step = queue.first(); step && this.#lines.bytes < untilBytes; step = queue.first()) {
      let isDone = true;
      try {
        isDone = this.#handle(step);
      } catch {
        // What the app handed over can't be read, a getter that throws for one: this step is lost, and the app must not know.
      }
      if (!isDone) continue;
      queue.shift();
      queue.release(step.cost);
    }
  }

  /** Handles a step; false where some of it is left for another turn. */
  #handle(step) {
    const { live } = step;
    switch (step.kind) {
      case BEGIN:
        this.#begin(live, step);
        return true;
      case RESPOND:
        live.hasResponded = true;
        live.res = this.#part(live, 'res', this.#responseHead(live, step), step.policy);
        return true;
      case BODY:
        return this.#body(live[step.part], step);
      case END:
        this.#endPart(live, step);
        return true;
    }
    return true;
  }

  #begin(live, { start, n, why, policy }) {
    const { settings, inst } = this.#core;
    const { redactor } = settings;
    live.openParts = live.hasResponse ? 2 : 1;
    this.#open.add(live);
    const head = {
      ts: timestamp(live.startUs),
      service: settings.service,
      host: settings.host,
      inst,
      n,
      dir: start.dir,
      proto: start.proto,
      method: start.method,
      url: redactor.url(start.url),
      headers: start.headers,
      peer: start.peer,
      trace: start.trace,
      parent: start.parent,
      tags: start.tags,
      rate: settings.sampleRate,
      why,
      oneway: start.oneway || undefined,
    };
    live.req = this.#part(live, 'req', requestHead(head, redactor), policy);
  }

  #responseHead(live, { us, status, headers }) {
    return responseHead({ ts: timestamp(live.startUs + us), us, status, headers }, this.#core.settings.redactor);
  }

  #part(live, part, head, policy) {
    const lines = new PartWriter(live.id, part, head, this.#cut, this.#take, live);
    return { lines, held: policy === PASS || policy === SKIP ? undefined : [], heldBytes: 0, policy };
  }

  /** Takes a line that is ready, of a capture or of none. */
  #take = (parts, length, owner) => {
    this.#lines.put(parts, length, owner);
    this.#core.queue.hold(length);
    if (owner) owner.unwritten++;
  };

  #body(part, step) {
    if (!part) return true;
    if (typeof step.data === 'string') step.data = Buffer.from(step.data, step.encoding);
    if (part.held) {
      part.held.push(step.data);
      this.#hold(part, step.data.length);
      return true;
    }
    const slice = step.data.subarray(0, SLICE_BYTES);
    part.lines.body(slice);
    this.#hold(part, part.lines.heldBytes - part.heldBytes);
    step.data = step.data.subarray(slice.length);
    return step.data.length === 0;
  }

  /** Counts what a part's memory grows by. */
  #hold(part, bytes) {
    part.heldBytes += bytes;
    this.#core.queue.hold(bytes);
  }

  #endPart(live, step) {
    const part = live[step.part];
    if (!part) return;
    live[step.part] = undefined;
    this.#core.queue.release(part.heldBytes);
    part.lines.finish(this.#tailOf(part, step));
    live.openParts--;
    if (live.openParts > 0) return;
    this.#open.delete(live);
    this.#core.queue.release(CLOSING_BYTES);
    live.hasEnded = true;
  }

  /** What an end says, once a body that was held is looked through and cut. */
  #tailOf(part, step) {
    const tail = {
      us: step.us,
      trailers: step.trailers,
      error: step.error || undefined,
      truncated: step.truncated,
      full_len: step.truncated ? step.fullLen : undefined,
    };
    if (!part.held || step.seen === 0) return tail;
    const leaveOut = (error) => ({ ...tail, error, truncated: true, full_len: step.fullLen });
    if (step.truncated) return leaveOut(step.error || 'redact_buffer');
    const { redactor, bodyLimit } = this.#core.settings;
    const body = redactBody(part.policy, part.held.length === 1 ? part.held[0] : Buffer.concat(part.held), redactor);
    if (body === undefined) return leaveOut('redact_syntax');
    part.lines.body(body.subarray(0, bodyLimit));
    return body.length > bodyLimit ? { ...tail, truncated: true, full_len: step.fullLen } : tail;
  }

  /** Ends what the app has not ended. */
  #closeAll() {
    for (const live of this.#open) {
      const us = live.elapsedUs();
      if (live.hasResponse && !live.hasResponded) live.res = this.#part(live, 'res', this.#responseHead(live, { us }), PASS);
      const step = { us, error: 'shutdown', truncated: true, seen: 0 };
      this.#endPart(live, { ...step, part: 'req' });
      this.#endPart(live, { ...step, part: 'res' });
    }
  }

  /** Puts the next lines into one write. */
  #gather() {
    const { sharedBytes } = this.#sink;
    if (this.#torn) {
      // What follows a line that was not written whole begins on a line of its own.
      this.#group = { bytes: Buffer.from('\n'), taken: 0, lines: 0 };
      return;
    }
    this.#group = { ...this.#lines.next(sharedBytes), taken: 0 };
  }

  /** Writes on as long as that does not wait; then it is called again. */
  #writeOn() {
    for (let turn = 0; !this.#lines.isEmpty; turn++) {
      if (turn === WRITES_A_TURN) return this.#runSoon();
      if (!this.#group) this.#gather();
      if (!this.#sink.isDirect && !this.isOutputGone) return this.#writeLater();
      if (this.#tryWrite() === 'again') return this.#retry();
    }
    if (this.#core.queue.first()) this.#runSoon();
    else this.#idle();
  }

  #writeLater() {
    const { bytes, taken } = this.#group;
    this.#isWriting = true;
    this.#sink.write(bytes.subarray(taken), (fault, count) => {
      // `endSync` may have gone on with this write.
      if (this.#isDone || !this.#isWriting) return;
      this.#isWriting = false;
      const became = this.#took(fault, count);
      if (this.#isReopenDue) this.reopen();
      if (became === 'again') this.#retry();
      else if (this.#core.queue.first() && this.#lines.isEmpty && this.#waiting.length === 0) this.#runLater();
      else this.#run();
    });
  }

  #retry() {
    this.#timer ??= setTimeout(() => this.#run(), this.#retryMs).unref();
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  /** Writes what is there until all is written or lost, or it is too late. */
  #writeSync(deadline) {
    while (!this.#lines.isEmpty) {
      if (!this.#group) this.#gather();
      if (this.#tryWrite() !== 'again') continue;
      if (performance.now() >= deadline) return;
      sleepSync(this.#retryMs);
    }
  }

  #tryWrite() {
    if (this.isOutputGone) return this.#took({ code: 'EPIPE' });
    try {
      const { bytes, taken } = this.#group;
      return this.#took(undefined, this.#sink.writeSync(taken ? bytes.subarray(taken) : bytes));
    } catch (fault) {
      return this.#took(fault);
    }
  }

  /** Notes what became of a write: `again` where it must be tried again later. */
  #took(fault, count = 0) {
    const group = this.#group;
    if (fault && AGAIN.has(fault.code)) return 'again';
    group.taken += count;
    this.#retryMs = FIRST_RETRY_MS;
    if (!fault && group.taken < group.bytes.length) return 'more';
    this.#group = undefined;
    if (fault) this.isOutputGone = GONE.has(fault.code);
    if (group.taken > 0) this.#torn = group.bytes[group.taken - 1] !== NEWLINE;
    let end = 0;
    for (let line = 0; line < group.lines; line++) {
      const next = this.#lines.shift();
      end += next.length;
      this.#forget(next, end <= group.taken);
    }
    // Without its newline the output stays torn; lines that lie ready are lost with it, or nothing would end this.
    if (fault && group.lines === 0) this.#forget(this.#lines.shift(), false);
    return 'done';
  }

  /** Gives a line's room back, and counts its capture as finished where all of it is written. */
  #forget({ length, owner }, isWritten) {
    const { counters, queue } = this.#core;
    queue.release(length);
    if (!isWritten) counters.lostLines++;
    if (!owner) return;
    owner.unwritten--;
    owner.isTorn ||= !isWritten;
    if (owner.hasEnded && owner.unwritten === 0 && !owner.isTorn) counters.finished++;
  }

  #idle() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
    if (!this.#isDone) this.#tellWhenDue();
  }

  #counts() {
    const { begun, finished, dropped, sampledOut } = this.#core.counters;
    return [begun, finished, dropped, sampledOut].join();
  }

  /** Tells the counters if there is something to tell and it is time; else looks again when it will be. */
  #tellWhenDue() {
    if (this.#counts() === this.#told || this.#metaTimer) return;
    const left = this.#toldAt + META_EVERY_MS - performance.now();
    if (left <= 0) {
      this.#tell();
      return;
    }
    this.#metaTimer = setTimeout(() => {
      this.#metaTimer = undefined;
      this.#run();
    }, Math.ceil(left)).unref();
  }

  #tell() {
    this.#toldAt = performance.now();
    const counts = this.#counts();
    if (counts === this.#told) return;
    this.#told = counts;
    const { settings, counters, inst } = this.#core;
    const us = nowUs();
    const head = metaHead({
      ts: timestamp(us),
      service: settings.service,
      host: settings.host,
      inst,
      begun: counters.begun,
      finished: counters.finished,
      dropped: counters.dropped,
      sampled_out: counters.sampledOut,
    });
    new PartWriter(captureId(us), 'meta', head, this.#cut, this.#take).finishMeta();
  }
}

module.exports = { LineWriter };
