"""Who a capture is: its id, the trace that it belongs to, and whether sampling takes it. Every random byte comes from the system's random source."""

import os
import re
import time
import zlib
from typing import NamedTuple, Optional

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x00-\x7f]*)?")
_LONGEST_TRACEPARENT = 256


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def new_id(at_us: int) -> str:
    """A UUIDv7 for a capture that begins at ``at_us`` (microseconds since 1970)."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (at_us // 1000 & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


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
    def new(cls) -> "TraceParent":
        """A new trace, marked as sampled."""
        return cls(f"00-{_not_zero(16)}-{_not_zero(8)}-01")

    def child(self) -> "TraceParent":
        """The same trace with a span of its own, as an outbound call carries it."""
        return TraceParent(f"00-{self.trace_id}-{_not_zero(8)}-{self.text[53:55]}")

    @property
    def trace_id(self) -> str:
        """The 32 hex digits that all of a trace shares."""
        return self.text[3:35]

    def __str__(self) -> str:
        return self.text


def is_sampled(key: str, rate: float) -> bool:
    """Whether sampling at ``rate`` takes what ``key`` names: the same answer in every process and language."""
    return rate >= 1 or zlib.crc32(key.encode()) < rate * 4_294_967_296


def _not_zero(count: int) -> str:
    drawn = os.urandom(count)
    # An id of zeros alone means none.
    while not any(drawn):
        drawn = os.urandom(count)
    return drawn.hex()
