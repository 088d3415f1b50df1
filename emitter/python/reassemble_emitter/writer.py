"""The writer's thread: takes messages in their order, redacts, cuts each part into lines, and writes lines that have come together.

Invariants: a capture is among the open ones from its begin until both its parts have ended, and its kept room is given back then and only then; a
batch's cost is given back, and a capture counted as finished, once its lines are written; whenever the thread waits, all lines are written.
"""

import signal
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple, Union

from .identity import new_id, now_us
from .lines import MAX_ERROR_BYTES, PartWriter, clean, members, to_json, write_meta
from .queue import CLOSING_BYTES
from .redact import body_kind

if TYPE_CHECKING:
    from .core import Core

#: Kinds of messages: each is followed by what :class:`Writer`'s method of that name takes.
BEGIN, BODY, RESPOND, END, FLUSH, TELL, REOPEN = range(7)
#: Parts of a capture.
REQ, RES = 0, 1
_NAMES = ("req", "res")
_GATHERED_BYTES = 32 * 1024

Text = Union[str, bytes]
Headers = Sequence[Tuple[Text, Text]]


class Start:
    """What is known when a capture begins. ``ts_us`` is in microseconds since 1970."""

    __slots__ = ("id", "ts_us", "direction", "proto", "method", "url", "headers", "peer", "trace", "parent", "tags", "why", "oneway")

    def __init__(
        self,
        id: str,
        ts_us: int,
        direction: str,
        proto: str,
        method: str,
        url: str,
        headers: Optional[Headers],
        peer: Optional[str],
        trace: Optional[str],
        parent: Optional[str],
        tags: Optional[Dict[str, str]],
        oneway: bool,
    ) -> None:
        self.id, self.ts_us, self.direction, self.proto, self.method, self.url = id, ts_us, direction, proto, method, url
        self.headers, self.peer, self.trace, self.parent, self.tags, self.oneway = headers, peer, trace, parent, tags, oneway
        self.why = "all"


class Track:
    """One admitted capture, as the writer follows it."""

    __slots__ = ("n", "id", "parts", "awaited", "torn", "left_out")

    def __init__(self, n: int, id: str, awaited: bool) -> None:
        self.n, self.id, self.awaited, self.torn = n, id, awaited, False
        self.parts: List[Optional[_Part]] = [None, None]
        #: Of which parts no more of the body is of use.
        self.left_out = [False, False]


class _Part:
    """An open part, and what is held of a body that is looked through for names."""

    __slots__ = ("lines", "kind", "held", "fault")

    def __init__(self, lines: PartWriter, kind: str) -> None:
        self.lines, self.kind = lines, kind
        self.held = bytearray()
        self.fault = ""

    @property
    def held_bytes(self) -> int:
        return self.lines.held_bytes + len(self.held)


class Writer:
    """What the thread runs."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._queue = core.queue
        self._redactor = core.redactor
        settings = core.settings
        self._limit = settings.line_limit
        self._key = settings.signing_key.encode() if settings.signing_key else None
        self._buffer = settings.redact_buffer
        self._kinds = settings.redact_bodies
        self._open: Set[Track] = set()
        self._lines: List[bytes] = []
        self._gathered = 0
        # Whose each line is; None for meta.
        self._owners: List[Optional[Track]] = []
        self._owner: Optional[Track] = None
        self._ended: List[Track] = []
        self._told = core.counts()
        self._told_at = time.monotonic()
        self._second = (-1, "")
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
                queue.release(cost)
            left = self._tell_when_due()
            if not messages:
                if closed:
                    break
                queue.wait(left)
        for track in list(self._open):
            self._close(track)
        self._write()
        self._tell()

    def _handle(self, message: Tuple[Any, ...]) -> None:
        try:
            self._handlers[message[0]](*message[1:])
        except Exception:
            # A fault of the emitter costs this capture and nothing else.
            if message[0] in (BEGIN, BODY, RESPOND, END):
                track: Track = message[1]
                track.torn, track.awaited = True, False
                for part in track.parts:
                    if part is not None:
                        self._queue.release(part.held_bytes)
                track.parts = [None, None]
                self._forget_ended(track)

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._owners.append(self._owner)
        self._gathered += len(line)
        if self._gathered >= _GATHERED_BYTES:
            self._write()

    def _begin(self, track: Track, start: Start) -> None:
        settings, core = self._core.settings, self._core
        self._open.add(track)
        headers = self._pairs(start.headers)
        fields = (
            ("ts", self._time(start.ts_us)),
            ("service", core.service),
            ("host", core.host),
            ("inst", core.inst),
            ("n", track.n),
            ("dir", start.direction),
            ("proto", start.proto),
            ("method", start.method),
            ("url", self._redactor.url(start.url)),
            ("headers", headers),
            ("peer", start.peer),
            ("trace", start.trace),
            ("parent", start.parent),
            ("tags", dict(sorted(start.tags.items())) if start.tags else None),
            ("rate", settings.sample_rate),
            ("why", start.why),
            ("oneway", start.oneway or None),
        )
        head = {name: value for name, value in fields if value is not None and value != ""}
        self._start(track, REQ, head, headers)

    def _respond(self, track: Track, ts_us: int, us: Optional[int], status: Union[int, str, None], headers: Optional[Headers]) -> None:
        if track not in self._open or not track.awaited:
            return
        track.awaited = False
        pairs = self._pairs(headers)
        fields = (("ts", self._time(ts_us)), ("us", us), ("status", status), ("headers", pairs))
        self._start(track, RES, {name: value for name, value in fields if value is not None}, pairs)

    def _start(self, track: Track, part: int, head: Dict[str, Any], headers: Optional[List[List[str]]]) -> None:
        self._owner = track
        kind = body_kind(headers) if headers and self._kinds else ""  # type: ignore[arg-type]
        lines = PartWriter(track.id, _NAMES[part], to_json(head), self._limit, self._put, self._key)
        track.parts[part] = _Part(lines, kind)

    def _body(self, track: Track, which: int, data: bytes) -> None:
        part = track.parts[which]
        if part is None or part.fault:
            return
        before = part.held_bytes
        if not part.kind:
            self._owner = track
            part.lines.body(data)
        elif len(part.held) + len(data) <= self._buffer:
            part.held += data
        else:
            part.held = bytearray()
            part.fault = "redact_buffer"
            track.left_out[which] = True
        self._queue.release(before - part.held_bytes)

    def _end(
        self, track: Track, which: int, us: Optional[int], trailers: Optional[Headers], error: str, truncated: bool, full_len: Optional[int]
    ) -> None:
        part = track.parts[which]
        if part is None:
            return
        self._queue.release(part.held_bytes)
        self._owner = track
        fault = part.fault
        if part.held:
            # What ends early can't be looked through to its end.
            redacted = None if truncated else self._redacted(part)
            if redacted is None:
                fault = "redact_buffer" if truncated else "redact_syntax"
            else:
                part.lines.body(redacted)
        if fault:
            truncated, error = True, error or fault
        tail: Dict[str, Any] = {} if us is None else {"us": us}
        pairs = self._pairs(trailers)
        if pairs:
            tail["trailers"] = pairs
        if error:
            tail["error"] = clean(error).encode()[:MAX_ERROR_BYTES].decode("utf-8", "ignore")
        if truncated:
            tail["truncated"] = True
            if full_len is not None:
                tail["full_len"] = full_len
        part.lines.finish(members(tail))
        track.parts[which] = None
        self._forget_ended(track)

    def _redacted(self, part: _Part) -> Optional[bytes]:
        body = bytes(part.held)
        return self._redactor.json(body) if part.kind == "json" else self._redactor.form(body)

    def _forget_ended(self, track: Track) -> None:
        if track in self._open and not track.awaited and track.parts == [None, None]:
            self._open.discard(track)
            self._queue.release(CLOSING_BYTES)
            self._ended.append(track)

    def _close(self, track: Track) -> None:
        """Ends what the app has not ended when the emitter was."""
        if track.awaited:
            self._handle((RESPOND, track, now_us(), None, None, None))
        for which in (REQ, RES):
            part = track.parts[which]
            if part is not None:
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
        self._core.finished += sum(not track.torn for track in ended)

    def _pairs(self, headers: Optional[Headers]) -> Optional[List[List[str]]]:
        """Redacted pairs; bytes that are not UTF-8 as Latin-1."""
        if headers is None:
            return None
        value_of = self._redactor.header_value
        return [[name, value_of(name, header_text(value))] for name, value in ((header_text(n), v) for n, v in headers)]

    def _time(self, at_us: int) -> str:
        """RFC 3339, with six digits of the second."""
        second, micros = divmod(at_us, 1_000_000)
        if self._second[0] != second:
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{self._second[1]}.{micros:06d}Z"

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
        named = {"ts": self._time(now), "service": self._core.service, "host": self._core.host, "inst": self._core.inst}
        head: Dict[str, Any] = {name: text for name, text in named.items() if text}
        head.update(zip(("begun", "finished", "dropped", "sampled_out"), counts))
        self._owner = None
        write_meta(new_id(now), head, self._limit, self._put, self._key)
        self._write()


def header_text(value: Text) -> str:
    """A header's name or value as text."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _block_signals() -> None:
    """A reader that went away must be an error here, not a SIGPIPE to the app."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
