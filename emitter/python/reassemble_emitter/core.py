"""What all captures of one process share: settings, queue, counters, output, and the writer's thread, which starts with the first capture."""

import os
from _thread import LockType
from typing import Dict, NamedTuple, Optional

from .capture import Capture, cost_of
from .filters import Filter, RateLimit, endpoint, path_of
from .heads import Headers, Start
from .identity import Draws, TraceParent, is_sampled, new_id, new_instance, now_us
from .native import new_lock, new_reentrant_lock, start_thread
from .queue import MESSAGE_BYTES, Queue
from .settings import Settings, host_name, program_name
from .sink import Sink
from .writer import FLUSH, Writer


class Counts(NamedTuple):
    """What happened to this process's captures."""

    #: Captures admitted.
    begun: int = 0
    #: Captures of which every line was written.
    finished: int = 0
    #: Captures dropped whole, for the queue was full or the output is gone.
    dropped: int = 0
    #: Captures that sampling or the rate limit left out.
    sampled_out: int = 0
    #: Lines that the output did not take.
    lost_lines: int = 0


class Core:
    """One process's share of an emitter; a forked child gets one of its own."""

    def __init__(self, settings: Settings, sink: Sink) -> None:
        self.settings = settings
        self.sink = sink
        self.pid = os.getpid()
        self.service = settings.service or program_name()
        self.host = host_name()
        self.inst = new_instance()
        self.draws = Draws()
        self.queue = Queue(settings.queue_limit)
        self.redactor = settings.redactor()
        self.methods = Filter(settings.only_methods, settings.skip_methods, ignore_case=True)
        self.paths = Filter(settings.only_paths, settings.skip_paths)
        self._lets_all = self.methods.is_open and self.paths.is_open
        self.body_types = Filter(settings.only_body_types, settings.skip_body_types, ignore_case=True)
        self.limit = None if settings.rate_limit is None else RateLimit(settings.rate_limit)
        self.always_errors = settings.errors == "always"
        # Written by the writer alone.
        self.finished = 0
        self.lost_lines = 0
        self._dropped = 0
        self._sampled_out = 0
        self._lock = new_reentrant_lock()
        self._writer = Writer(self)
        # Can be taken once the writer's thread has ended; None before it has begun.
        self._thread: Optional[LockType] = None
        self._why = "limit" if self.limit else "sample" if settings.sample_rate < 1 else "all"

    def forked(self) -> "Core":
        """The core of a child that was forked from this one's process."""
        child = Core(self.settings, self.sink.forked())
        child.queue.is_closed = self.queue.is_closed
        self._lock = new_reentrant_lock()
        self.queue.abandon()
        return child

    def lets(self, method: str, path: str) -> bool:
        """Whether the filters let a request in."""
        return self._lets_all or (self.methods.lets(method) and self.paths.lets(path))

    def start(
        self,
        proto: str,
        method: str,
        url: str,
        direction: str,
        headers: Optional[Headers],
        peer: Optional[str],
        trace: Optional[TraceParent],
        parent: Optional[str],
        tags: Optional[Dict[str, str]] = None,
        oneway: bool = False,
    ) -> Optional[Capture]:
        """Begins a capture, see :meth:`Emitter.begin`; ``None`` where nothing is captured."""
        ts_us = now_us()
        capture_id = new_id(ts_us, self.draws.draw())
        why = self._why if self._takes(capture_id, trace, method, url) else None
        if why is None and not self.always_errors:
            self.start_writer()
            self.sample_out()
            return None
        # What sampling left out is captured only if it turns out to be an error.
        start = Start(ts_us, direction, proto, method, url, headers, peer, trace.text if trace else None, parent, tags, oneway, why or "error")
        cost = len(method) + len(url) + cost_of(headers) + 4 * MESSAGE_BYTES
        if tags:
            cost += sum(len(name) + len(value) + MESSAGE_BYTES for name, value in tags.items())
        capture = Capture(self, capture_id, ts_us, oneway)
        if why is not None:
            return capture if capture._begin(start, cost) else None
        self.start_writer()
        return capture if capture._hold(start, cost) else None

    def _takes(self, capture_id: str, trace: Optional[TraceParent], method: str, url: str) -> bool:
        """Whether sampling and the rate limit take a capture."""
        settings = self.settings
        if settings.sample_rate < 1:
            key = trace.trace_id if trace and settings.sample_by == "trace" else capture_id
            if not is_sampled(key, settings.sample_rate):
                return False
        return self.limit is None or self.limit.takes(endpoint(method, path_of(url)))

    def start_writer(self) -> bool:
        """Makes sure that the writer runs; false where there can be none."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    try:
                        self._thread = start_thread(self._writer.run)
                    except RuntimeError:
                        return False
        return True

    def assist(self) -> None:
        """Has the calling thread, whose request is answered, take over some of the writer's work; see :meth:`Writer.assist`."""
        self._writer.assist()

    def flush(self, timeout: float) -> bool:
        """Waits until the writer has written what is queued, at most ``timeout`` seconds; false where that was not enough, or there is no writer."""
        if not self.start_writer():
            return False
        done = new_lock()
        done.acquire()
        self._writer.let_go()
        self.queue.order((FLUSH, done))
        return done.acquire(timeout=max(timeout, 0))

    def drop(self) -> None:
        """Counts a capture that was dropped whole."""
        with self._lock:
            self._dropped += 1

    def sample_out(self) -> None:
        """Counts a capture that was left out."""
        with self._lock:
            self._sampled_out += 1

    def counts(self) -> Counts:
        """What happened so far."""
        return Counts(self.queue.admitted, self.finished, self._dropped, self._sampled_out, self.lost_lines)

    def shut_down(self, timeout: float) -> bool:
        """Closes the queue and waits for the writer, at most ``timeout`` seconds; false where that was not enough."""
        self._writer.let_go()
        self.queue.close()
        if self._thread is None:
            return True
        if not self._thread.acquire(timeout=max(timeout, 0)):
            return False
        self._thread.release()
        return True
