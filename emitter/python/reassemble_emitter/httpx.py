"""Captures what a service asks of others through httpx, as a transport around another one.

``httpx.Client(transport=CaptureTransport(emitter))``, ``httpx.AsyncClient(transport=AsyncCaptureTransport(emitter))``. Each redirect is a call of its own.
"""

from typing import AsyncIterator, Iterator, Optional, Tuple

import httpx

from .capture import Capture
from .emitter import Emitter
from .http import TRACEPARENT, harmless, has_no_body, header
from .outbound import begin_call, end_call, fail_call, take

_DROPPED = "body not read to its end"


class CaptureTransport(httpx.BaseTransport):
    """A transport that hands what passes to ``emitter``; ``inner`` does the work, unless given one of httpx's own."""

    def __init__(self, emitter: Emitter, inner: Optional[httpx.BaseTransport] = None) -> None:
        self._emitter = emitter
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request by the inner transport; raises what that raises."""
        capture, outgoing = _begin(self._emitter, request)
        if capture is None:
            return self._inner.handle_request(outgoing)
        try:
            response = self._inner.handle_request(outgoing)
        except BaseException as fault:
            fail_call(capture, fault)
            raise
        _respond(capture, request, response)
        return response

    def close(self) -> None:
        """Closes the inner transport."""
        self._inner.close()


class AsyncCaptureTransport(httpx.AsyncBaseTransport):
    """As :class:`CaptureTransport`, for ``httpx.AsyncClient``."""

    def __init__(self, emitter: Emitter, inner: Optional[httpx.AsyncBaseTransport] = None) -> None:
        self._emitter = emitter
        self._inner = inner or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request by the inner transport; raises what that raises."""
        capture, outgoing = _begin(self._emitter, request)
        if capture is None:
            return await self._inner.handle_async_request(outgoing)
        try:
            response = await self._inner.handle_async_request(outgoing)
        except BaseException as fault:
            fail_call(capture, fault)
            raise
        _respond(capture, request, response)
        return response

    async def aclose(self) -> None:
        """Closes the inner transport."""
        await self._inner.aclose()


def _begin(emitter: Emitter, request: httpx.Request) -> Tuple[Optional[Capture], httpx.Request]:
    """The capture, and the request to send: the same one, unless its body streams."""
    capture, trace = begin_call(emitter, request.method, str(request.url), list(request.headers.raw))
    if trace is not None:
        request.headers[TRACEPARENT] = trace
    if capture is None:
        return None, request
    if isinstance(request.stream, httpx.ByteStream):
        capture.request.body(b"".join(request.stream))
        capture.request.end()
        return capture, request
    sent = httpx.Request(
        request.method, request.url, headers=request.headers, stream=_Sent(request.stream, capture), extensions=request.extensions
    )
    return capture, sent


@harmless
def _respond(capture: Capture, request: httpx.Request, response: httpx.Response) -> None:
    headers = list(response.headers.raw)
    half = capture.response
    capture._respond(response.status_code, headers)
    half.filter_body(headers)
    if has_no_body(request.method, response.status_code):
        end_call(capture, "")
        half.end()
    elif isinstance(response.stream, httpx.ByteStream):
        # A response made from known bytes, as mocks do; it is not streamed again.
        half.body(b"".join(response.stream))
        half.end()
    else:
        length = header(headers, "content-length")
        half.expected = int(length) if length and length.isdigit() else None
        response.stream = _Received(response.stream, capture)


class _Sent(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request's body that is captured as it is sent."""

    def __init__(self, inner: object, capture: Capture) -> None:
        self._inner = inner
        self._capture = capture

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._inner:  # type: ignore[attr-defined]
            take(self._capture.request, piece)
            yield piece
        self._capture.request.end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:  # type: ignore[attr-defined]
            take(self._capture.request, piece)
            yield piece
        self._capture.request.end()


class _Received(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response's body that is captured as it is read."""

    def __init__(self, inner: object, capture: Capture) -> None:
        self._inner = inner
        self._capture = capture

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:  # type: ignore[attr-defined]
                take(self._capture.response, piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as fault:
            fail_call(self._capture, fault)
            raise
        self._capture.response.end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:  # type: ignore[attr-defined]
                take(self._capture.response, piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as fault:
            fail_call(self._capture, fault)
            raise
        self._capture.response.end()

    def close(self) -> None:
        try:
            self._inner.close()  # type: ignore[attr-defined]
        finally:
            end_call(self._capture, _DROPPED)

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()  # type: ignore[attr-defined]
        finally:
            end_call(self._capture, _DROPPED)
