"""Captures what a service asks of others through urllib3 (2 or later).

``http = capture(urllib3.PoolManager(), emitter)``. Each attempt and each redirect is a call of its own. Bodies are captured as they came, before urllib3 undoes
their encoding.
"""

from http.client import IncompleteRead
from typing import Any, Callable, Optional, TypeVar, Union

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from .capture import Capture, describe
from .emitter import Emitter
from .http import TRACEPARENT, harmless
from .outbound import begin_call, captured_body, end_call, fail_call

_Pools = TypeVar("_Pools", bound=Union[urllib3.PoolManager, HTTPConnectionPool])


def capture(pools: _Pools, emitter: Emitter) -> _Pools:
    """Has all that a manager's (or a pool's) new connections carry captured; gives the same manager."""
    if isinstance(pools, HTTPConnectionPool):
        pools.ConnectionCls = type("CapturedConnection", (_Captured, pools.ConnectionCls), {"_emitter": emitter})
        return pools
    new_pool = pools._new_pool

    def captured_pool(*args: Any, **kwargs: Any) -> HTTPConnectionPool:
        return capture(new_pool(*args, **kwargs), emitter)

    pools._new_pool = captured_pool  # type: ignore[method-assign]
    return pools


class _Captured(HTTPConnection):
    """A connection whose requests and responses are captured."""

    _emitter: Emitter
    _capture: Optional[Capture] = None

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        headers = {} if headers is None else headers
        self._capture, trace = begin_call(self._emitter, method, self._absolute(url), list(headers.items()))
        if trace is not None:
            headers = headers.copy()
            headers[TRACEPARENT] = trace
        begun = self._capture
        if begun is None:
            super().request(method, url, body, headers, **options)
            return
        try:
            super().request(method, url, captured_body(begun, body), headers, **options)
        except BaseException as fault:
            fail_call(begun, fault)
            raise

    def getresponse(self) -> Any:
        begun, self._capture = self._capture, None
        if begun is None:
            return super().getresponse()
        options = self._response_options
        preload = options is not None and options.preload_content
        if options is not None:
            # The body is read below, once it is captured, where urllib3 would have read it.
            self._response_options = options._replace(preload_content=False)
        try:
            response = super().getresponse()
        except BaseException as fault:
            fail_call(begun, fault)
            raise
        capture_response(begun, response)
        if preload and options is not None:
            response._body = response.read(decode_content=options.decode_content)
        return response

    def _absolute(self, url: str) -> str:
        if "://" in url:
            return url
        scheme = "https" if self.default_port == 443 else "http"
        host = getattr(self, "_tunnel_host", None) or self.host
        port = (getattr(self, "_tunnel_port", None) if getattr(self, "_tunnel_host", None) else self.port) or self.default_port
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}{'' if port == self.default_port else f':{port}'}{url}"


@harmless
def capture_response(begun: Capture, response: Any) -> None:
    """Captures a ``urllib3.HTTPResponse`` as its body is read."""
    headers = list(response.headers.items())
    half = begun.response
    begun._respond(response.status, headers)
    half.filter_body(headers)
    half.expected = getattr(response, "length_remaining", None)
    if half.expected == 0:
        half.end()
        end_call(begun, "")
    elif all(hasattr(response, name) for name in _TAPPED):
        _Tap(begun, response)
    else:
        half.leave_out()
        end_call(begun, "body not seen")


#: What a response reads its body by, as it came.
_TAPPED = ("_fp_read", "_handle_chunk", "_update_chunk_length", "release_conn", "close")


class _Tap:
    """Stands in for the methods by which one response reads, until its body has ended."""

    def __init__(self, begun: Capture, response: Any) -> None:
        self._capture = begun
        self._response = response
        self._fp_read: Callable[..., bytes] = response._fp_read
        self._handle_chunk: Callable[..., bytes] = response._handle_chunk
        self._update_chunk_length: Callable[[], None] = response._update_chunk_length
        self._release_conn: Callable[[], None] = response.release_conn
        self._close: Callable[[], None] = response.close
        response._fp_read = self.fp_read
        response._handle_chunk = self.handle_chunk
        response._update_chunk_length = self.update_chunk_length
        response.release_conn = self.release_conn
        response.close = self.close

    def fp_read(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = self._guarded(self._fp_read, *args, **kwargs)
        amount = args[0] if args else kwargs.get("amt")
        half = self._capture.response
        half.body(data)
        if half.is_whole or amount is None or (not data and amount != 0):
            self._end("" if half.expected in (None, half.seen) else "body ended early")
        return data

    def handle_chunk(self, *args: Any) -> bytes:
        data: bytes = self._guarded(self._handle_chunk, *args)
        self._capture.response.body(data)
        return data

    def update_chunk_length(self) -> None:
        self._guarded(self._update_chunk_length)
        if self._response.chunk_left == 0:
            self._end("")

    def release_conn(self) -> None:
        try:
            self._release_conn()
        finally:
            if self._response._connection is None:
                self._end("body not read to its end")

    def close(self) -> None:
        try:
            self._close()
        finally:
            self._end("body not read to its end")

    def _guarded(self, read: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return read(*args, **kwargs)
        except BaseException as fault:
            if isinstance(fault, IncompleteRead):
                self._capture.response.body(fault.partial)
            self._end(describe(fault))
            raise

    @harmless
    def _end(self, error: str) -> None:
        if error:
            self._capture.response.give_up(error)
        else:
            self._capture.response.end()
        end_call(self._capture, "")
        for name in _TAPPED:
            self._response.__dict__.pop(name, None)
