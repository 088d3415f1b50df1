"""Flask on gunicorn, its workers on one standard output, asked by real clients."""

import concurrent.futures
import http.client
import socket
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest
from servers import serving, wait_until

from reassemble_emitter.wsgi import CaptureMiddleware

GEVENT = ["--workers", "2", "--worker-class", "gevent"]
GUNICORN = ["gunicorn", "apps.wsgi_app:app", "--bind", "127.0.0.1:{port}", "--log-level", "critical"]


@pytest.fixture
def ask(log):
    def ask(work, *more, **environ):
        with serving([*GUNICORN, *more], log, **environ) as address:
            answer = work(address)
        return answer, sorted(log.exchanges(), key=lambda e: e.req.head["ts"])

    return ask


def test_request_and_response_are_captured_as_they_were(ask):
    headers = {"X-Name": "café".encode(), "Cookie": "s3cret"}
    answer, (exchange,) = ask(lambda at: httpx.get(f"http://{at}/hello/a%2Fb%20c?b=%20c&token=s3cret", headers=headers))
    assert answer.status_code == 404
    head = exchange.req.head
    assert head["url"].endswith("/hello/a%2Fb%20c?b=%20c&token=[redacted]") and head["url"].startswith("http://127.0.0.1:")
    assert (head["dir"], head["proto"], head["method"]) == ("in", "http/1.1", "GET")
    assert head["peer"].startswith("127.0.0.1:") and head["trace"].startswith("00-")
    assert exchange.req.header("x-name") == ["café"] and exchange.req.header("cookie") == ["[redacted]"]
    names = [name for name, _ in head["headers"]]
    assert names == sorted(names)
    assert exchange.res.head["status"] == 404 and exchange.res.body == answer.content
    assert exchange.res.header("content-length") == [str(len(answer.content))]


def test_bodies_pass_unchanged(ask):
    body = bytes(range(256)) * 4000

    def work(at):
        echoed = httpx.post(f"http://{at}/echo", content=body).content
        chunked = httpx.post(f"http://{at}/echo", content=iter([b"ab", b"c" * 70_000])).content
        names = httpx.post(f"http://{at}/form", data={"a": "1", "password": "s3cret"}).json()
        return echoed, chunked, names

    (echoed, chunked, names), (first, second, third) = ask(work)
    assert echoed == first.req.body == first.res.body == body
    assert chunked == second.req.body == second.res.body == b"ab" + b"c" * 70_000
    assert names == {"names": ["a", "password"]} and third.req.body == b"a=1&password=[redacted]"
    assert all("truncated" not in part.tail for e in (first, second, third) for part in (e.req, e.res))


def test_a_body_that_the_handler_does_not_read(ask):
    _, (exchange,) = ask(lambda at: httpx.post(f"http://{at}/ignore", content=b"x" * 100))
    assert exchange.req.tail["error"] == "body not read" and exchange.res.body == b'{"read":false}\n'


def test_a_stream_runs_within_its_request(ask):
    answer, (exchange,) = ask(lambda at: httpx.get(f"http://{at}/stream"))
    assert answer.content == exchange.res.body
    assert [line.split()[2] for line in answer.text.splitlines()] == [exchange.id] * 5


def test_handlers_that_fail(ask):
    def work(at):
        statuses = [httpx.get(f"http://{at}/{path}").status_code for path in ("broken", "plain/raise")]
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://{at}/broken-stream")
        return statuses

    statuses, (broken, raised, stream) = ask(work)
    assert statuses == [500, 500]
    assert broken.res.head["status"] == 500 and "error" not in broken.res.tail
    assert raised.res.tail["error"] == "LookupError" and "status" not in raised.res.head
    assert stream.res.body == b"start" and stream.res.tail["error"] == "RuntimeError"


def test_what_wsgi_allows(ask):
    def work(at):
        texts = [httpx.get(f"http://{at}/plain/{path}").text for path in ("list", "write", "file")]
        connection = http.client.HTTPConnection(at)
        connection.request("HEAD", "/stream")
        return texts, connection.getresponse().read()

    (texts, nothing), exchanges = ask(work)
    assert texts == ["one two", "written and returned", "from a file"] and nothing == b""
    assert [e.res.body.decode() for e in exchanges] == [*texts, ""]
    assert all("truncated" not in e.res.tail for e in exchanges)


def test_a_client_that_hangs_up(ask, log):
    def work(at):
        host, port = at.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /echo HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000\r\n\r\nhalf")
        return wait_until(log.exchanges)

    _, (exchange,) = ask(work)
    assert exchange.req.head["url"] == "http://shop.test/echo" and exchange.req.body == b"half"
    assert exchange.req.tail["truncated"] and exchange.req.tail["full_len"] == 1000 and exchange.req.tail["error"]


@pytest.mark.parametrize("more", [["--workers", "3"], ["--workers", "3", "--preload"], ["--workers", "2", "--threads", "4"], GEVENT])
def test_workers_share_one_output_and_lose_nothing(ask, log, more):
    if more is GEVENT:
        pytest.importorskip("gevent")
    def work(at):
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda n: httpx.post(f"http://{at}/echo", content=b"%d " % n * 3000), range(60)))

    _, exchanges = ask(work, *more)
    assert len(exchanges) == 60
    assert all(e.req.body == e.res.body and "truncated" not in e.res.tail for e in exchanges)
    by_process = {}
    for exchange in exchanges:
        by_process.setdefault(exchange.req.head["inst"], []).append(exchange.req.head["n"])
    assert all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in by_process.values())
    assert sum(meta["finished"] for meta in log.metas()) == 60


def test_the_middleware_keeps_to_wsgi(make, log):
    def app(environ, start_response):
        environ["wsgi.input"].read(3)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"a", b"b"])

    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "3", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    environ["wsgi.input"].write(b"abc")
    environ["wsgi.input"].seek(0)
    emitter = make()
    checked = validator(CaptureMiddleware(validator(app), emitter))
    result = checked(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert b"".join(result) == b"ab"
    result.close()
    emitter.shutdown()
    assert (log.only().req.body, log.only().res.body) == (b"abc", b"ab")


def test_a_websocket_is_left_alone(make, log):
    environ = {"HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "WebSocket"}
    setup_testing_defaults(environ)
    seen = []

    def app(environ, start_response):
        seen.append((environ["wsgi.input"], start_response))
        return []

    def start_response(status, headers, exc_info=None):
        raise AssertionError("nothing is said here")

    emitter = make()
    given = environ["wsgi.input"]
    assert CaptureMiddleware(app, emitter)(environ, start_response) == []
    emitter.shutdown()
    assert seen == [(given, start_response)] and log.exchanges() == []
