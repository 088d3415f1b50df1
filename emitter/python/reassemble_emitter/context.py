"""The capture within which code runs, so that what it calls knows its cause.

It is a context variable: asyncio tasks and ``asyncio.to_thread`` take it along; a plain thread starts without one, so run its work by
``contextvars.copy_context().run``.
"""

from contextvars import ContextVar
from typing import NamedTuple, Optional

from .identity import TraceParent


class CaptureContext(NamedTuple):
    """The inbound request within which code runs."""

    #: The capture's id; ``None`` where this request is not captured.
    id: Optional[str]
    #: The trace as received, or as made where none came.
    trace: TraceParent


current: "ContextVar[Optional[CaptureContext]]" = ContextVar("reassemble_capture", default=None)


def current_context() -> Optional[CaptureContext]:
    """The context of the code that asks; ``None`` outside any request."""
    return current.get()
