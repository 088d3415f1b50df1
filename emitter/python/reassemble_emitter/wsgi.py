"""Captures what a WSGI app is asked and answers: Flask, Django, Pyramid on gunicorn, uWSGI, waitress or any other server."""

from types import TracebackType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Type
from urllib.parse import quote

from .capture import DISCONNECTED, Capture, describe
from .context import CaptureContext, current
from .emitter import Emitter, context_of
from .heads import Text
from .http import body_length, harmless, has_no_body, header, protocol
from .identity import TraceParent

Environ = Dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
Headers = List[Tuple[Text, Text]]


class CaptureMiddleware:
    """A WSGI app around another one, to be put outermost so that it sees what clients see.

    ``CaptureMiddleware(app, Emitter.from_env())``. WSGI shows no order of a request's headers; they are sorted by name.
    """

    def __init__(self, app: App, emitter: Emitter) -> None:
        self.app = app
        self.emitter = emitter

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        begun = self._begin(environ)
        if begun is None:
            return self.app(environ, start_response)
        capture, context = begun
        exchange = _Exchange(capture, context, environ, start_response) if capture is not None else None
        token = current.set(context)
        try:
            if exchange is None:
                return _wrapped(self.app(environ, start_response), None, context)
            return _wrapped(self.app(environ, exchange.start_response), exchange, context)
        except BaseException as fault:
            if exchange is not None:
                exchange.fail(fault)
            raise
        finally:
            current.reset(token)

    @harmless
    def _begin(self, environ: Environ) -> Optional[Tuple[Optional[Capture], CaptureContext]]:
        """The capture, if it is one, and the context; ``None`` where the request is none of the emitter's business."""
        core = self.emitter.open_core()
        method = environ["REQUEST_METHOD"]
        target = _target(environ)
        if core is None or not core.lets(method, target.partition("?")[0]):
            return None
        if environ.get("HTTP_UPGRADE", "").strip().lower() == "websocket":
            # The app answers on the connection itself, where nobody sees the response's head.
            return None
        headers = _headers(environ)
        trace = TraceParent.parse(environ.get("HTTP_TRACEPARENT")) or TraceParent.new(core.draws)
        host = environ.get("HTTP_HOST")
        url = f"{environ['wsgi.url_scheme']}://{host}{target}" if host and target.startswith("/") else target
        version = protocol(environ.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2])
        capture = core.start(version, method, url, "in", headers, _peer(environ), trace, None)
        if capture is not None:
            request = capture.request
            is_encoded = "HTTP_TRANSFER_ENCODING" in environ
            request.expected = body_length(environ.get("CONTENT_LENGTH"), is_encoded, method, version.startswith("http/1"))
            request.filter_body(headers)
            if request.expected == 0:
                request.end()
        return capture, context_of(capture, trace)


def _target(environ: Environ) -> str:
    """The path with the query, as the client sent it where the server shows that."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if raw:
        return str(raw)
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    query = environ.get("QUERY_STRING")
    return quote(path, safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")


def _headers(environ: Environ) -> Headers:
    headers: Headers = []
    for key, value in environ.items():
        name = key[5:] if key.startswith("HTTP_") else key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value else None
        if name is not None and isinstance(value, str):
            headers.append((name.replace("_", "-").title(), value if value.isascii() else value.encode("latin-1")))
    headers.sort(key=lambda pair: pair[0])
    return headers


def _peer(environ: Environ) -> Optional[str]:
    host, port = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")
    if not host:
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else str(host)


class _Exchange:
    """One request with its response, on its way through the app."""

    def __init__(self, capture: Capture, context: CaptureContext, environ: Environ, start_response: StartResponse) -> None:
        self._capture = capture
        self._context = context
        self._method = environ["REQUEST_METHOD"]
        self._start_response = start_response
        self._status = 0
        self._headers: Headers = []
        if not capture.request.ended:
            environ["wsgi.input"] = _Input(environ["wsgi.input"], capture)

    def start_response(
        self, status: str, headers: List[Tuple[str, str]], exc_info: "Optional[Tuple[Type[BaseException], BaseException, TracebackType]]" = None
    ) -> Callable[[bytes], object]:
        """The app's ``start_response``. What is said last before the first byte of the body counts."""
        write = self._start_response(status, headers, *((exc_info,) if exc_info else ()))
        self._started(status, headers)

        def captured_write(data: bytes) -> object:
            self.piece(data)
            return write(data)

        return captured_write

    @harmless
    def _started(self, status: str, headers: List[Tuple[str, str]]) -> None:
        code = status.partition(" ")[0]
        self._status = int(code) if code.isdigit() else 0
        self._headers = [(name, value if value.isascii() else value.encode("latin-1")) for name, value in headers]

    @harmless
    def piece(self, data: bytes) -> None:
        """Takes the next piece of the response's body."""
        if data:
            self._respond()
            self._capture.response.body(data)

    def _respond(self) -> None:
        response = self._capture.response
        if response.begun:
            return
        self._capture._respond(self._status or None, self._headers)
        response.filter_body(self._headers)
        length = header(self._headers, "content-length")
        response.expected = int(length) if length and length.isdigit() else None
        if has_no_body(self._method, self._status or 200):
            response.end()

    @harmless
    def end(self) -> None:
        """The response is whole."""
        self._respond()
        self._capture.response.end()
        self._end_request()

    @harmless
    def give_up(self) -> None:
        """The server reads no more of it."""
        self._respond()
        self._capture.response.give_up("body dropped before its end")
        self._end_request()

    @harmless
    def fail(self, fault: BaseException) -> None:
        """The app raised."""
        self._end_request()
        self._capture.response.fail(describe(fault))

    @harmless
    def assist(self) -> None:
        """The server has sent all that it will."""
        self._capture._assist()

    def _end_request(self) -> None:
        request = self._capture.request
        if not request.ended:
            request.give_up("body not read to its end" if request.seen else "body not read")


def _wrapped(result: Iterable[bytes], exchange: Optional[_Exchange], context: CaptureContext) -> Iterable[bytes]:
    """What the app returned, captured as the server reads it."""
    if isinstance(result, (list, tuple)):
        # Servers tell the length of a list, and hand it over at once.
        if exchange is not None:
            for piece in result:
                exchange.piece(piece)
            exchange.end()
            if type(result) in (list, tuple):
                return _SentWhole(result, exchange)
        return result
    return (_SizedBody if hasattr(result, "__len__") else _Body)(result, exchange, context)


class _SentWhole(List[bytes]):
    """A list that is captured already, whose server says when it has sent it."""

    def __init__(self, pieces: Iterable[bytes], exchange: _Exchange) -> None:
        super().__init__(pieces)
        self._exchange = exchange

    def close(self) -> None:
        """Called by the server when it has sent all."""
        self._exchange.assist()


class _Body:
    """A response's body that is captured as it is read, within its request's context."""

    def __init__(self, inner: Iterable[bytes], exchange: Optional[_Exchange], context: CaptureContext) -> None:
        self._inner = inner
        self._pieces: Optional[Iterator[bytes]] = None
        self._exchange = exchange
        self._context = context

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = current.set(self._context)
        try:
            if self._pieces is None:
                self._pieces = iter(self._inner)
            piece = next(self._pieces)
        except StopIteration:
            if self._exchange is not None:
                self._exchange.end()
            raise
        except BaseException as fault:
            if self._exchange is not None:
                self._exchange.fail(fault)
            raise
        finally:
            current.reset(token)
        if self._exchange is not None:
            self._exchange.piece(piece)
        return piece

    def close(self) -> None:
        """Called by the server when it has read all that it will."""
        token = current.set(self._context)
        try:
            if hasattr(self._inner, "close"):
                self._inner.close()
        finally:
            current.reset(token)
            if self._exchange is not None:
                self._exchange.give_up()
                self._exchange.assist()


class _SizedBody(_Body):
    """One whose length servers may ask for."""

    def __len__(self) -> int:
        return len(self._inner)  # type: ignore[arg-type]


class _Input:
    """A request's body that is captured as the app reads it."""

    def __init__(self, inner: Any, capture: Capture) -> None:
        self._inner = inner
        self._request = capture.request

    def read(self, *size: Any) -> bytes:
        data: bytes = self._inner.read(*size)
        to_end = not size or size[0] is None or size[0] < 0
        self._took(data, to_end or (not data and size[0] > 0))
        return data

    def readline(self, *size: Any) -> bytes:
        data: bytes = self._inner.readline(*size)
        self._took(data, not data and (not size or size[0] != 0))
        return data

    def readlines(self, *hint: Any) -> List[bytes]:
        lines: List[bytes] = self._inner.readlines(*hint)
        self._took(b"".join(lines), not lines)
        return lines

    def readinto(self, buffer: Any) -> int:
        count: int = self._inner.readinto(buffer)
        self._took(bytes(memoryview(buffer)[:count]), count == 0 and len(buffer) > 0)
        return count

    def __iter__(self) -> Iterator[bytes]:
        for line in self._inner:
            self._took(line, False)
            yield line
        self._took(b"", True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @harmless
    def _took(self, data: bytes, at_end: bool) -> None:
        """Captures what was read. A body that ends before its length is cut: the client hung up."""
        request = self._request
        request.body(data)
        if request.is_whole or (at_end and request.expected is None):
            request.end()
        elif at_end:
            request.fail(DISCONNECTED)
