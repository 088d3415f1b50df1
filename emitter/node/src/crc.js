'use strict';
// CRC-32, that of zlib, gzip and PNG (L-1.9). Node.js has it natively from 20.15 and 22.2 on; before, a table of eight bytes a step stands in.

const zlib = require('node:zlib');

/**
 * The CRC-32 of bytes, going on from that of the bytes before them.
 * @param {Uint8Array} bytes
 * @param {number} [before] the CRC-32 so far, 0 at the start
 * @returns {number} an unsigned 32-bit integer
 */
const crc32 = zlib.crc32 ?? portableCrc32;

const POLYNOMIAL = 0xedb88320;
let tables;

function makeTables() {
  const made = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    made[0][byte] = value;
  }
  for (let step = 1; step < 8; step++) {
    for (let byte = 0; byte < 256; byte++) {
      const value = made[step - 1][byte];
      made[step][byte] = made[0][value & 255] ^ (value >>> 8);
    }
  }
  return made;
}

function portableCrc32(bytes, before = 0) {
  tables ??= makeTables();
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let crc = ~before;
  let at = 0;
  for (; at + 8 <= bytes.length; at += 8) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    crc =
      t7[crc & 255] ^
      t6[(crc >>> 8) & 255] ^
      t5[(crc >>> 16) & 255] ^
      t4[crc >>> 24] ^
      t3[bytes[at + 4]] ^
      t2[bytes[at + 5]] ^
      t1[bytes[at + 6]] ^
      t0[bytes[at + 7]];
  }
  for (; at < bytes.length; at++) crc = t0[(crc ^ bytes[at]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** A CRC-32 as lines have it: 8 lowercase hex digits. */
function crcHex(crc) {
  return crc.toString(16).padStart(8, '0');
}

module.exports = { crc32, crcHex, portableCrc32 };
