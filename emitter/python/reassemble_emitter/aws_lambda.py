"""Captures what an AWS Lambda function is asked and answers.

``@capture_handler(emitter)`` around the handler. Events of API Gateway (REST and HTTP APIs), function URLs and load balancers are captured as the HTTP
requests that they stand for, any other as ``lambda`` with the event and the result as JSON. What was captured is written before the handler returns,
for the environment is frozen then.
"""

import base64
import functools
import json
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar
from urllib.parse import quote, quote_plus

from .capture import Capture, describe
from .context import CaptureContext, current
from .emitter import Emitter, context_of
from .http import TRACEPARENT, harmless, header
from .identity import TraceParent

_Handler = TypeVar("_Handler", bound=Callable[..., Any])
_JSON = [("content-type", "application/json")]
_PATH_SAFE = "/:@!$&'()*+,;=~%"


def capture_handler(emitter: Emitter) -> Callable[[_Handler], _Handler]:
    """A decorator for a Lambda function's handler, which it calls with the event and the context as they came."""

    def decorate(handler: _Handler) -> _Handler:
        @functools.wraps(handler)
        def captured(event: Any, context: Any) -> Any:
            begun = _begin(emitter, event, context)
            if begun is None:
                return handler(event, context)
            capture, here, is_http = begun
            token = current.set(here)
            try:
                result = handler(event, context)
            except BaseException as fault:
                if capture is not None:
                    capture.response.fail(describe(fault))
                raise
            else:
                if capture is not None:
                    _answer(capture, result, is_http)
                return result
            finally:
                current.reset(token)
                emitter.flush()

        return captured  # type: ignore[return-value]

    return decorate


class _Request:
    """The HTTP request that an event stands for."""

    def __init__(self, method: str, path: str, query: str, proto: str, peer: Optional[str], headers: List[Tuple[str, str]]) -> None:
        self.method, self.path, self.proto, self.peer, self.headers = method, path, proto, peer, headers
        host = header(headers, "host")
        scheme = header(headers, "x-forwarded-proto") or "https"
        self.url = (f"{scheme}://{host}" if host else "") + path + (f"?{query}" if query else "")


@harmless
def _begin(emitter: Emitter, event: Any, context: Any) -> Optional[Tuple[Optional[Capture], CaptureContext, bool]]:
    core = emitter.open_core()
    request = _request(event) if isinstance(event, dict) else None
    if core is None or (request is not None and not core.lets(request.method, request.path)):
        return None
    tags = {"aws_request_id": str(context.aws_request_id)} if hasattr(context, "aws_request_id") else None
    if request is None:
        trace = TraceParent.new(core.draws)
        target = f"lambda://{getattr(context, 'function_name', '')}"
        capture = core.start("lambda", "invoke", target, "in", list(_JSON), None, trace, None, tags)
        body = json.dumps(event, default=str).encode()
    else:
        trace = TraceParent.parse(header(request.headers, TRACEPARENT)) or TraceParent.new(core.draws)
        capture = core.start(request.proto, request.method, request.url, "in", request.headers, request.peer, trace, None, tags)
        body = _body(event)
    if capture is not None:
        capture.request.filter_body(request.headers if request else _JSON)
        capture.request.body(body)
        capture.request.end()
    return capture, context_of(capture, trace), request is not None


def _request(event: Dict[str, Any]) -> Optional[_Request]:
    about = event.get("requestContext")
    if not isinstance(about, dict):
        return None
    if "http" in about:
        http = about["http"]
        headers = _headers(event)
        if event.get("cookies"):
            headers.append(("cookie", "; ".join(event["cookies"])))
        path, query = event.get("rawPath") or http["path"], event.get("rawQueryString") or ""
        return _Request(http["method"], path, query, http.get("protocol", "HTTP/1.1").lower(), http.get("sourceIp"), headers)
    if "httpMethod" not in event:
        return None
    # A load balancer leaves parameters as they were; API Gateway decodes them.
    spell = (lambda text: text) if "elb" in about else quote_plus
    many = event.get("multiValueQueryStringParameters")
    given = many if many is not None else {name: [value] for name, value in (event.get("queryStringParameters") or {}).items()}
    query = "&".join(f"{spell(name)}={spell(value)}" for name, values in given.items() for value in values)
    path = quote(about.get("path") or event["path"], safe=_PATH_SAFE)
    headers = _headers(event)
    peer = (about.get("identity") or {}).get("sourceIp") or _forwarded_for(headers)
    return _Request(event["httpMethod"], path, query, about.get("protocol", "HTTP/1.1").lower(), peer, headers)


def _forwarded_for(headers: List[Tuple[str, str]]) -> Optional[str]:
    """The address that the load balancer saw; what stands before it any client may have written."""
    return (header(headers, "x-forwarded-for") or "").rpartition(",")[2].strip() or None


def _headers(message: Dict[str, Any]) -> List[Tuple[str, str]]:
    many = message.get("multiValueHeaders") or {}
    named = {name.lower() for name in many}
    pairs = [(name, str(value)) for name, values in many.items() for value in values]
    return pairs + [(name, str(value)) for name, value in (message.get("headers") or {}).items() if name.lower() not in named]


def _body(message: Dict[str, Any]) -> bytes:
    body = message.get("body") or ""
    if not isinstance(body, str):
        return json.dumps(body, default=str).encode()
    return base64.b64decode(body) if message.get("isBase64Encoded") else body.encode("utf-8", "replace")


@harmless
def _answer(capture: Capture, result: Any, is_http: bool) -> None:
    if is_http and isinstance(result, dict) and "statusCode" in result:
        headers = _headers(result) + [("set-cookie", cookie) for cookie in result.get("cookies") or ()]
        status, body = int(result["statusCode"]), _body(result)
    else:
        # What a function returns by itself is JSON; HTTP APIs answer 200 with it.
        headers, status = list(_JSON), 200 if is_http else None  # type: ignore[assignment]
        body = json.dumps(result, default=str).encode()
    capture._respond(status, headers)
    capture.response.filter_body(headers)
    capture.response.body(body)
    capture.response.end()
