"""What the integrations of HTTP clients share: how a call begins, how its request's body is captured, how it fails."""

import io
from typing import Any, Iterable, Iterator, List, Optional, Tuple

from .capture import Capture, Half, describe
from .context import current
from .emitter import Emitter
from .filters import path_of
from .heads import Text, header_text
from .http import TRACEPARENT, body_length, harmless, header
from .identity import TraceParent

Headers = List[Tuple[Text, Text]]


def begin_call(emitter: Emitter, method: Text, url: str, headers: Headers) -> Tuple[Optional[Capture], Optional[str]]:
    """The capture of a call, if it is one, and the ``traceparent`` to add where it has none. ``headers`` gain it too."""
    return _begin(emitter, method, url, headers) or (None, None)


@harmless
def _begin(emitter: Emitter, method: Text, url: str, headers: Headers) -> Optional[Tuple[Optional[Capture], Optional[str]]]:
    core = emitter.open_core()
    method = header_text(method).upper()
    if core is None or not core.lets(method, path_of(url)):
        return None
    context = current.get()
    given = header(headers, TRACEPARENT)
    trace = TraceParent.parse(given)
    if trace is None:
        trace = context.trace.child(core.draws) if context else TraceParent.new(core.draws)
    if given is None:
        headers.append((TRACEPARENT, trace.text))
    capture = core.start("http/1.1", method, url, "out", headers, None, trace, context.id if context else None)
    if capture is not None:
        request = capture.request
        request.filter_body(headers)
        is_encoded = header(headers, "transfer-encoding") is not None
        request.expected = body_length(header(headers, "content-length"), is_encoded, method, True)
    return capture, None if given is not None else trace.text


@harmless
def end_call(capture: Capture, error: str) -> None:
    """Ends what is open of a call that nothing more will come of."""
    if not capture.request.ended:
        capture.request.give_up("body not sent to its end" if capture.request.seen else "body not sent")
    if capture.response.begun:
        capture.response.give_up(error)
    else:
        capture.response.fail(error)


def fail_call(capture: Capture, fault: BaseException) -> None:
    """Ends a call that raised."""
    end_call(capture, describe(fault))


def captured_body(capture: Capture, body: Any) -> Any:
    """The request's body to send in place of ``body``: the same bytes at the same pace, captured as they are read."""
    request = capture.request
    if body is None or isinstance(body, (bytes, bytearray, str)):
        request.body(body or b"")
        request.end()
        return body
    if isinstance(body, io.TextIOBase):
        # Clients look for this type to choose an encoding; a stand-in would mislead them.
        request.leave_out()
        return body
    if hasattr(body, "read"):
        return _File(body, capture)
    try:
        request.body(memoryview(body))
    except TypeError:
        return _pieces(body, capture) if hasattr(body, "__iter__") else body
    request.end()
    return body


class _File:
    """A file that is captured as it is read."""

    def __init__(self, inner: Any, capture: Capture) -> None:
        self._inner = inner
        self._capture = capture

    def read(self, *size: Any) -> Any:
        data = self._inner.read(*size)
        self._read(data, bool(not size or size[0] is None or size[0] < 0 or (not data and size[0] > 0)))
        return data

    def __iter__(self) -> Iterator[Any]:
        return _pieces(self._inner, self._capture)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @harmless
    def _read(self, data: Any, at_end: bool) -> None:
        self._capture.request.body(data)
        if at_end or self._capture.request.is_whole:
            self._capture.request.end()


def _pieces(body: Iterable[Any], capture: Capture) -> Iterator[Any]:
    for piece in body:
        take(capture.request, piece)
        yield piece
    capture.request.end()


@harmless
def take(half: Half, piece: Any) -> None:
    """Captures a piece that a client passes on, whatever it is."""
    half.body(piece)
