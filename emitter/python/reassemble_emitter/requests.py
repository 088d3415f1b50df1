"""Captures what a service asks of others through requests.

``session = capture(requests.Session(), emitter)``, or ``session.mount("https://", CaptureAdapter(emitter))``. Each redirect is a call of its own.
"""

from typing import Any, Optional

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from .emitter import Emitter
from .http import TRACEPARENT
from .outbound import begin_call, captured_body, fail_call
from .urllib3 import capture_response


def capture(session: requests.Session, emitter: Emitter) -> requests.Session:
    """Has all that a session asks captured, by the adapters that it has; gives the same session."""
    for prefix, adapter in list(session.adapters.items()):
        session.mount(prefix, CaptureAdapter(emitter, adapter))
    return session


class CaptureAdapter(BaseAdapter):
    """An adapter that hands what passes to ``emitter``; ``inner`` does the work, unless given one of requests' own."""

    def __init__(self, emitter: Emitter, inner: Optional[BaseAdapter] = None) -> None:
        super().__init__()
        self._emitter = emitter
        self._inner = inner or HTTPAdapter()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends a request by the inner adapter; raises what that raises."""
        begun, trace = begin_call(self._emitter, request.method or "GET", request.url or "", list(request.headers.items()))
        if trace is not None:
            request.headers[TRACEPARENT] = trace
        if begun is None:
            return self._inner.send(request, *args, **kwargs)
        body = request.body
        request.body = captured_body(begun, body)
        try:
            response = self._inner.send(request, *args, **kwargs)
        except BaseException as fault:
            fail_call(begun, fault)
            raise
        finally:
            # A redirect winds the app's own body back.
            request.body = body
        capture_response(begun, response.raw)
        return response

    def close(self) -> None:
        """Closes the inner adapter."""
        self._inner.close()
