"""Where lines go, and what a descriptor may answer to a write.

Invariants: no line is spread over two writes, save where the first was cut short; after a line that could not be written whole, the next begins on a
line of its own. Lines that lie ready together share a write only where that can't mix them with what others write: a regular file takes a write of any
length as one piece, a pipe one of up to 4,096 bytes.
"""

import errno
import os
import select
import stat
import sys
import time
from typing import List, Optional

from .settings import SettingsError

#: What of lines a write to a regular file holds at most.
FILE_BYTES = 64 * 1024
#: What a write to a pipe holds at most, unless one line is longer: up to there Linux takes it as one piece.
PIPE_BYTES = 4096


class Sink:
    """An open output."""

    def __init__(self, descriptor: int, path: Optional[str] = None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._together = _together_bytes(descriptor)
        self._torn = False
        #: No later write can succeed.
        self.is_gone = False

    @classmethod
    def open(cls, output: str) -> "Sink":
        """Opens what the setting ``output`` names; raises :class:`SettingsError` where that can't be."""
        descriptors = {"stdout": 1, "stderr": 2}
        try:
            if output in descriptors:
                return cls(os.dup(descriptors[output]))
            if output.startswith("fd:"):
                if not output[3:].isdecimal():
                    raise SettingsError(f"output={output!r} is not fd: and the number of an open descriptor")
                return cls(os.dup(int(output[3:])))
            return cls(_open(output), output)
        except (OSError, OverflowError) as fault:
            raise SettingsError(f"the output {output!r} can't be opened: {fault}") from fault

    def forked(self) -> "Sink":
        """The same output in a child, whose writes have a state of their own."""
        return Sink(self._descriptor, self._path)

    def reopen(self) -> None:
        """Opens a file's path again, after the file there was renamed away. Where that fails, the old file goes on."""
        if self._path is None:
            return
        try:
            anew = _open(self._path)
        except OSError:
            return
        os.close(self._descriptor)
        self._descriptor, self._torn, self.is_gone = anew, False, False
        self._together = _together_bytes(anew)

    def write_lines(self, lines: List[bytes]) -> List[int]:
        """Writes whole lines; tells which of them, by their place, were lost, whole or in part."""
        lost: List[int] = []
        at, count = 0, len(lines)
        while at < count:
            end, size = at + 1, len(lines[at])
            while end < count and size + len(lines[end]) <= self._together:
                size += len(lines[end])
                end += 1
            block = lines[at] if end == at + 1 else b"".join(lines[at:end])
            written = self._write_block(block)
            if written < len(block):
                reached = 0
                for place in range(at, end):
                    reached += len(lines[place])
                    if reached > written:
                        lost.append(place)
            at = end
        return lost

    def _write_block(self, block: bytes) -> int:
        """How many of the bytes were written."""
        if self.is_gone:
            return 0
        if self._torn:
            if self._write(b"\n") == 0:
                return 0
            self._torn = False
        return self._write(block)

    def _write(self, block: bytes) -> int:
        written = 0
        while written < len(block):
            try:
                # The whole in one call; what follows is only there where the system took a part of it.
                count = os.write(self._descriptor, block[written:] if written else block)
            except BlockingIOError:
                self._wait()
                continue
            except OSError as fault:
                self.is_gone = fault.errno in (errno.EPIPE, errno.EBADF)
                break
            if count == 0:
                break
            written += count
        if 0 < written < len(block) and block[written - 1] != 0x0A:
            self._torn = True
        return written

    def _wait(self) -> None:
        """Waits for a descriptor that somebody has set not to block."""
        try:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll(1000)
        except (AttributeError, OSError):
            time.sleep(0.001)


def _open(path: str) -> int:
    # For its owner alone: captures hold what users sent.
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)


def _together_bytes(descriptor: int) -> int:
    """The longest write of several lines that what is open takes as one piece; 0 for none."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return FILE_BYTES
    return PIPE_BYTES if stat.S_ISFIFO(mode) and sys.platform == "linux" else 0
