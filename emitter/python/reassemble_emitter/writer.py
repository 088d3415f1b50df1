"""The writer's thread: takes messages in their order, redacts, cuts each part into lines, and writes lines that have come together.

Invariants: a capture is among the open ones from its begin until both its parts have ended, and its kept room is given back then and only then; a
batch's cost is given back, and a capture counted as finished, once its lines are written; whenever the thread waits, all lines are written.
"""

import signal
import time
from typing import TYPE_CHECKING, Any, List, Optional, Set, Tuple, Union

from .heads import Heads, Headers, Start
from .identity import new_id, now_us
from .lines import PartWriter, joined, write_part
from .queue import CLOSING_BYTES, Message

if TYPE_CHECKING:
    from .core import Core

#: Kinds of messages: each is followed by what :class:`Writer`'s method of that name takes.
BEGIN, BODY, RESPOND, END, FLUSH, TELL, REOPEN = range(7)
#: Parts of a capture.
REQ, RES = 0, 1
_NAMES = ("req", "res")
_GATHERED_BYTES = 32 * 1024


class Track:
    """One capture, as the writer follows it."""

    __slots__ = ("n", "id", "parts", "awaited", "torn", "left_out")

    def __init__(self, id: str, awaited: bool) -> None:
        #: Its number, once it is admitted.
        self.n = 0
        self.id, self.awaited, self.torn = id, awaited, False
        self.parts: List[Optional[_Part]] = [None, None]
        #: Of which parts no more of the body is of use.
        self.left_out = [False, False]


class _Part:
    """An open part, and what is held of a body that is looked through for names."""

    __slots__ = ("head", "kind", "lines", "held", "held_bytes", "fault")

    def __init__(self, head: str, kind: str) -> None:
        self.head, self.kind = head, kind
        #: From the first piece on of a body that is cut as it comes.
        self.lines: Optional[PartWriter] = None
        self.held: Union[bytes, bytearray] = b""
        #: Bytes of the body that wait, here or for their line.
        self.held_bytes = 0
        self.fault = ""


class Writer:
    """What the thread runs."""

    def __init__(self, core: "Core") -> None:
        settings = core.settings
        self._core = core
        self._queue = core.queue
        self._redactor = core.redactor
        self._heads = Heads(core.redactor, core.service, core.host, core.inst, settings.sample_rate)
        self._limit = settings.line_limit
        self._key = settings.signing_key.encode() if settings.signing_key else None
        self._buffer = settings.redact_buffer
        self._redacts = settings.redact_bodies
        self._open: Set[Track] = set()
        self._lines: List[bytes] = []
        self._gathered = 0
        # Whose each line is; None for meta.
        self._owners: List[Optional[Track]] = []
        self._owner: Optional[Track] = None
        self._ended: List[Track] = []
        # Bytes of the queue's limit that are to be given back with the batch's cost; below zero where more is held.
        self._freed = 0
        self._told = core.counts()
        self._told_at = time.monotonic()
        self._handlers = (self._begin, self._body, self._respond, self._end, self._flush, self._tell, self._reopen)

    def run(self) -> None:
        """Runs until the queue is closed and empty."""
        _block_signals()
        queue = self._queue
        while True:
            closed = queue.is_closed
            cost, messages = queue.take()
            for message in messages:
                self._handle(message)
            if messages:
                self._write()
                self._give_back(cost)
            left = self._tell_when_due()
            if not messages:
                if closed:
                    break
                queue.wait(left)
        for track in list(self._open):
            self._close(track)
        self._write()
        self._give_back(0)
        self._tell()

    def _handle(self, message: Message) -> None:
        try:
            self._handlers[message[0]](*message[1:])
        except Exception:
            # A fault of the emitter costs this capture and nothing else.
            if message[0] in (BEGIN, BODY, RESPOND, END):
                track: Track = message[1]
                track.torn, track.awaited = True, False
                self._freed += sum(part.held_bytes for part in track.parts if part is not None)
                track.parts = [None, None]
                self._forget_ended(track)

    def _give_back(self, cost: int) -> None:
        freed, self._freed = self._freed, 0
        self._queue.release(cost + freed)

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._owners.append(self._owner)
        self._gathered += len(line)
        if self._gathered >= _GATHERED_BYTES:
            self._write()

    def _begin(self, track: Track, start: Start) -> None:
        self._open.add(track)
        head, kind = self._heads.request(track.n, start)
        track.parts[REQ] = _Part(head, kind if self._redacts else "")

    def _respond(self, track: Track, ts_us: int, us: Optional[int], status: Union[int, str, None], headers: Optional[Headers]) -> None:
        if track not in self._open or not track.awaited:
            return
        track.awaited = False
        head, kind = self._heads.response(ts_us, us, status, headers)
        track.parts[RES] = _Part(head, kind if self._redacts else "")

    def _body(self, track: Track, which: int, data: bytes) -> None:
        part = track.parts[which]
        if part is None or part.fault:
            return
        before = part.held_bytes
        if not part.kind:
            self._owner = track
            if part.lines is None:
                part.lines = PartWriter(track.id, _NAMES[which], part.head, self._limit, self._put, self._key)
            part.lines.body(data)
            part.held_bytes = part.lines.held_bytes
        elif before + len(data) <= self._buffer:
            part.held = joined(part.held, data)
            part.held_bytes += len(data)
        else:
            part.held, part.held_bytes = b"", 0
            part.fault = "redact_buffer"
            track.left_out[which] = True
        self._freed += before - part.held_bytes

    def _end(
        self, track: Track, which: int, us: Optional[int], trailers: Optional[Headers], error: str, truncated: bool, full_len: Optional[int]
    ) -> None:
        part = track.parts[which]
        if part is None:
            return
        self._freed += part.held_bytes
        self._owner = track
        fault, last = part.fault, b""
        if part.held:
            # What ends early can't be looked through to its end.
            redacted = None if truncated else self._redacted(part)
            if redacted is None:
                fault = "redact_buffer" if truncated else "redact_syntax"
            else:
                last = redacted
        if fault:
            truncated, error = True, error or fault
        tail = self._heads.tail(us, trailers, error, truncated, full_len)
        if part.lines is None:
            write_part(track.id, _NAMES[which], part.head, last, tail, self._limit, self._put, self._key)
        else:
            part.lines.finish(tail)
        track.parts[which] = None
        self._forget_ended(track)

    def _redacted(self, part: _Part) -> Optional[bytes]:
        body = bytes(part.held)
        return self._redactor.json(body) if part.kind == "json" else self._redactor.form(body)

    def _forget_ended(self, track: Track) -> None:
        if not track.awaited and track.parts == [None, None] and track in self._open:
            self._open.discard(track)
            self._freed += CLOSING_BYTES
            self._ended.append(track)

    def _close(self, track: Track) -> None:
        """Ends what the app has not ended when the emitter was."""
        if track.awaited:
            self._handle((RESPOND, track, now_us(), None, None, None))
        for which in (REQ, RES):
            if track.parts[which] is not None:
                self._handle((END, track, which, None, None, "shutdown", True, None))

    def _flush(self, done: Any) -> None:
        self._write()
        done.release()

    def _reopen(self) -> None:
        self._write()
        self._core.sink.reopen()

    def _write(self) -> None:
        """Writes what has come together, and counts the captures that are finished with it."""
        lines, owners, ended = self._lines, self._owners, self._ended
        self._lines, self._owners, self._ended, self._gathered = [], [], [], 0
        if lines:
            for place in self._core.sink.write_lines(lines):
                self._core.lost_lines += 1
                owner = owners[place]
                if owner is not None:
                    owner.torn = True
        self._core.finished += sum([not track.torn for track in ended])

    def _tell_when_due(self) -> float:
        """Tells the counters if there is something to tell and it is time; otherwise how many seconds are left."""
        every = self._core.settings.meta_every
        left = every - (time.monotonic() - self._told_at)
        if self._core.counts()[:4] == self._told[:4]:
            return every
        if left <= 0:
            self._tell()
            return every
        return left

    def _tell(self) -> None:
        counts = self._core.counts()
        self._told_at = time.monotonic()
        if counts[:4] == self._told[:4]:
            return
        self._told = counts
        now = now_us()
        self._owner = None
        PartWriter(new_id(now, self._core.draws.draw()), "meta", self._heads.meta(now, counts[:4]), self._limit, self._put, self._key).finish_meta()
        self._write()


def _block_signals() -> None:
    """A reader that went away must be an error here, not a SIGPIPE to the app."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
