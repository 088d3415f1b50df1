"""The queue between requests' threads and the writer: bounded in bytes, and never waited for by who puts something in.

Invariants: ``bytes`` counts what is queued, what the writer holds of open parts, and the room that is kept for each open capture's end; only ends, for
which room was kept, and orders to the writer pass the limit.

The lock may be taken again by its own thread, for a signal's handler or a finalizer may capture in the midst of it.

Waking a thread costs more than all else here, and each time that it runs it may hold a request up, for Python runs one thread at a time. So the writer
lets messages gather while there are any, and only then sleeps until it is woken. Each wait is long enough for several captures of a busy app, and
short enough that what has gathered is written in less than a millisecond.
"""

from collections import deque
from typing import TYPE_CHECKING, Any, Deque, List, Tuple

from .native import new_lock, new_reentrant_lock

if TYPE_CHECKING:
    from .writer import Track

#: What is kept for each open capture: two ends and a response's head without headers.
CLOSING_BYTES = 1024
#: What a message takes beside its texts.
MESSAGE_BYTES = 128

# How long the writer lets messages gather, and how often it looks again in vain before it sleeps: a fifth of a second in all.
_LINGER_S = 0.02
_LINGER_ROUNDS = 10
_LONGEST_SLEEP_S = 3600.0
_BATCH = 256
_NEVER, _ALWAYS = float("inf"), -1

#: What :class:`Writer` makes of it: a kind, and what its method takes.
Message = Tuple[Any, ...]


class Queue:
    """Messages on their way to the writer."""

    def __init__(self, limit: int) -> None:
        # Each with its cost in bytes.
        self._messages: Deque[Tuple[int, Message]] = deque()
        self._limit = limit
        self._lock = new_reentrant_lock()
        self._bytes = 0
        self._idle_rounds = 0
        # Where more bytes than these are counted the writer is to be woken: never while it works, in time while it lingers, always while it sleeps.
        self._wake_above: float = _NEVER
        # Released to wake the writer: unlike an event's, that takes no lock.
        self._bell = new_lock()
        self._bell.acquire()
        self.is_closed = False
        #: Captures admitted so far.
        self.admitted = 0

    def admit(self, track: "Track", message: Message, cost: int) -> bool:
        """Admits a capture, with room kept for its end, and numbers it: from 1, without gaps, in the order of the queue."""
        with self._lock:
            if self.is_closed or self._bytes + cost + CLOSING_BYTES > self._limit:
                return False
            self._bytes += cost + CLOSING_BYTES
            self.admitted += 1
            track.n = self.admitted
            self._messages.append((cost, message))
        if self._bytes > self._wake_above:
            self._ring()
        return True

    def push(self, message: Message, cost: int) -> bool:
        """Puts a message in, or refuses it where that passes the limit."""
        with self._lock:
            if self.is_closed or self._bytes + cost > self._limit:
                return False
            self._bytes += cost
            self._messages.append((cost, message))
        if self._bytes > self._wake_above:
            self._ring()
        return True

    def push_reserved(self, message: Message) -> None:
        """Puts in what room was kept for."""
        if self.is_closed:
            return
        self._messages.append((0, message))
        if self._bytes > self._wake_above:
            self._ring()

    def reserve(self, cost: int) -> bool:
        """Counts bytes that are held elsewhere, or refuses them."""
        with self._lock:
            if self.is_closed or self._bytes + cost > self._limit:
                return False
            self._bytes += cost
        return True

    def release(self, cost: int) -> None:
        """Gives bytes back; takes them, past the limit too, where ``cost`` is negative."""
        if cost:
            with self._lock:
                self._bytes -= cost

    def close(self) -> None:
        """Admits nothing any more; the writer ends when it has written what is there."""
        self.is_closed = True
        self._ring()

    def abandon(self) -> None:
        """Forgets all, in a forked child: there is no writer there, and what other threads held of the lock is never given back."""
        self.is_closed = True
        self._lock = new_reentrant_lock()
        self._messages.clear()

    def order(self, message: Message) -> None:
        """Has the writer do something at once."""
        self._messages.append((0, message))
        self._ring()

    def take(self) -> Tuple[int, List[Message]]:
        """The next messages in their order, and what they cost; for the writer alone."""
        cost = 0
        taken: List[Message] = []
        messages = self._messages
        while messages and len(taken) < _BATCH:
            each, message = messages.popleft()
            cost += each
            taken.append(message)
        if taken:
            self._idle_rounds = 0
        return cost, taken

    def wait(self, longest: float) -> None:
        """Waits for messages, or ``longest`` seconds; for the writer alone."""
        if self._idle_rounds < _LINGER_ROUNDS:
            self._idle_rounds += 1
            self._wake_above = self._limit // 2
            # What came before could not wake it.
            if self._bytes <= self._wake_above and not self.is_closed:
                self._bell.acquire(timeout=_LINGER_S)
        else:
            self._wake_above = _ALWAYS
            if not self._messages and not self.is_closed:
                self._bell.acquire(timeout=min(max(longest, _LINGER_S), _LONGEST_SLEEP_S))
        self._wake_above = _NEVER

    def _ring(self) -> None:
        self._wake_above = _NEVER
        try:
            self._bell.release()
        except RuntimeError:
            pass  # It rings already.
