"""Calls to a real server through each client."""

import asyncio
import contextlib
import gzip
import http.server
import io
import json
import threading

import httpx
import pytest
import requests
import urllib3

from reassemble_emitter import CaptureContext, TraceParent
from reassemble_emitter.context import current
from reassemble_emitter.httpx import AsyncCaptureTransport, CaptureTransport
from reassemble_emitter.requests import capture as capture_session
from reassemble_emitter.urllib3 import capture as capture_manager

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PACKED = gzip.compress(b"packed " * 100)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status, body, *headers, length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()

    def do_POST(self):
        body = self._body()
        path = self.path.partition("?")[0]
        if path == "/echo":
            self._answer(200, body, ("Content-Type", "application/octet-stream"), ("X-Twice", "a"), ("X-Twice", "b"))
        elif path == "/headers":
            self._answer(200, json.dumps(dict(self.headers)).encode())
        elif path == "/gzip":
            self._answer(200, PACKED, ("Content-Encoding", "gzip"), ("Content-Type", "application/json"))
        elif path == "/moved":
            self._answer(307, b"", ("Location", "/echo"))
        elif path == "/short":
            self._answer(200, b"half", length=8)
            self.close_connection = True
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for n in range(3):
                self.wfile.write(b"7\r\npiece %d\r\n" % n)
                self.wfile.flush()
                if self.headers.get("X-Wait"):
                    assert self.server.go_on.wait(20)
                    self.server.go_on.clear()
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    do_GET = do_POST


@pytest.fixture(scope="module")
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # Clients that let go of a reply are part of what is tried.
    server.handle_error = lambda *args: None
    server.go_on = threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


class Requests:
    def __init__(self, emitter):
        self.session = capture_session(requests.Session(), emitter)

    def ask(self, method, url, body=None, headers=None):
        answer = self.session.request(method, url, data=body, headers=headers)
        return answer.status_code, answer.content

    def pieces(self, url, headers):
        with self.session.get(url, headers=headers, stream=True) as answer:
            yield from answer.iter_content(None)


class Urllib3:
    def __init__(self, emitter):
        self.http = capture_manager(urllib3.PoolManager(retries=urllib3.Retry(connect=0, read=0, redirect=3)), emitter)

    def ask(self, method, url, body=None, headers=None):
        answer = self.http.request(method, url, body=body, headers=headers)
        return answer.status, answer.data

    def pieces(self, url, headers):
        answer = self.http.request("GET", url, headers=headers, preload_content=False)
        yield from answer.stream(None)
        answer.close()


class Httpx:
    def __init__(self, emitter):
        self.client = httpx.Client(transport=CaptureTransport(emitter), follow_redirects=True)

    def ask(self, method, url, body=None, headers=None):
        answer = self.client.request(method, url, content=body, headers=headers)
        return answer.status_code, answer.content

    def pieces(self, url, headers):
        with self.client.stream("GET", url, headers=headers) as answer:
            yield from answer.iter_raw()


class AsyncHttpx:
    def __init__(self, emitter):
        self.emitter = emitter

    def ask(self, method, url, body=None, headers=None):
        async def ask():
            async with httpx.AsyncClient(transport=AsyncCaptureTransport(self.emitter), follow_redirects=True) as client:
                content = body
                if body is not None and not isinstance(body, bytes):

                    async def pieces():
                        for piece in body:
                            yield piece

                    content = pieces()
                answer = await client.request(method, url, content=content, headers=headers)
                return answer.status_code, answer.content

        return asyncio.run(ask())

    def pieces(self, url, headers):
        async def pieces():
            async with httpx.AsyncClient(transport=AsyncCaptureTransport(self.emitter)) as client:
                async with client.stream("GET", url, headers=headers) as answer:
                    async for piece in answer.aiter_raw():
                        yield piece

        with contextlib.closing(asyncio.new_event_loop()) as loop:
            stream = pieces()
            try:
                while True:
                    yield loop.run_until_complete(stream.__anext__())
            except StopAsyncIteration:
                pass
            finally:
                loop.run_until_complete(stream.aclose())


@pytest.fixture(params=[Requests, Urllib3, Httpx, AsyncHttpx], ids=lambda kind: kind.__name__.lower())
def client(request, make):
    emitter = make()
    client = request.param(emitter)
    client.emitter = emitter
    return client


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}"


def calls(client, log):
    client.emitter.shutdown()
    return sorted(log.exchanges(), key=lambda e: e.req.head["n"])


def test_a_call_is_captured_as_it_was(client, log, url):
    body = bytes(range(256)) * 500
    status, answer = client.ask("POST", f"{url}/echo?a=%20b&token=s3cret", body, {"Authorization": "s3cret", "X-One": "1"})
    assert (status, answer) == (200, body)
    (call,) = calls(client, log)
    head = call.req.head
    assert head["url"] == f"{url}/echo?a=%20b&token=[redacted]"
    assert (head["dir"], head["proto"], head["method"], "parent" in head) == ("out", "http/1.1", "POST", False)
    assert call.req.header("authorization") == ["[redacted]"] and call.req.header("x-one") == ["1"]
    assert call.req.header("traceparent") == [head["trace"]]
    assert call.req.body == call.res.body == body
    assert call.res.head["status"] == 200 and call.res.header("x-twice") in (["a", "b"], ["a, b"])
    assert set(call.req.tail) == set(call.res.tail) == {"len", "crc", "us"}


def test_the_trace_is_the_requests_own_or_continues_that_of_its_cause(client, log, url):
    seen = [json.loads(client.ask("GET", f"{url}/headers")[1])]
    token = current.set(CaptureContext("cause", TraceParent(TRACE)))
    seen.append(json.loads(client.ask("GET", f"{url}/headers")[1]))
    current.reset(token)
    given = TRACE.replace("4bf9", "aaaa")
    seen.append(json.loads(client.ask("GET", f"{url}/headers", headers={"traceparent": given})[1]))
    sent = [next(value for name, value in headers.items() if name.lower() == "traceparent") for headers in seen]
    captured = calls(client, log)
    assert sent == [call.req.head["trace"] for call in captured]
    assert TraceParent.parse(sent[0]) and sent[1][3:35] == TRACE[3:35] and sent[1] != TRACE and sent[2] == given
    assert [call.req.head.get("parent") for call in captured] == [None, "cause", None]


def test_a_streamed_request(client, log, url):
    status, answer = client.ask("POST", f"{url}/echo", iter([b"ab", b"c" * 5000]))
    assert answer == b"ab" + b"c" * 5000
    (call,) = calls(client, log)
    assert call.req.body == call.res.body == answer
    assert "truncated" not in call.req.tail


def test_an_encoded_body_is_captured_as_it_came(client, log, url):
    assert client.ask("GET", f"{url}/gzip")[1] == b"packed " * 100
    (call,) = calls(client, log)
    assert call.res.body == PACKED and "truncated" not in call.res.tail


def test_a_chunked_reply(client, log, url):
    assert client.ask("GET", f"{url}/chunked")[1] == b"piece 0piece 1piece 2"
    (call,) = calls(client, log)
    assert call.res.body == b"piece 0piece 1piece 2" and "truncated" not in call.res.tail


def test_redirects_are_calls_of_their_own(client, log, url):
    token = current.set(CaptureContext("cause", TraceParent(TRACE)))
    assert client.ask("POST", f"{url}/moved", b"moving")[1] == b"moving"
    current.reset(token)
    first, second = calls(client, log)
    assert (first.res.head["status"], second.res.head["status"]) == (307, 200)
    assert first.req.body == second.req.body == second.res.body == b"moving"
    assert [call.req.head["parent"] for call in (first, second)] == ["cause", "cause"]
    assert {call.req.head["trace"][3:35] for call in (first, second)} == {TRACE[3:35]}


def test_a_reply_without_a_body(client, log, url):
    assert client.ask("HEAD", f"{url}/x") == (200, b"")
    (call,) = calls(client, log)
    assert call.res.body == b"" and set(call.res.tail) == {"len", "crc", "us"}


def test_a_reply_that_ends_early(client, log, url):
    with pytest.raises(Exception):
        client.ask("GET", f"{url}/short")
    (call,) = calls(client, log)
    assert call.res.head["status"] == 200 and call.res.body == b"half"
    assert call.res.tail["truncated"] and call.res.tail["error"] and call.res.tail["full_len"] == 8


@pytest.mark.parametrize("where", ["{url}/nothing?token=s3cret", "http://127.0.0.1:1/?token=s3cret"])
def test_a_call_that_fails(client, log, url, where):
    with pytest.raises(Exception):
        client.ask("POST", where.format(url=url), b"asked")
    (call,) = calls(client, log)
    assert call.res.tail["error"] and call.res.tail["truncated"] and "status" not in call.res.head
    assert b"s3cret" not in log.path.read_bytes()


def test_pieces_come_as_they_are_sent(client, log, url, server):
    pieces = []
    for piece in client.pieces(f"{url}/chunked", {"X-Wait": "1"}):
        pieces.append(piece)
        server.go_on.set()
    assert pieces == [b"piece 0", b"piece 1", b"piece 2"]
    (call,) = calls(client, log)
    assert call.res.body == b"".join(pieces) and "truncated" not in call.res.tail


def test_a_reply_that_is_let_go_of(client, log, url, server):
    pieces = client.pieces(f"{url}/chunked", {"X-Wait": "1"})
    assert next(pieces) == b"piece 0"
    pieces.close()
    del pieces
    server.go_on.set()
    (call,) = calls(client, log)
    assert call.res.body == b"piece 0" and call.res.tail["truncated"]


def test_a_file_is_uploaded_and_wound_back(make, log, url):
    emitter = make()
    session = capture_session(requests.Session(), emitter)
    body = b"file " * 10_000
    assert session.post(f"{url}/moved", data=io.BytesIO(body)).content == body
    http = capture_manager(urllib3.PoolManager(), emitter)
    assert http.request("POST", f"{url}/echo", body=io.BytesIO(body)).data == body
    assert http.request("POST", f"{url}/echo", body=memoryview(body)).data == body
    emitter.shutdown()
    assert [call.req.body for call in log.exchanges()] == [body] * 4


def test_filters_count_for_calls_too(make, log, url):
    emitter = make(skip_paths=["/head*"])
    client = Requests(emitter)
    assert "traceparent" not in json.loads(client.ask("GET", f"{url}/headers")[1])
    client.ask("GET", f"{url}/echo")
    emitter.shutdown()
    assert log.only().req.head["url"] == f"{url}/echo"
