'use strict';
// The cut of one part into lines (L-4): one method a rule.
//
// Heads, tails and what stands around pieces are binary strings (see heads.js), so lengths are bytes. Fragments of heads and tails are escaped by `JSON.stringify`,
// whose escapes are those of L-3.4, bodies from byte to byte into bytes: of strings in between, as of a line that is put together from a piece, the collector would
// have more to do than all of this costs.
//
// Invariants: between calls the open line is a prefix without a piece, never longer than the limit; `pending` is body that the open line will hold,
// at most one line's window.

const { isUtf8 } = require('node:buffer');

const { crc32, crcHex } = require('./crc.js');
const { tailText } = require('./heads.js');
const { sign, SIG_BYTES } = require('./sign.js');

/** `}` and the newline. */
const CLOSE_BYTES = 2;
/** `,"text":"` and `"`, and `,"crc":"00000000"`. */
const PIECE_BYTES = 27;
/** `,"head":`. */
const HEAD_BYTES = 8;
/** `,"headf":"` or `,"tailf":"`, and `"`. */
const FRAGMENT_BYTES = 11;
/** The quotes of a JSON string. */
const QUOTES_BYTES = 2;
/** The longest escape of one character: below this much room a line takes no piece. */
const MIN_ROOM_BYTES = 6;

const BACKSLASH = 0x5c;
const NOTHING = Buffer.alloc(0);

const isContinuation = (byte) => (byte & 0xc0) === 0x80;

/** As many whole characters of a binary string as fit into `room` once escaped: their JSON string, quotes included, and how many bytes they were. */
function fit(text, room) {
  let end = text.length;
  if (end > room) {
    end = room;
    while (isContinuation(text.charCodeAt(end))) end--;
  }
  const quoted = JSON.stringify(end < text.length ? text.slice(0, end) : text);
  if (quoted.length - QUOTES_BYTES <= room) return { quoted, used: end };
  const kept = `${quoted.slice(0, 1 + edgeBefore(quoted.slice(1, -1), room))}"`;
  return { quoted: kept, used: JSON.parse(kept).length };
}

/** The last place up to `at` that splits neither a character nor an escape. */
function edgeBefore(escaped, at) {
  let edge = at;
  while (isContinuation(escaped.charCodeAt(edge))) edge--;
  for (let slash = edge - 1; slash >= Math.max(0, edge - 5); slash--) {
    if (escaped.charCodeAt(slash) !== BACKSLASH) continue;
    let run = slash;
    while (run > 0 && escaped.charCodeAt(run - 1) === BACKSLASH) run--;
    // Within a run of backslashes each second one is what the one before it escapes.
    const begins = (slash - run) % 2 === 0;
    const width = escaped[slash + 1] === 'u' ? 6 : 2;
    return begins && slash + width > edge ? slash : edge;
  }
  return edge;
}

/** The least and greatest byte that may follow a first byte whose second is not any continuation. */
const SECOND_BYTES = { 0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f] };

/** Where the character begins that the end of these bytes cuts; their length where it cuts none. */
function cutCharacterAt(bytes) {
  for (let at = bytes.length - 1; at >= Math.max(0, bytes.length - 3); at--) {
    const first = bytes[at];
    if (isContinuation(first)) continue;
    const width = first >= 0xf0 && first <= 0xf4 ? 4 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xc2 && first < 0xe0 ? 2 : 1;
    if (at + width <= bytes.length) return bytes.length;
    const [least, greatest] = SECOND_BYTES[first] ?? [0x80, 0xbf];
    const second = bytes[at + 1];
    return second === undefined || (second >= least && second <= greatest) ? at : bytes.length;
  }
  return bytes.length;
}

/** Cuts one part of one capture into lines. */
class PartWriter {
  #id;
  #part;
  #limit;
  #key;
  #redactor;
  #close;
  #out;
  #start;
  #seq = 0;
  /** The open line, texts and a piece, and how many bytes they are: joined, they would be copied once more. */
  #line;
  #lineBytes;
  #base64 = false;
  #pending = NOTHING;
  #pendingBytes = 0;
  #len = 0;
  #crc = 0;
  #owner;
  /** What the open line's signature is over. */
  #said = { headf: '', piece: NOTHING, tailf: '', of: undefined };

  /**
   * @param {string} id the capture's id
   * @param {'req'|'res'|'meta'} part
   * @param {string} head a binary string, as heads.js gives it
   * @param {{limit: number, key?: import('node:crypto').KeyObject, redactor: import('./redact.js').Redactor}} cut the longest line in bytes, what lines are signed
   *   with, and what knows the secrets of trailers
   * @param {(parts: (string | Uint8Array)[], bytes: number, owner: unknown) => void} out takes each line in parts, binary strings and bytes, its newline included, and
   *   their length; the bytes' memory is used again
   * @param {unknown} [owner] handed to `out`
   */
  constructor(id, part, head, { limit, key, redactor }, out, owner) {
    this.#id = id;
    this.#part = part;
    this.#limit = limit;
    this.#key = key;
    this.#redactor = redactor;
    this.#close = CLOSE_BYTES + (key ? SIG_BYTES : 0);
    this.#out = out;
    this.#owner = owner;
    this.#start = `{"cap1":"${id}","part":"${part}","seq":`;
    this.#openLine();
    this.#putHead(head);
  }

  /** How many bytes of the body no line has taken yet. */
  get heldBytes() {
    return this.#pending.length;
  }

  /** Takes the next bytes of the body, any number of them. They must not change from here on. */
  body(bytes) {
    if (bytes.length === 0) return;
    this.#len += bytes.length;
    this.#crc = crc32(bytes, this.#crc);
    const window = this.#window();
    if (this.#pendingBytes + bytes.length <= window) {
      if (this.#pendingBytes) this.#hold(bytes, window);
      else [this.#pending, this.#pendingBytes] = [bytes, bytes.length];
      return;
    }
    const data = this.#pendingBytes ? Buffer.concat([this.#takePending(), bytes]) : bytes;
    let at = 0;
    for (;;) {
      const size = this.#window();
      if (size > 0) {
        // One byte more than the window shows that the body goes on behind it.
        if (data.length - at <= size) break;
        at += this.#putPiece(data, at, size, true);
      }
      this.#endLine();
    }
    this.#hold(data.subarray(at), this.#window());
  }

  /** Ends the part. `tail` has the keys of L-2.4 but `len` and `crc`. */
  finish(tail) {
    this.#putRest();
    const text = tailText(this.#len, crcHex(this.#crc), tail, this.#redactor);
    if (this.#putEnd(text)) return;
    this.#endLine();
    if (!this.#putEnd(text)) this.#putTailFragments(text);
  }

  /** Ends a `meta` record (L-4.12). */
  finishMeta() {
    if (this.#putEnd()) return;
    this.#endLine();
    this.#putEnd();
  }

  /** Puts a text or a piece onto the open line. */
  #put(part) {
    this.#line.push(part);
    this.#lineBytes += part.length;
  }

  /** L-4.2. */
  #putHead(head) {
    if (!this.#key && this.#lineBytes + HEAD_BYTES + head.length + CLOSE_BYTES <= this.#limit) {
      this.#put(',"head":');
      this.#put(head);
      return;
    }
    let rest = head;
    for (;;) {
      const { quoted, used } = fit(rest, this.#limit - this.#lineBytes - FRAGMENT_BYTES - this.#close);
      this.#put(`,"headf":${quoted}`);
      this.#said.headf = rest.slice(0, used);
      rest = rest.slice(used);
      if (!rest) return;
      this.#endLine();
    }
  }

  /** L-4.3. */
  #room() {
    return this.#limit - this.#lineBytes - PIECE_BYTES - this.#close;
  }

  /** L-4.4: how many bytes the next piece may be chosen from; 0 where the open line takes no piece. */
  #window() {
    const room = this.#room();
    if (room < MIN_ROOM_BYTES) return 0;
    return this.#base64 ? base64Bytes(room) : room;
  }

  #hold(bytes, window) {
    const needed = this.#pendingBytes + bytes.length;
    if (needed > this.#pending.length) {
      // What grows further will likely fill the window; what is left of a slice must not keep all of it in memory.
      const grown = Buffer.allocUnsafe(this.#pendingBytes ? window : needed);
      this.#pending.copy(grown, 0, 0, this.#pendingBytes);
      this.#pending = grown;
    }
    this.#pending.set(bytes, this.#pendingBytes);
    this.#pendingBytes = needed;
  }

  #takePending() {
    const taken = this.#pending.subarray(0, this.#pendingBytes);
    this.#pending = NOTHING;
    this.#pendingBytes = 0;
    return taken;
  }

  /** L-4.5 to L-4.7: puts a piece of the window at `at` onto the open line; returns how many bytes it took. */
  #putPiece(data, at, size, goesOn) {
    const room = this.#room();
    const text = this.#base64 ? undefined : textPiece(data, at, size, goesOn, room);
    let used;
    if (text) {
      used = text.used;
      this.#put(',"text":"');
      this.#put(text.escaped);
    } else {
      this.#base64 = true;
      used = Math.min(size, base64Bytes(room));
      this.#put(',"b64":"');
      this.#put(base64Piece(data, at, at + used));
    }
    const piece = data.subarray(at, at + used);
    // A piece that is the whole body so far has its checksum.
    this.#put(`","crc":"${crcHex(used === this.#len ? this.#crc : crc32(piece))}"`);
    this.#said.piece = piece;
    return used;
  }

  #putRest() {
    const data = this.#takePending();
    let at = 0;
    while (at < data.length) {
      const window = this.#window();
      const size = Math.min(window, data.length - at);
      if (window > 0) at += this.#putPiece(data, at, size, data.length - at > size);
      if (at < data.length) this.#endLine();
    }
  }

  /** L-4.9: `of` and the tail onto the open line, which ends the part; false where they do not fit. */
  #putEnd(tail = '') {
    const of = this.#seq + 1;
    let end = `,"of":${of}`;
    if (tail) end += this.#key ? `,"tailf":${JSON.stringify(tail)}` : `,"tail":${tail}`;
    if (this.#lineBytes + end.length + this.#close > this.#limit) return false;
    this.#put(end);
    this.#said.of = of;
    this.#said.tailf = tail;
    this.#closeLine();
    return true;
  }

  /** L-4.10. */
  #putTailFragments(tail) {
    let rest = tail;
    for (;;) {
      const of = this.#seq + 1;
      const ofText = `,"of":${of}`;
      const room = this.#limit - this.#lineBytes - ofText.length - FRAGMENT_BYTES - this.#close;
      const { quoted, used } = fit(rest, room);
      this.#said.tailf = rest.slice(0, used);
      rest = rest.slice(used);
      if (!rest) {
        this.#said.of = of;
        this.#put(ofText);
      }
      this.#put(`,"tailf":${quoted}`);
      if (!rest) break;
      this.#endLine();
    }
    this.#closeLine();
  }

  #openLine() {
    this.#line = [];
    this.#lineBytes = 0;
    this.#put(this.#start + this.#seq);
    if (this.#key) this.#said = { headf: '', piece: NOTHING, tailf: '', of: undefined };
  }

  #closeLine() {
    if (this.#key) {
      this.#put(`,"sig":"${sign(this.#key, { id: this.#id, part: this.#part, seq: this.#seq, ...this.#said })}"`);
    }
    this.#put('}\n');
    this.#out(this.#line, this.#lineBytes, this.#owner);
  }

  #endLine() {
    this.#closeLine();
    this.#seq++;
    this.#openLine();
  }
}

/** L-4.5; undefined where the piece is base64. */
function textPiece(data, at, size, goesOn, room) {
  let end = at + size;
  const window = data.subarray(at, end);
  if (!isUtf8(window)) {
    const whole = goesOn ? cutCharacterAt(window) : size;
    if (whole === size || !isUtf8(window.subarray(0, whole))) return undefined;
    end = at + whole;
  }
  const piece = escapedPiece(data, at, end, room);
  return piece.escaped.length <= Math.ceil(piece.used / 3) * 4 ? piece : undefined;
}

/** What follows the backslash in each byte's escape (L-3.4); 0 where it has none. */
const ESCAPES = new Uint8Array(256);
ESCAPES.fill(0x75, 0, 0x20);
for (const [byte, letter] of ['""', '\\\\', '\bb', '\tt', '\nn', '\ff', '\rr']) ESCAPES[byte.charCodeAt(0)] = letter.charCodeAt(0);
const HEX_DIGITS = Buffer.from('0123456789abcdef');
/** What a piece is escaped in until its line is closed, which is before another's is: no line stays open with a piece. It grows to the longest line's. */
let scratch = Buffer.allocUnsafeSlow(4096);

/** As many whole characters of UTF-8 as fit into `room` once escaped, and how many bytes they were. */
function escapedPiece(data, at, end, room) {
  if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room);
  let from = at;
  let to = 0;
  for (; from < end; from++) {
    const byte = data[from];
    const letter = ESCAPES[byte];
    if (letter === 0) {
      if (to === room) break;
      scratch[to++] = byte;
      continue;
    }
    const isNumber = letter === 0x75;
    if (to + (isNumber ? 6 : 2) > room) break;
    scratch[to++] = BACKSLASH;
    scratch[to++] = letter;
    if (isNumber) {
      scratch[to++] = 0x30;
      scratch[to++] = 0x30;
      scratch[to++] = HEX_DIGITS[byte >> 4];
      scratch[to++] = HEX_DIGITS[byte & 15];
    }
  }
  if (from < end) {
    // No byte of a character of several has an escape.
    while (isContinuation(data[from])) {
      from--;
      to--;
    }
  }
  return { escaped: scratch.subarray(0, to), used: from - at };
}

function base64Piece(data, at, end) {
  const text = data.toString('base64', at, end);
  if (scratch.length < text.length) scratch = Buffer.allocUnsafeSlow(text.length);
  return scratch.subarray(0, scratch.latin1Write(text));
}

/** How many bytes of a body fill `room` as base64 (L-4.6). */
function base64Bytes(room) {
  return Math.floor((room + 1) / 4) * 3;
}

module.exports = { PartWriter };
