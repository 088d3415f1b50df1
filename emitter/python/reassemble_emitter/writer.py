"""The writer: takes messages in their order, redacts, cuts each part into lines, and writes lines that have come together.

Its thread does all of that. But two threads that take turns hold each other up, for Python runs one at a time; so a request's thread whose response is on
its way cuts what is queued into lines itself, a bounded lot of it, and leaves them to the thread, which alone writes: :meth:`Writer.assist`.

Invariants: who handles messages holds the lock, and takes them in the queue's order; a capture is among the open ones from its begin until both its parts
have ended, and its kept room is given back then and only then; a message's cost is given back, and a capture counted as finished, once its lines are
written; the thread sleeps only where no line waits.
"""

import signal
import time
from typing import TYPE_CHECKING, Any, List, NamedTuple, Optional, Set, Union

from .heads import Headers, Heads, Start
from .identity import new_id, now_us
from .lines import PartWriter, joined, write_part
from .native import new_reentrant_lock, thread_id
from .queue import BATCH, CLOSING_BYTES, GATHERED_BYTES, Message

if TYPE_CHECKING:
    from .core import Core

#: Kinds of messages: each is followed by what :class:`Writer`'s method of that name takes.
BEGIN, BODY, RESPOND, END, FLUSH, TELL, REOPEN = range(7)
#: Parts of a capture.
REQ, RES = 0, 1
_NAMES = ("req", "res")
# The thread writes what it cuts in lots of so many bytes.
_LOT_BYTES = 32 * 1024
# What a request's thread takes at once, and of a single message or body: what is longer would hold up other requests of an event loop.
_ASSISTED_BYTES = 32 * 1024
_ASSISTED_PIECE = 16 * 1024


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


class _Lot(NamedTuple):
    """Lines that are written together, whose each is (``None`` for meta), and the captures that end with them."""

    lines: List[bytes]
    owners: List[Optional[Track]]
    ended: List[Track]


class Writer:
    """What the thread runs, and other threads assist with."""

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
        # Held by who handles messages. It knows its owner, but is never taken twice.
        self._lock = new_reentrant_lock()
        # The writer's own thread, which alone writes.
        self._thread: Optional[int] = None
        self._open: Set[Track] = set()
        self._lines: List[bytes] = []
        self._size = 0
        self._owners: List[Optional[Track]] = []
        self._owner: Optional[Track] = None
        self._ended: List[Track] = []
        # Bytes of the queue's limit that are to be given back once all lines are written; below zero where more is held.
        self._freed = 0
        self._told = core.counts()
        self._told_at = 0.0
        self._handlers = (self._begin, self._body, self._respond, self._end, self._flush, self._tell, self._reopen)

    def run(self) -> None:
        """Runs until the queue is closed and empty."""
        _block_signals()
        self._thread = thread_id()
        self._told_at = time.monotonic()
        queue = self._queue
        while True:
            closed = queue.is_closed
            with self._lock:
                cost, messages = queue.take()
                self._freed += cost
                for message in messages:
                    self._handle(message)
                lot = self._lot()
                freed, self._freed = self._freed, 0
            self._write(lot)
            queue.release(freed)
            left = self._tell_when_due()
            is_idle = not messages and not lot.lines
            if is_idle and closed:
                break
            # What comes while it works is left to gather, and to those who assist.
            if len(messages) < BATCH:
                queue.wait(left, is_idle)
        with self._lock:
            for track in list(self._open):
                self._close(track)
            self._write(self._lot())
            queue.release(self._freed)
            self._tell()

    def assist(self) -> None:
        """Has the calling thread cut into lines what is queued, as far as that takes no time to speak of, and writes nothing. Does nothing where another
        thread is at it, or this one in the midst of which a signal's handler or a finalizer runs."""
        queue, lock = self._queue, self._lock
        messages = queue.messages
        if not messages or queue.is_closed or lock._is_owned():
            return
        left = _ASSISTED_BYTES
        # What a signal's handler raises may come right behind the lock.
        try:
            if not lock.acquire(False):
                return
            while messages and left > 0 and self._size < GATHERED_BYTES and lock._is_owned():
                cost, message = messages[0]
                if not self._is_small(cost, message):
                    break
                messages.popleft()
                self._freed += cost
                left -= cost
                self._handle(message)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Lets the thread go on where the calling one assists it. Called before it is waited for, too: a signal's handler may do that in the midst of its
        own thread's assistance, which then ends with the message in hand."""
        if self._lock._is_owned() and thread_id() != self._thread:
            self._queue.gather(self._size)
            self._lock.release()

    def _is_small(self, cost: int, message: Message) -> bool:
        """Whether a request's thread may handle a message."""
        if message[0] != END:
            return message[0] < FLUSH and cost <= _ASSISTED_PIECE
        part = message[1].parts[message[2]]
        return part is None or part.held_bytes <= _ASSISTED_PIECE

    def _handle(self, message: Message) -> None:
        try:
            self._handlers[message[0]](*message[1:])
        except BaseException as fault:
            # A fault of the emitter costs this capture and nothing else.
            if message[0] in (BEGIN, BODY, RESPOND, END):
                track: Track = message[1]
                track.torn, track.awaited = True, False
                self._freed += sum([part.held_bytes for part in track.parts if part is not None])
                track.parts = [None, None]
                self._forget_ended(track)
            if not isinstance(fault, Exception):
                # Raised by a signal's handler into the thread that assists: the app's own.
                raise

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._owners.append(self._owner)
        self._size += len(line)
        if self._size >= _LOT_BYTES and thread_id() == self._thread:
            self._write(self._lot())

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
        self._write(self._lot())
        done.release()

    def _reopen(self) -> None:
        self._write(self._lot())
        self._core.sink.reopen()

    def _lot(self) -> "_Lot":
        """Takes what has come together; for the thread, while it holds the lock."""
        lot = _Lot(self._lines, self._owners, self._ended)
        self._lines, self._owners, self._ended, self._size = [], [], [], 0
        self._queue.gathered = 0
        return lot

    def _write(self, lot: "_Lot") -> None:
        """Writes it, and counts the captures that are finished with it; for the thread, with or without the lock."""
        if lot.lines:
            for place in self._core.sink.write_lines(lot.lines):
                self._core.lost_lines += 1
                owner = lot.owners[place]
                if owner is not None:
                    owner.torn = True
        self._core.finished += sum([not track.torn for track in lot.ended])

    def _tell_when_due(self) -> float:
        """Tells the counters if there is something to tell and it is time; otherwise how many seconds are left."""
        every = self._core.settings.meta_every
        left = every - (time.monotonic() - self._told_at)
        if self._core.counts()[:4] == self._told[:4]:
            return every
        if left <= 0:
            with self._lock:
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
        self._write(self._lot())


def _block_signals() -> None:
    """A reader that went away must be an error here, not a SIGPIPE to the app."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
