"""Who a capture is: its id, the trace that it belongs to, and whether sampling takes it. Every random byte comes from the system's random source."""

import os
import re
import time
import zlib
from typing import List, NamedTuple, Optional

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x00-\x7f]*)?")
_LONGEST_TRACEPARENT = 256


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Draws:
    """Random hex digits, of which many are drawn from the system's random source at once, for each draw is a call into the kernel. Not to be shared
    with a forked child, which would draw the same."""

    def __init__(self) -> None:
        self._drawn: List[str] = []

    def draw(self) -> str:
        """48 digits that nobody else is given: enough for an id, or for a trace with its span."""
        try:
            return self._drawn.pop()
        except IndexError:
            digits = os.urandom(24 * 64).hex()
            drawn = [digits[at : at + 48] for at in range(0, len(digits), 48)]
            self._drawn += drawn[1:]
            return drawn[0]


def new_id(at_us: int, digits: str) -> str:
    """A UUIDv7 for a capture that begins at ``at_us`` (microseconds since 1970), of random digits (:meth:`Draws.draw`)."""
    ms = f"{at_us // 1000 & 0xFFFF_FFFF_FFFF:012x}"
    # Two bits of the fourth group say which kind of UUID this is.
    return f"{ms[:8]}-{ms[8:]}-7{digits[:3]}-{'89ab'[int(digits[3], 16) & 3]}{digits[4:7]}-{digits[7:19]}"


def new_instance() -> str:
    """A process's name for itself: 16 hex digits."""
    return os.urandom(8).hex()


class TraceParent(NamedTuple):
    """A W3C ``traceparent``, valid as a whole."""

    #: The header's value.
    text: str

    @classmethod
    def parse(cls, text: Optional[str]) -> "Optional[TraceParent]":
        """Reads a header's value; ``None`` where it is none that the standard lets pass."""
        if not text or len(text) > _LONGEST_TRACEPARENT:
            return None
        found = _TRACEPARENT.fullmatch(text)
        if found is None:
            return None
        version, trace, span, _, more = found.groups()
        if version == "ff" or (version == "00" and more) or not trace.strip("0") or not span.strip("0"):
            return None
        return cls(text)

    @classmethod
    def new(cls, draws: Optional[Draws] = None) -> "TraceParent":
        """A new trace, marked as sampled."""
        digits = _digits(draws)
        # An id of zeros alone means none.
        while not digits[:32].strip("0") or not digits[32:].strip("0"):
            digits = _digits(draws)
        return cls(f"00-{digits[:32]}-{digits[32:]}-01")

    def child(self, draws: Optional[Draws] = None) -> "TraceParent":
        """The same trace with a span of its own, as an outbound call carries it."""
        return TraceParent(f"00-{self.trace_id}-{self.new(draws).text[36:52]}-{self.text[53:55]}")

    @property
    def trace_id(self) -> str:
        """The 32 hex digits that all of a trace shares."""
        return self.text[3:35]

    def __str__(self) -> str:
        return self.text


def is_sampled(key: str, rate: float) -> bool:
    """Whether sampling at ``rate`` takes what ``key`` names: the same answer in every process and language."""
    return zlib.crc32(key.encode()) < rate * 4_294_967_296


def _digits(draws: Optional[Draws]) -> str:
    return draws.draw() if draws is not None else os.urandom(24).hex()
