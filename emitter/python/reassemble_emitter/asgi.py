"""Captures what an ASGI app is asked and answers: FastAPI, Starlette, Django, Quart on uvicorn, hypercorn or any other server."""

from typing import Any, Awaitable, Callable, MutableMapping, Optional, Tuple
from urllib.parse import quote

from .capture import DISCONNECTED, Capture, describe
from .context import current
from .emitter import Emitter, context_of
from .http import body_length, harmless, has_no_body, protocol
from .identity import TraceParent

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Bodies that the server reads by itself, past the app.
_UNSEEN = ("http.response.pathsend", "http.response.zerocopysend")


class CaptureMiddleware:
    """An ASGI app around another one, to be put outermost so that it sees what clients see.

    ``CaptureMiddleware(app, Emitter.from_env())``. Of a websocket the head is captured; what flows behind it is left alone.
    """

    def __init__(self, app: App, emitter: Emitter) -> None:
        self.app = app
        self.emitter = emitter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self.emitter.is_on:
            await _Lifespan(self.emitter, receive, send).run(self.app, scope)
            return
        begun = self._begin(scope) if scope["type"] in ("http", "websocket") else None
        if begun is None:
            await self.app(scope, receive, send)
            return
        capture, trace = begun
        token = current.set(context_of(capture, trace))
        try:
            if capture is None:
                await self.app(scope, receive, send)
                return
            exchange = (_Exchange if scope["type"] == "http" else _Handshake)(capture, scope, receive, send)
            try:
                await self.app(scope, exchange.receive, exchange.send)
            except BaseException as fault:
                exchange.end(describe(fault))
                raise
            exchange.end("")
        finally:
            current.reset(token)

    @harmless
    def _begin(self, scope: Scope) -> Optional[Tuple[Optional[Capture], TraceParent]]:
        """The capture, if it is one, and the trace; ``None`` where the request is none of the emitter's business."""
        method = scope.get("method", "GET")
        target = scope.get("raw_path")
        path = target.decode("latin-1").partition("?")[0] if target else quote(scope["path"], safe="/:@!$&'()*+,;=~")
        core = self.emitter.open_core()
        if core is None or not core.lets(method, path):
            return None
        headers = list(scope["headers"])
        # Names are in lowercase by ASGI; of repeated ones the first counts.
        first = dict(reversed(headers)).get
        traceparent = first(b"traceparent")
        trace = (TraceParent.parse(traceparent.decode("latin-1")) if traceparent else None) or TraceParent.new(core.draws)
        host = first(b"host")
        query = scope.get("query_string")
        url = f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}{path}" if host else path
        if query:
            url += f"?{query.decode('latin-1')}"
        version = protocol(scope.get("http_version", "1.1"))
        capture = core.start(version, method, url, "in", headers, _peer(scope), trace, None)
        if capture is not None and scope["type"] == "http":
            request = capture.request
            length = first(b"content-length", b"").decode("latin-1")
            request.expected = body_length(length, first(b"transfer-encoding") is not None, method, version.startswith("http/1"))
            request.filter_body(headers)
            if request.expected == 0:
                request.end()
        return capture, trace


def _peer(scope: Scope) -> Optional[str]:
    client = scope.get("client")
    if not client or not client[0]:
        return None
    host, port = client[0], client[1]
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else str(host)


class _Lifespan:
    """The server's start and end: at its end all is written, for servers such as uvicorn end by a signal, without the interpreter's exit hooks."""

    def __init__(self, emitter: Emitter, receive: Receive, send: Send) -> None:
        self._emitter = emitter
        self._receive = receive
        self._send = send
        self._received = False

    async def run(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            # Django refuses at once; then the lifespan is the middleware's alone.
            if self._received:
                raise
            message: Message = {"type": ""}
            while message["type"] != "lifespan.shutdown":
                message = await self._receive()
                await self.send({"type": f"{message['type']}.complete"})

    async def receive(self) -> Message:
        self._received = True
        return await self._receive()

    async def send(self, message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            self._emitter.settle()
        await self._send(message)


class _Exchange:
    """One request with its response, as messages pass."""

    def __init__(self, capture: Capture, scope: Scope, receive: Receive, send: Send) -> None:
        self._capture = capture
        self._method = scope.get("method", "GET")
        self._receive = receive
        self._send = send
        self._left = False
        self._trailers = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._received(message)
        return message

    @harmless
    def _received(self, message: Message) -> None:
        request = self._capture.request
        if message["type"] == "http.request":
            request.body(message.get("body", b""))
            if not message.get("more_body", False):
                request.end()
        elif message["type"] == "http.disconnect" and not self._capture.response.ended:
            self._left = True
            if not request.ended:
                request.give_up(DISCONNECTED)

    async def send(self, message: Message) -> None:
        self._sending(message)
        await self._send(message)
        self._sent(message)

    @harmless
    def _sending(self, message: Message) -> None:
        kind = message["type"]
        response = self._capture.response
        if kind == "http.response.start":
            headers = list(message.get("headers", ()))
            self._trailers = bool(message.get("trailers", False))
            self._capture._respond(message["status"], headers)
            response.filter_body(headers)
            if has_no_body(self._method, message["status"]):
                response.end()
        elif kind == "http.response.body":
            response.body(message.get("body", b""))

    @harmless
    def _sent(self, message: Message) -> None:
        kind = message["type"]
        response = self._capture.response
        if kind == "http.response.body" and not message.get("more_body", False) and not self._trailers:
            response.end()
        elif kind == "http.response.trailers" and not message.get("more_trailers", False):
            response.end(list(message.get("headers", ())))
        elif kind in _UNSEEN and not message.get("more_body", False):
            response.leave_out()
            response.fail("body sent by the server")

    @harmless
    def end(self, error: str) -> None:
        """The app has returned, or failed with ``error``."""
        request, response = self._capture.request, self._capture.response
        if self._left:
            error = DISCONNECTED
        if not request.ended:
            request.give_up("body not read to its end" if request.seen else "body not read")
        if not response.ended:
            response.fail(error or ("body not sent to its end" if response.begun else "no response"))
        self._capture._assist()


class _Handshake:
    """A websocket's head. What flows behind it passes untouched."""

    def __init__(self, capture: Capture, scope: Scope, receive: Receive, send: Send) -> None:
        self._capture = capture
        self.receive = receive
        self._send = send
        capture.request.end()

    @harmless
    def end(self, error: str) -> None:
        """The app has returned, or failed with ``error``."""
        self._capture.response.fail(error or "no response")

    async def send(self, message: Message) -> None:
        self._sending(message)
        await self._send(message)

    @harmless
    def _sending(self, message: Message) -> None:
        status = {"websocket.accept": 101, "websocket.close": 403}.get(message["type"], message.get("status"))
        response = self._capture.response
        if not response.ended:
            if status is not None:
                self._capture._respond(status, list(message.get("headers", ())))
            if message["type"] == "websocket.http.response.body":
                response.body(message.get("body", b""))
            if message["type"] != "websocket.http.response.start" and not message.get("more_body", False):
                response.end()
