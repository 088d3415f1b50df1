'use strict';
// Lines that are not written yet, as bytes behind one another, so that what is written together need not be put together first.
//
// Memory of its own keeps them from V8's collector: strings that lie for some milliseconds it would have to move.
//
// Invariants: a chunk's bytes from `from` to `to` are whole lines; they stay in their place until they are forgotten.

/** The memory of a chunk: that of the longest line that a setting allows, and more than a busy app makes while lines gather. */
const CHUNK_BYTES = 256 * 1024;

class Chunk {
  buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  from = 0;
  to = 0;
  /** The lines' lengths and owners, and which of them is the first that is still there. */
  lines = [];
  at = 0;

  get isEmpty() {
    return this.at === this.lines.length;
  }

  /** Begins anew, once it is empty. */
  clear() {
    this.from = 0;
    this.to = 0;
    this.lines = [];
    this.at = 0;
  }
}

class LineBuffer {
  /** Never empty; lines are put into the last. */
  #chunks = [new Chunk()];
  /** A chunk that is to be used again. */
  #spare;
  #bytes = 0;

  /** How many bytes of lines are there. */
  get bytes() {
    return this.#bytes;
  }

  get isEmpty() {
    return this.#bytes === 0;
  }

  /** Puts a line in: its parts, binary strings and bytes, and how long they are. */
  put(parts, length, owner) {
    const chunk = this.#chunkFor(length);
    const { buffer } = chunk;
    let at = chunk.to;
    for (const part of parts) {
      if (typeof part === 'string') buffer.latin1Write(part, at);
      else buffer.set(part, at);
      at += part.length;
    }
    chunk.to = at;
    chunk.lines.push({ length, owner });
    this.#bytes += length;
  }

  #chunkFor(length) {
    const last = this.#chunks[this.#chunks.length - 1];
    if (last.to + length <= last.buffer.length) return last;
    const next = this.#spare ?? new Chunk();
    this.#spare = undefined;
    this.#chunks.push(next);
    return next;
  }

  /** The next lines, as many as `limit` bytes hold, but one at least: their bytes, and how many they are. There must be lines. */
  next(limit) {
    const { buffer, from, lines, at } = this.#chunks[0];
    let end = at;
    let size = 0;
    do {
      size += lines[end].length;
      end++;
    } while (end < lines.length && size + lines[end].length <= limit);
    return { bytes: buffer.subarray(from, from + size), lines: end - at };
  }

  /** Takes the next line out. */
  shift() {
    const chunk = this.#chunks[0];
    const line = chunk.lines[chunk.at];
    chunk.at++;
    chunk.from += line.length;
    this.#bytes -= line.length;
    if (chunk.isEmpty) this.#leave();
    return line;
  }

  /** Leaves the first chunk, which is empty. */
  #leave() {
    const [chunk] = this.#chunks;
    chunk.clear();
    if (this.#chunks.length > 1) this.#spare = this.#chunks.shift();
  }
}

module.exports = { LineBuffer };
