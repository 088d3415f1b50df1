#!/usr/bin/env python3
"""Packs files into a zip as small as deflate makes it, the same for the same files.

    pack.py ZIP NAME=FILE…

Each entry is executable, as Lambda wants of extensions and of `bootstrap`, and of the earliest time that a zip can tell. What a zip holds of folders,
owners and the machine that it was made on is left out.
"""

import struct
import sys
import zlib
from pathlib import Path

import zopfli.zlib

DEFLATED = 8
VERSION = 20  # of the format: 2.0, the first with deflate
MADE_BY = 3 << 8 | VERSION  # on Unix, which gives the attributes' upper half its meaning
EARLIEST = 1 << 5 | 1  # the 1st of January 1980, as MS-DOS had dates
MODE = 0o100755


def deflated(data):
    """Deflate without zlib's frame of two bytes and a checksum of four, as a zip holds it."""
    return zopfli.zlib.compress(data)[2:-4]


def packed(entries):
    """A zip (PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16) of names and bytes."""
    local, central = bytearray(), bytearray()
    for name, data in entries:
        body = deflated(data)
        described = struct.pack(
            "<5H3I2H", VERSION, 0, DEFLATED, 0, EARLIEST, zlib.crc32(data), len(body), len(data), len(name), 0
        )
        central += b"PK\x01\x02" + struct.pack("<H", MADE_BY) + described
        central += struct.pack("<3H2I", 0, 0, 0, MODE << 16, len(local)) + name
        local += b"PK\x03\x04" + described + name + body
    end = struct.pack("<4H2IH", 0, 0, len(entries), len(entries), len(central), len(local), 0)
    return bytes(local + central + b"PK\x05\x06" + end)


def main():
    if len(sys.argv) < 3 or not all("=" in entry for entry in sys.argv[2:]):
        print(__doc__, file=sys.stderr)
        return 2
    named = sorted(entry.split("=", 1) for entry in sys.argv[2:])
    Path(sys.argv[1]).write_bytes(packed([(name.encode(), Path(path).read_bytes()) for name, path in named]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
