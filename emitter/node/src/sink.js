'use strict';
// Where lines go, and how many of them may share a write (L-3.1).
//
// Each line is handed over in one write, and lines that lie ready together may share one where that can't mix them with what others write: a regular file takes a
// write of any length as one piece, a pipe one of up to PIPE_BYTES. Anything else gets each line by itself.
//
// A pipe may be full for long, and Node.js has no way to wait for it but a thread of its pool, which then keeps the process from ending. So on Linux a pipe is opened
// once more without blocking, and written to directly: that takes a microsecond, and what does not fit is tried again later. So it is with a socket that is a
// standard stream. Where neither can be, a thread of the pool waits.

const fs = require('node:fs');

/** What of lines a write to a regular file holds at most: all that a busy app makes while steps gather, for a thread of the pool is woken for each write. */
const FILE_BYTES = 256 * 1024;
/** What a write to a pipe holds at most, unless one line is longer: `PIPE_BUF`, up to which Linux takes a write as one piece. */
const PIPE_BYTES = 4096;
/** Captures hold what users sent: a file is its owner's alone. */
const FILE_MODE = 0o600;

/** A descriptor. */
class DescriptorSink {
  #fd;
  #path;
  #isOwn;

  constructor(fd, { path, isOwn = false, isDirect, sharedBytes }) {
    this.#fd = fd;
    this.#path = path;
    this.#isOwn = isOwn;
    /** Whether `writeSync` never waits. */
    this.isDirect = isDirect;
    /** The longest write of more lines than one; 0 for none. */
    this.sharedBytes = sharedBytes;
  }

  /** Hands bytes over; `done` is called later with a fault, or how many were taken. */
  write(bytes, done) {
    fs.write(this.#fd, bytes, 0, bytes.length, null, done);
  }

  writeSync(bytes) {
    return fs.writeSync(this.#fd, bytes);
  }

  /** Opens a path again, after the file there was renamed away. Where that fails, the old file goes on. Not to be called while a write is under way. */
  reopen() {
    if (this.#path === undefined) return;
    try {
      const anew = fs.openSync(this.#path, 'a', FILE_MODE);
      fs.closeSync(this.#fd);
      this.#fd = anew;
    } catch {
      // The old file is still open.
    }
  }

  close() {
    if (this.#isOwn) fs.close(this.#fd, () => {});
  }
}

/** A function of the app's; it gets each line in one call. */
class FunctionSink {
  #take;
  isDirect = true;
  sharedBytes = 0;

  constructor(take) {
    this.#take = take;
  }

  writeSync(bytes) {
    // The buffer of lines is used again, and the app may keep what it gets.
    this.#take(Buffer.from(bytes));
    return bytes.length;
  }

  reopen() {}

  close() {}
}

/** What a descriptor is, as far as writes matter. */
function descriptorSink(fd) {
  const stat = fs.fstatSync(fd);
  if (stat.isFile()) return new DescriptorSink(fd, { isDirect: false, sharedBytes: FILE_BYTES });
  const isPipe = process.platform === 'linux' && stat.isFIFO();
  const sharedBytes = isPipe ? PIPE_BYTES : 0;
  const own = isPipe ? openAgain(fd) : undefined;
  if (own !== undefined) return new DescriptorSink(own, { isOwn: true, isDirect: true, sharedBytes });
  const isDirect = (stat.isSocket() || stat.isFIFO()) && isMadeDirect(fd);
  return new DescriptorSink(fd, { isDirect, sharedBytes });
}

/** A pipe once more, without blocking for others; undefined where that can't be, as with one of another user's. */
function openAgain(fd) {
  try {
    return fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/**
 * Whether a standard stream that is a socket does not block. Node.js sets it so itself once anybody uses it, as nearly every app does.
 */
function isMadeDirect(fd) {
  if (fd !== 1 && fd !== 2) return false;
  try {
    void (fd === 1 ? process.stdout : process.stderr);
    const [, flags] = /^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
    return (Number.parseInt(flags, 8) & fs.constants.O_NONBLOCK) !== 0;
  } catch {
    return false;
  }
}

function fileSink(path) {
  const fd = fs.openSync(path, 'a', FILE_MODE);
  const sharedBytes = fs.fstatSync(fd).isFile() ? FILE_BYTES : 0;
  return new DescriptorSink(fd, { path, isOwn: true, isDirect: false, sharedBytes });
}

/**
 * Opens an output as settings name it.
 * @throws the system's error where it can't be opened
 */
function openSink(output) {
  if (typeof output === 'function') return new FunctionSink(output);
  if (output === 'stdout') return descriptorSink(1);
  if (output === 'stderr') return descriptorSink(2);
  if (output.startsWith('fd:')) return descriptorSink(Number(output.slice(3)));
  return fileSink(output);
}

module.exports = { openSink };
