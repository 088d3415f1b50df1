"""The plain API, what is left out, and what happens when things do not fit."""

import gc
import json
import os
import stat
import subprocess
import sys
import threading
import uuid
import weakref

import pytest

from reassemble_emitter import CaptureContext, Emitter, Settings, TraceParent
from reassemble_emitter.context import current

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_query_is_captured_with_all_that_was_said(make, log):
    emitter = make()
    query = emitter.begin(
        "postgres", "query", "postgres://ann:pw@db/shop", headers=[("x-b", b"caf\xe9"), ("Authorization", "s")], peer="10.0.0.7:5432",
        trace=TRACE, parent="p-1", tags={"z": "1", "a": 2},
    )
    query.request_body("select name from items")
    query.respond("00000")
    query.response_body(b'[["tea"],["cup"]]')
    query.finish()
    assert emitter.shutdown()
    exchange = log.only()
    head = exchange.req.head
    assert list(head) == [
        "ts", "service", "host", "inst", "n", "dir", "proto", "method", "url", "headers", "peer", "trace", "parent", "tags", "rate", "why"
    ]
    assert (head["service"], head["n"], head["dir"], head["rate"], head["why"]) == ("shop", 1, "out", 1, "all")
    assert head["url"] == "postgres://db/shop"
    assert head["headers"] == [["x-b", "café"], ["Authorization", "[redacted]"]]
    assert list(head["tags"].items()) == [("a", "2"), ("z", "1")]
    assert exchange.req.body == b"select name from items"
    assert exchange.res.head["status"] == "00000" and exchange.res.body == b'[["tea"],["cup"]]'
    assert list(exchange.res.tail) == ["len", "crc", "us"]
    assert emitter.counts() == (1, 1, 0, 0, 0)
    (meta,) = log.metas()
    assert [meta[key] for key in ("service", "begun", "finished", "dropped", "sampled_out")] == ["shop", 1, 1, 0, 0]
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o600


def test_an_event_has_no_response(make, log):
    emitter = make()
    with emitter.begin("kafka", "produce", "kafka://broker/orders", oneway=True) as event:
        event.request_body(b"x")
    emitter.shutdown()
    exchange = log.only()
    assert exchange.req.head["oneway"] is True and exchange.res is None
    assert emitter.counts().finished == 1


def test_what_a_block_raises_is_named_and_not_quoted(make, log):
    emitter = make()
    with pytest.raises(ValueError):
        with emitter.begin("redis", "GET", "redis://cache"):
            raise ValueError("token=s3cret")
    emitter.shutdown()
    tail = log.only().res.tail
    assert (tail["error"], tail["truncated"]) == ("ValueError", True)


def test_a_capture_that_is_let_go_of_ends_as_truncated(make, log):
    emitter = make()
    emitter.begin("redis", "GET", "redis://cache").request_body(b"GET a")
    gc.collect()
    emitter.shutdown()
    exchange = log.only()
    assert exchange.req.tail["error"] == "body not read to its end" and exchange.res.tail["error"] == "cancelled"
    assert emitter.counts().finished == 1


def test_what_has_ended_needs_no_collector(make):
    emitter = make()
    with emitter.begin("x", "y", "z") as capture:
        capture.respond(200)
    gone = weakref.ref(capture)
    gc.disable()
    try:
        del capture
        assert gone() is None
    finally:
        gc.enable()


def test_what_is_open_at_the_end_says_so(make, log):
    emitter = make()
    capture = emitter.begin("redis", "GET", "redis://cache")
    capture.request_body(b"GET a")
    emitter.shutdown()
    exchange = log.only()
    assert exchange.req.body == b"GET a"
    assert [part.tail["error"] for part in (exchange.req, exchange.res)] == ["shutdown", "shutdown"]
    capture.finish()
    assert emitter.begin("redis", "GET", "redis://cache").id is None


def test_a_body_over_its_limit_is_cut_and_its_length_told(make, log):
    emitter = make(body_limit=10)
    with emitter.begin("x", "y", "z") as capture:
        for piece in (b"01234567", memoryview(b"89abc"), bytearray(b"def")):
            capture.request_body(piece)
        capture.respond(200)
    emitter.shutdown()
    part = log.only().req
    assert part.body == b"0123456789"
    assert (part.tail["truncated"], part.tail["full_len"], "error" in part.tail) == (True, 16, False)


def test_long_bodies_are_cut_into_lines_within_the_limit(make, log):
    emitter = make(line_limit=512)
    body = ('{"a":"é\n"}' * 3000).encode()
    with emitter.begin("x", "y", "z") as capture:
        capture.respond(200)
        capture.response_body(body)
    emitter.shutdown()
    assert log.only().res.body == body
    assert max(map(len, log.path.read_bytes().splitlines(keepends=True))) <= 512


def test_where_the_queue_is_full_captures_are_dropped_whole(make, log):
    emitter = make(queue_limit=0)
    assert emitter.begin("x", "y", "z").id is None
    emitter.shutdown()
    assert log.exchanges() == []
    assert log.metas()[0]["dropped"] == 1


def test_a_capture_that_cannot_go_on_ends_with_the_error_queue(make, log):
    emitter = make(queue_limit=4096)
    with emitter.begin("x", "y", "z") as capture:
        capture.request_body(b"a" * 10)
        capture.request_body(b"b" * 5000)
        capture.request_body(b"c")
        capture.respond(200, [("h", "v" * 5000)])
        capture.response_body(b"d")
    emitter.shutdown()
    exchange = log.only()
    assert exchange.req.body == b"a" * 10
    assert (exchange.req.tail["error"], exchange.req.tail["truncated"], exchange.req.tail["full_len"]) == ("queue", True, 5011)
    assert exchange.res.head["status"] == 200 and "headers" not in exchange.res.head
    assert exchange.res.tail["error"] == "queue"


def test_all_room_is_given_back(make):
    emitter = make(errors="always", sample_rate=0, redact_buffer=5)
    for status, body in ((200, b"x"), (500, b"y" * 100_000)):
        with emitter.begin("x", "y", "z", headers=[("content-type", "application/json")]) as capture:
            capture.request_body(body)
            capture.respond(status)
    emitter.begin("x", "y", "z").request_body(b"q")
    gc.collect()
    emitter.shutdown()
    assert emitter._core.queue._bytes == 0


def test_sampling_by_trace_and_by_id(make, log):
    emitter = make(sample_rate=0.5)
    traces = [TraceParent.new() for _ in range(64)]
    taken = [emitter.begin("x", "y", "z", trace=trace).id is not None for trace in traces]
    assert taken == [emitter.begin("x", "y", "z", trace=trace).id is not None for trace in traces]
    assert 8 < sum(taken) < 56
    emitter.shutdown()
    head = log.exchanges()[0].req.head
    assert (head["rate"], head["why"]) == (0.5, "sample")
    assert emitter.counts().sampled_out == 2 * (64 - sum(taken))


def test_the_rate_limit_is_an_endpoints_own(make, log):
    emitter = make(rate_limit=0.001)
    ids = [emitter.begin("http/1.1", "GET", f"http://h/orders/{n}").id for n in range(3)]
    assert [bool(id) for id in ids] == [True, False, False]
    assert emitter.begin("http/1.1", "GET", "http://h/items").id
    emitter.shutdown()
    assert {e.req.head["why"] for e in log.exchanges()} == {"limit"}
    assert log.metas()[-1]["sampled_out"] == 2


def test_errors_are_captured_though_they_were_left_out(make, log):
    emitter = make(sample_rate=0, errors="always")
    for status in (200, 500):
        with emitter.begin("http/1.1", "POST", f"/{status}") as capture:
            capture.request_body(b"asked " + b"x" * 70_000)
            capture.respond(status)
            capture.response_body(b"answered")
    with pytest.raises(OSError):
        with emitter.begin("http/1.1", "GET", "/broken"):
            raise OSError
    with emitter.begin("http/1.1", "GET", "/silent"):
        pass
    emitter.shutdown()
    first, second = log.exchanges()
    assert (first.req.head["url"], first.req.head["why"], first.res.body) == ("/500", "error", b"answered")
    assert len(first.req.body) == 65_536 and first.req.tail["truncated"] and first.req.tail["full_len"] == 70_006
    assert (second.req.head["url"], second.res.tail["error"]) == ("/broken", "OSError")
    assert emitter.counts()[:4] == (2, 2, 0, 2)


@pytest.mark.parametrize(
    ("content_type", "body", "captured", "tail"),
    [
        ("application/json; charset=utf-8", [b'{"pass', b'word":1}'], b'{"password":"[redacted]"}', {}),
        ("application/problem+json", [b'{"pwd":1}'], b'{"pwd":"[redacted]"}', {}),
        ("application/x-www-form-urlencoded", [b"pwd=1&a=2"], b"pwd=[redacted]&a=2", {}),
        ("application/json", [b'{"pwd"'], b"", {"error": "redact_syntax", "truncated": True, "full_len": 6}),
        # What names nothing that is listed need not be read.
        ("application/json", [b"{"], b"{", {}),
        ("application/json", [b'"' + b"x" * 90, b"x" * 50], b"", {"error": "redact_buffer", "truncated": True, "full_len": 141}),
        ("application/json", [], b"", {}),
        ("text/plain", [b'{"pwd":1}'], b'{"pwd":1}', {}),
    ],
)
def test_bodies_are_redacted_by_their_type(make, log, content_type, body, captured, tail):
    emitter = make(redact_buffer=100)
    with emitter.begin("http/1.1", "POST", "/", headers=[("Content-Type", content_type)]) as capture:
        for piece in body:
            capture.request_body(piece)
        capture.respond(200, [(b"content-type", content_type.encode()), (b"content-encoding", b"gzip")])
        for piece in body:
            capture.response_body(piece)
    emitter.shutdown()
    exchange = log.only()
    assert exchange.req.body == captured
    assert {key: value for key, value in exchange.req.tail.items() if key not in ("len", "crc", "us")} == tail
    # What is encoded is not looked at.
    assert exchange.res.body == b"".join(body)


def test_a_json_body_that_ends_early_is_left_out(make, log):
    emitter = make()
    capture = emitter.begin("http/1.1", "POST", "/", headers=[("content-type", "application/json")])
    capture.request_body(b'{"password":"half')
    capture.request.fail("client disconnected")
    capture.finish()
    emitter.shutdown()
    part = log.only().req
    assert part.body == b"" and part.tail["truncated"] and part.tail["error"] == "client disconnected"


def test_signed_lines_hold_fragments_alone(make, log):
    emitter = make(signing_key="k" * 32)
    with emitter.begin("x", "y", "z") as capture:
        capture.respond(200)
    emitter.shutdown()
    assert all(len(r["sig"]) == 32 and "head" not in r and "tail" not in r for r in log.records())


def test_within_a_request_its_trace_and_id_are_known(make, log):
    emitter = make()
    token = current.set(CaptureContext("cause", TraceParent(TRACE)))
    emitter.begin("redis", "GET", "redis://cache").finish()
    current.reset(token)
    emitter.shutdown()
    head = log.only().req.head
    assert (head["trace"], head["parent"]) == (TRACE, "cause")


def test_off_captures_nothing_and_runs_no_thread():
    emitter = Emitter.disabled()
    capture = emitter.begin("x", "y", "z")
    capture.request_body(b"x")
    capture.finish()
    assert capture.id is None and emitter.flush() and emitter.shutdown()
    # What would hold a thread is not even there.
    assert emitter._core is None


def test_after_a_rotation_the_path_is_opened_again(make, log, tmp_path):
    emitter = make()
    emitter.begin("x", "y", "before").finish()
    assert emitter.flush()
    log.path.rename(tmp_path / "old.log")
    emitter.reopen()
    emitter.begin("x", "y", "after").finish()
    emitter.shutdown()
    assert log.only().req.head["url"] == "after"


def test_meta_tells_at_its_interval(make, log):
    emitter = make(meta_every=0.0)
    for _ in range(2):
        emitter.begin("x", "y", "z").finish()
        emitter.flush()
    emitter.shutdown()
    begun = [meta["begun"] for meta in log.metas()]
    assert begun == sorted(begun) and begun[0] == 1 and begun[-1] == 2


PROGRAM = """
import os, sys, threading, multiprocessing
from reassemble_emitter import Emitter, Settings
emitter = Emitter(Settings(service="forks"))
def work(what):
    for _ in range(5):
        with emitter.begin("x", what, "z") as capture:
            capture.request_body(b"b" * 3000)
            capture.respond(200)
work("parent")
if sys.argv[1] == "fork":
    if os.fork() == 0:
        work("child")
        sys.exit(0)
    os.wait()
else:
    child = multiprocessing.get_context("fork").Process(target=work, args=("child",))
    child.start()
    child.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
def test_a_forked_child_captures_on_as_a_process_of_its_own(tmp_path, how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, timeout=30, check=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    heads = [r["head"] for r in records if r["part"] == "req" and "head" in r]
    for what in ("parent", "child"):
        assert [head["n"] for head in heads if head["method"] == what] == [1, 2, 3, 4, 5]
    assert len({head["inst"] for head in heads}) == 2
    assert len({r["cap1"] for r in records if r["part"] != "meta"}) == 10
    assert [r["head"]["finished"] for r in records if r["part"] == "meta"] == [5, 5]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_a_parent_has_begun_is_not_its_childs(make, log):
    emitter = make()
    capture = emitter.begin("x", "y", "z")
    capture.request_body(b"asked")
    held = make(sample_rate=0, errors="always").begin("x", "y", "held")
    child = os.fork()
    if child == 0:
        for each in (capture, held):
            each.request_body(b"by the child")
            each.respond(200)
            each.finish()
        emitter.flush()
        os._exit(0 if capture.id and emitter.counts() == (0, 0, 0, 0, 0) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    capture.respond(200)
    capture.finish()
    emitter.shutdown()
    assert log.only().req.body == b"asked" and emitter.counts().finished == 1


def test_an_output_without_a_reader_costs_captures_alone():
    program = (
        "import time\nfrom reassemble_emitter import Emitter, Settings\nemitter = Emitter(Settings())\n"
        "input()\n"
        "for _ in range(3):\n    emitter.begin('x', 'y', 'z').finish()\n    emitter.flush()\n"
        "import sys; sys.stderr.write(repr(tuple(emitter.counts())))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    child.stdin.write(b"\n")
    child.stdin.close()
    said = child.stderr.read().decode()
    assert child.wait(timeout=30) == 0
    assert said == "(1, 0, 2, 0, 2)"


def test_an_output_that_is_not_read_holds_nobody_up():
    program = (
        "import sys\nfrom reassemble_emitter import Emitter, Settings\nemitter = Emitter(Settings(queue_limit=100_000))\n"
        "for _ in range(200):\n    with emitter.begin('x', 'y', 'z') as capture:\n        capture.request_body(b'b' * 5000)\n"
        "counts = emitter.counts()\nsys.stderr.write(f'{counts.begun + counts.dropped} {counts.dropped > 100}')\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stderr.read().decode() == "200 True"
    assert child.wait(timeout=30) == 0
    child.stdout.close()


def test_no_response_is_an_error_whatever_the_cause(make, log):
    emitter = make(sample_rate=0, errors="always")
    capture = emitter.begin("http/1.1", "GET", "/left", direction="in")
    capture.response.fail("client disconnected")
    capture.finish()
    emitter.begin("http/1.1", "GET", "/dropped").request_body(b"asked")
    gc.collect()
    emitter.shutdown()
    left, dropped = log.exchanges()
    assert (left.req.head["why"], left.res.tail["error"]) == ("error", "client disconnected")
    assert (dropped.req.body, dropped.req.head["why"], dropped.res.tail["error"]) == (b"asked", "error", "cancelled")
    assert emitter.counts()[:4] == (2, 2, 0, 0)


def test_what_there_is_no_room_to_hold_is_dropped(make, log):
    emitter = make(sample_rate=0, errors="always", queue_limit=0)
    assert emitter.begin("http/1.1", "GET", "/").id is None
    emitter.shutdown()
    assert emitter.counts()[:4] == (0, 0, 1, 0) and log.metas()[-1]["dropped"] == 1


def test_headers_may_be_a_mapping_of_anything(make, log):
    emitter = make()
    with emitter.begin("x", "y", "z", headers={"a": 1}) as capture:
        capture.respond(200, {b"b": b"2"})
    emitter.shutdown()
    assert log.only().req.head["headers"] == [["a", "1"]] and log.only().res.head["headers"] == [["b", "2"]]


def test_an_open_descriptor_may_be_the_output():
    reading, writing = os.pipe()
    emitter = Emitter(Settings(output=f"fd:{writing}"))
    emitter.begin("x", "y", "z", oneway=True).finish()
    emitter.shutdown()
    os.fstat(writing)
    assert os.read(reading, 65536).count(b"\n") == 2
    os.close(reading)
    os.close(writing)


def test_many_threads_lose_nothing(make, log):
    emitter = make()

    def work(name):
        for n in range(50):
            with emitter.begin("x", name, "z") as capture:
                capture.request_body(f"{name} {n} " * 700)
                capture.respond(200)
                capture.response_body(b"\xff" * n)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    emitter.shutdown()
    exchanges = log.exchanges()
    assert sorted(e.req.head["n"] for e in exchanges) == list(range(1, 401))
    assert sum(len(e.res.body) for e in exchanges) == 8 * sum(range(50))
    assert emitter.counts()[:4] == (400, 400, 0, 0) and emitter._core.queue._bytes == 0


def test_an_empty_body_of_a_type_that_is_left_out_is_whole(make, log):
    emitter = make(skip_body_types=["image/*"])
    for body in (b"", b"123"):
        with emitter.begin("http/1.1", "GET", "/") as capture:
            capture.respond(200, [("Content-Type", "image/png")])
            capture.response.filter_body([("Content-Type", "image/png")])
            capture.response_body(body)
    emitter.shutdown()
    empty, cut = log.exchanges()
    assert "truncated" not in empty.res.tail
    assert (cut.res.body, cut.res.tail["truncated"], cut.res.tail["full_len"]) == (b"", True, 3)


def test_ids_and_traces_are_each_drawn_for_themselves():
    emitter = Emitter(Settings(output=os.devnull))
    draws = emitter.open_core().draws
    traces = [TraceParent.new(draws) for _ in range(200)]
    assert all(TraceParent.parse(trace.text) for trace in traces) and len({trace.trace_id for trace in traces}) == 200
    ids = {emitter.begin("x", "y", "z").id for _ in range(200)}
    assert len(ids) == 200 and all(uuid.UUID(id).version == 7 and uuid.UUID(id).variant == uuid.RFC_4122 for id in ids)
    emitter.shutdown()
