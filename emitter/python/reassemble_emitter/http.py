"""What the HTTP integrations share: what headers tell of a message, and how the app is kept from faults."""

import functools
from typing import Any, Callable, Iterable, Optional, Tuple, TypeVar

from .heads import Text, header_text

_T = TypeVar("_T")

TRACEPARENT = "traceparent"


def header(headers: Iterable[Tuple[Text, Text]], name: str) -> Optional[str]:
    """The first value of a header; ``name`` in lowercase."""
    for found, value in headers:
        if header_text(found).lower() == name:
            return header_text(value)
    return None


def body_length(length: Optional[str], is_encoded: bool, method: str, is_http1: bool) -> Optional[int]:
    """The length of a request's body, where its headers tell: ``length`` is what ``content-length`` says, ``is_encoded`` that there is a ``transfer-encoding``."""
    if length:
        return int(length) if length.isascii() and length.isdigit() else None
    bodyless = is_http1 or method in ("GET", "HEAD", "OPTIONS", "TRACE", "CONNECT")
    return 0 if bodyless and not is_encoded else None


def has_no_body(method: str, status: int) -> bool:
    """Whether a response has no body on the wire, whatever its headers declare."""
    return method in ("HEAD", "CONNECT") or status < 200 or status in (204, 304)


def protocol(version: str) -> str:
    """The protocol as heads spell it, of a version such as ``1.1`` or ``2``."""
    return {"2": "h2", "2.0": "h2", "3": "h3", "3.0": "h3"}.get(version, f"http/{version}")


def harmless(work: Callable[..., _T]) -> Callable[..., Optional[_T]]:
    """Keeps a fault of the emitter's own work away from the app whose messages it looks at; where there is one, it gives nothing."""

    @functools.wraps(work)
    def guarded(*args: Any) -> Optional[_T]:
        try:
            return work(*args)
        except Exception:
            # What the message held was no message that the emitter knows; the capture ends as it can.
            return None

    return guarded
