'use strict';
// Looks for several texts at once in bytes, whatever the case of ASCII letters (the automaton of Aho and Corasick).
//
// A regular expression is as fast, but a string of each body, which it needs, is a large share of what V8's collector would have to do.

/** Stands for all bytes that no text holds. */
const OTHER = 0;
const FOUND = -1;

/** Each byte's class: bytes that no text tells apart share one. Returns how many there are, too. */
function byteClasses(texts) {
  const classes = new Uint8Array(256).fill(OTHER);
  let count = 1;
  for (const byte of new Set(texts.flatMap((text) => [...text].map(lowercase)))) classes[byte] = count++;
  for (let byte = 0x41; byte <= 0x5a; byte++) classes[byte] = classes[lowercase(byte)];
  return { classes, count };
}

const lowercase = (byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);

/**
 * A test of whether bytes hold one of these texts.
 * @param {Uint8Array[]} texts
 * @returns {(bytes: Uint8Array) => boolean}
 */
function finder(texts) {
  if (texts.some((text) => text.length === 0)) return () => true;
  const { classes, count } = byteClasses(texts);
  const states = [new Int32Array(count)];
  const isFound = [false];
  for (const text of texts) {
    let state = 0;
    for (const byte of text) {
      const by = classes[byte];
      if (states[state][by] === 0) {
        states[state][by] = states.length;
        states.push(new Int32Array(count));
        isFound.push(false);
      }
      state = states[state][by];
    }
    isFound[state] = true;
  }
  // Where no text goes on, the longest beginning of one that the last bytes are does.
  const shorter = new Int32Array(states.length);
  const waiting = [...states[0]].filter((state) => state !== 0);
  for (const state of waiting) {
    isFound[state] ||= isFound[shorter[state]];
    for (let by = 0; by < count; by++) {
      const next = states[state][by];
      const instead = states[shorter[state]][by];
      if (next === 0) {
        states[state][by] = instead;
      } else {
        shorter[next] = instead;
        waiting.push(next);
      }
    }
  }
  // A state is told by where its row begins.
  const rows = new Int32Array(states.length * count);
  states.forEach((row, state) => rows.set(row.map((next) => (isFound[next] ? FOUND : next * count)), state * count));
  return (bytes) => {
    let row = 0;
    for (let at = 0; at < bytes.length; at++) {
      row = rows[row + classes[bytes[at]]];
      if (row === FOUND) return true;
    }
    return false;
  };
}

module.exports = { finder };
