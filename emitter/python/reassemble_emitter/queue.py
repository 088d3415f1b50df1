"""The queue between requests' threads and the writer: bounded in bytes, and never waited for by who puts something in.

Invariants: ``bytes`` counts what is queued, what the writer holds of open parts, and the room that is kept for each open capture's end; only ends, for
which room was kept, and orders to the writer pass the limit.

The lock may be taken again by its own thread, for a signal's handler or a finalizer may capture in the midst of it.

Waking a thread costs more than all else here, and each time that it runs it may hold a request up, for Python runs one thread at a time. So the writer's
thread lets messages and lines gather while there are any, and only then sleeps until it is woken. Each wait is long enough for many captures of a busy
app; what gathers meanwhile is bounded, and mostly cut into lines already (see :meth:`Writer.assist`).
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

#: So many messages are taken at once.
BATCH = 256
#: The writer is woken where so many bytes of lines have gathered.
GATHERED_BYTES = 256 * 1024

# How long the writer lets messages gather, and how often it looks again in vain before it sleeps: a fifth of a second in all.
_LINGER_S = 0.05
_LINGER_ROUNDS = 4
_LONGEST_SLEEP_S = 3600.0
_NEVER, _ALWAYS = float("inf"), -1

#: What :class:`Writer` makes of it: a kind, and what its method takes.
Message = Tuple[Any, ...]


class Queue:
    """Messages on their way to the writer."""

    def __init__(self, limit: int) -> None:
        #: Each with its cost in bytes; for who holds the writer's lock to take.
        self.messages: Deque[Tuple[int, Message]] = deque()
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
        #: Bytes of the lines that wait for the writer's thread.
        self.gathered = 0
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
            self.messages.append((cost, message))
        if self._bytes > self._wake_above:
            self._ring()
        return True

    def push(self, message: Message, cost: int) -> bool:
        """Puts a message in, or refuses it where that passes the limit."""
        with self._lock:
            if self.is_closed or self._bytes + cost > self._limit:
                return False
            self._bytes += cost
            self.messages.append((cost, message))
        if self._bytes > self._wake_above:
            self._ring()
        return True

    def push_reserved(self, message: Message) -> None:
        """Puts in what room was kept for."""
        if self.is_closed:
            return
        self.messages.append((0, message))
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
        self.messages.clear()

    def order(self, message: Message) -> None:
        """Has the writer do something at once."""
        self.messages.append((0, message))
        self._ring()

    def take(self) -> Tuple[int, List[Message]]:
        """The next messages in their order, and what they cost; for who holds the writer's lock."""
        cost = 0
        taken: List[Message] = []
        messages = self.messages
        while messages and len(taken) < BATCH:
            each, message = messages.popleft()
            cost += each
            taken.append(message)
        return cost, taken

    def gather(self, size: int) -> None:
        """Tells how many bytes of lines wait now that a request's thread has cut some, and wakes the writer where they are many, or it sleeps."""
        self.gathered = size
        if self._bytes > self._wake_above or (self.gathered >= GATHERED_BYTES and self._wake_above != _NEVER):
            self._ring()

    def wait(self, longest: float, was_idle: bool) -> None:
        """Waits for messages, or ``longest`` seconds; for the writer's thread alone. ``was_idle`` tells that there was nothing since the last wait."""
        if not was_idle:
            self._idle_rounds = 0
        if self._idle_rounds < _LINGER_ROUNDS:
            self._idle_rounds += 1
            self._wake_above = self._limit // 2
            # What came before could not wake it.
            if self._bytes <= self._wake_above and self.gathered < GATHERED_BYTES and not self.is_closed:
                self._bell.acquire(timeout=_LINGER_S)
        else:
            self._wake_above = _ALWAYS
            if not self.messages and not self.gathered and not self.is_closed:
                self._bell.acquire(timeout=min(max(longest, _LINGER_S), _LONGEST_SLEEP_S))
        self._wake_above = _NEVER

    def _ring(self) -> None:
        self._wake_above = _NEVER
        try:
            self._bell.release()
        except RuntimeError:
            pass  # It rings already.
