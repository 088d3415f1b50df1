"""FastAPI on uvicorn, asked by real clients."""

import http.client
import json
import socket

import httpx
import pytest
from servers import serving, wait_until
from websockets.sync.client import connect

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UVICORN = ["uvicorn", "apps.asgi_app:app", "--port", "{port}", "--log-level", "critical"]


@pytest.fixture
def ask(log):
    """Asks a server in its own process, ends it, and gives the exchanges that it printed."""

    def ask(work, command=UVICORN, **environ):
        with serving(command, log, **environ) as address:
            answer = work(address)
        return answer, log.exchanges()

    return ask


def test_request_and_response_are_captured_as_they_were(ask):
    headers = {"X-One": "1", "traceparent": TRACE, "Authorization": "Bearer s3cret"}
    answer, (exchange,) = ask(lambda at: httpx.get(f"http://{at}/hello/ann?b=%20c&token=s3cret", headers=headers))
    assert answer.json() == {"hello": "ann", "token": "s3cret"}
    head = exchange.req.head
    assert head["url"].endswith("/hello/ann?b=%20c&token=[redacted]") and head["url"].startswith("http://127.0.0.1:")
    assert (head["dir"], head["proto"], head["method"], head["trace"], head["why"]) == ("in", "http/1.1", "GET", TRACE, "all")
    assert head["peer"].startswith("127.0.0.1:")
    assert exchange.req.header("authorization") == ["[redacted]"] and exchange.req.header("x-one") == ["1"]
    assert [name for name, _ in head["headers"]][0] == "host"
    assert exchange.res.head["status"] == 200 and exchange.res.header("content-type") == ["application/json"]
    assert exchange.res.body == b'{"hello":"ann","token":"[redacted]"}'
    assert set(exchange.req.tail) == set(exchange.res.tail) == {"len", "crc", "us"}


def test_bodies_pass_unchanged(ask):
    body = bytes(range(256)) * 4000
    answer, (exchange,) = ask(lambda at: httpx.post(f"http://{at}/echo", content=body))
    assert answer.content == exchange.req.body == exchange.res.body == body


def test_a_streamed_upload_and_a_chunked_reply(ask):
    def work(at):
        size = httpx.post(f"http://{at}/upload", content=(b"x" * 1000 for _ in range(50))).json()
        return size, httpx.get(f"http://{at}/stream").content

    (size, text), exchanges = ask(work)
    assert size == {"size": 50_000} and text == b"".join(b"piece %d\n" % n for n in range(5))
    upload, stream = sorted(exchanges, key=lambda e: e.req.head["n"])
    assert upload.req.body == b"x" * 50_000 and upload.req.header("transfer-encoding") == ["chunked"]
    assert stream.res.body == text and "truncated" not in stream.res.tail


def test_a_body_that_the_handler_does_not_read(ask):
    _, (exchange,) = ask(lambda at: httpx.post(f"http://{at}/ignore", content=b"x" * 100))
    assert exchange.req.tail["error"] == "body not read" and exchange.req.tail["full_len"] == 100
    assert exchange.res.body == b'{"read":false}'


def test_a_client_that_hangs_up(ask, log):
    def work(at):
        host, port = at.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            client.recv(4096)
        return wait_until(lambda: [e for e in log.exchanges() if e.res and e.res.tail])

    _, (exchange,) = ask(work)
    assert exchange.req.head["url"] == "http://shop.test/endless"
    assert exchange.res.tail["error"] == "client disconnected" and exchange.res.tail["truncated"] and exchange.res.body


def test_a_handler_that_fails(ask):
    def work(at):
        status = httpx.get(f"http://{at}/broken").status_code
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://{at}/broken-stream")
        return status

    status, exchanges = ask(work)
    assert status == 500
    broken, stream = sorted(exchanges, key=lambda e: e.req.head["n"])
    # FastAPI answers and raises again.
    assert broken.res.head["status"] == 500 and "error" not in broken.res.tail
    assert stream.res.body == b"start" and stream.res.tail["truncated"] and "RuntimeError" in stream.res.tail["error"]
    assert b"s3cret" not in json.dumps([e.res.tail for e in exchanges]).encode()


def test_the_handler_knows_its_capture(ask):
    answer, (exchange,) = ask(lambda at: httpx.get(f"http://{at}/context").json())
    assert answer["trace"] == exchange.req.head["trace"]
    assert len(answer["id"]) == 36


def test_messages_without_a_body(ask):
    def work(at):
        connection = http.client.HTTPConnection(at)
        connection.request("HEAD", "/stream")
        assert connection.getresponse().read() == b""
        return httpx.get(f"http://{at}/nothing").status_code

    status, exchanges = ask(work)
    assert status == 204
    assert all(e.res.body == b"" and "truncated" not in e.res.tail for e in exchanges) and len(exchanges) == 2


def test_a_websocket_works_and_its_head_is_captured(ask):
    def work(at):
        with connect(f"ws://{at}/socket") as client:
            client.send("ann")
            return client.recv()

    answer, (exchange,) = ask(work)
    assert answer == "hello ann"
    assert exchange.res.head["status"] == 101 and exchange.req.body == exchange.res.body == b""


def test_filters_leave_out_uncounted(ask, log):
    def work(at):
        for path in ("hello/x", "nothing"):
            httpx.get(f"http://{at}/{path}")
        httpx.post(f"http://{at}/echo", content=b"x")

    _, (exchange,) = ask(work, CAPTURE_SKIP_PATHS="/hello/*", CAPTURE_SKIP_METHODS="post")
    assert exchange.req.head["url"].endswith("/nothing")
    assert log.metas()[-1]["sampled_out"] == 0


def test_bodies_of_a_type_that_is_left_out(ask):
    _, (exchange,) = ask(lambda at: httpx.get(f"http://{at}/stream"), CAPTURE_SKIP_BODY_TYPES="text/*")
    assert exchange.res.body == b"" and exchange.res.tail["truncated"] and exchange.res.tail["full_len"] == 40


def test_errors_that_sampling_left_out(ask, log):
    def work(at):
        httpx.get(f"http://{at}/hello/x")
        httpx.get(f"http://{at}/broken")

    _, (exchange,) = ask(work, CAPTURE_SAMPLE_RATE="0", CAPTURE_ERRORS="always")
    assert exchange.req.head["url"].endswith("/broken") and exchange.req.head["why"] == "error"
    assert log.metas()[-1]["sampled_out"] == 1


def test_off(ask):
    answer, exchanges = ask(lambda at: httpx.get(f"http://{at}/hello/x"), CAPTURE_OUTPUT="off")
    assert answer.status_code == 200 and exchanges == []
