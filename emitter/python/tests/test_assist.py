"""Requests' threads that cut lines in the writer's place."""

import os
import signal
import threading

import pytest
from servers import wait_until

from reassemble_emitter import writer as writers
from reassemble_emitter.native import thread_id


@pytest.fixture
def seen(monkeypatch):
    """Which thread handled each kind of message, and which one wrote."""
    seen = {"handled": [], "wrote": set()}
    handle, write = writers.Writer._handle, writers.Writer._write

    def handled(self, message):
        seen["handled"].append((message[0], thread_id()))
        handle(self, message)

    def wrote(self, lot):
        if lot.lines:
            seen["wrote"].add(thread_id())
        write(self, lot)

    monkeypatch.setattr(writers.Writer, "_handle", handled)
    monkeypatch.setattr(writers.Writer, "_write", wrote)
    return seen


@pytest.fixture
def held(make, monkeypatch):
    """An emitter whose thread looks for nothing before it is waited for."""
    monkeypatch.setattr("reassemble_emitter.queue._LINGER_S", 60)
    emitter = make()
    emitter.begin("x", "first", "z", oneway=True).finish()
    assert emitter.flush()
    # From here on it lingers.
    wait_until(lambda: emitter._core.queue._wake_above == emitter.settings.queue_limit // 2)
    return emitter


def capture(emitter, body=b"b", method="y"):
    with emitter.begin("x", method, "z") as begun:
        begun.request_body(body)
        begun.respond(200)
        begun.response_body(body)


def test_the_thread_writes_what_others_have_cut(held, seen, log):
    capture(held)
    capture(held)
    held._core.assist()
    me = thread_id()
    assert len(seen["handled"]) == 12 and {thread for _, thread in seen["handled"]} == {me}
    assert not seen["wrote"] and len(log.exchanges()) == 1 and held._core.queue.gathered > 0 and held.counts().finished == 1
    assert held.flush()
    assert len(seen["wrote"]) == 1 and me not in seen["wrote"] and held._core.queue.gathered == 0
    assert [exchange.req.head["n"] for exchange in log.exchanges()] == [1, 2, 3] and held.counts().finished == 3
    wait_until(lambda: held._core.queue._bytes == 0)


def test_it_writes_without_being_asked(make, log):
    emitter = make()
    for _ in range(3):
        for _ in range(5):
            capture(emitter)
            emitter._core.assist()
        done = emitter.counts().begun
        wait_until(lambda: emitter.counts().finished == done)
        # It sleeps for good.
        wait_until(lambda: emitter._core.queue._wake_above < 0)
    assert len(log.exchanges()) == 15 and emitter._core.queue._bytes == 0


def test_many_lines_wake_it(held):
    for _ in range(200):
        capture(held, b"x" * 2000)
        held._core.assist()
    wait_until(lambda: held.counts().finished > 1)


@pytest.mark.parametrize("headers", [[], [("content-type", "application/json")]])
def test_what_is_long_is_left_to_the_thread(held, seen, log, headers):
    body = b'{"a":"' + b"x" * 100_000 + b'"}' if not headers else b'{"password":"' + b"x" * 20_000 + b'"}'
    with held.begin("x", "y", "z", headers=headers) as begun:
        for at in range(0, len(body), 10_000 if headers else len(body)):
            begun.request_body(body[at : at + (10_000 if headers else len(body))])
        begun.respond(200)
    for _ in range(3):
        held._core.assist()
    mine = [kind for kind, thread in seen["handled"] if thread == thread_id()]
    assert mine == ([writers.BEGIN, *[writers.BODY] * 3, writers.RESPOND] if headers else [writers.BEGIN])
    assert held.flush()
    assert log.exchanges()[1].req.body == (b'{"password":"[redacted]"}' if headers else body)
    capture(held)
    held._core.assist()
    assert seen["handled"][-1] == (writers.END, thread_id())


def test_threads_that_all_assist_lose_nothing(make, log):
    emitter = make()

    def work(name):
        for n in range(60):
            capture(emitter, f"{name} {n} ".encode() * (n * 20 + 1), name)
            emitter._core.assist()

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    emitter.shutdown()
    exchanges = log.exchanges()
    assert sorted(e.req.head["n"] for e in exchanges) == list(range(1, 361))
    assert all(e.req.body == e.res.body and e.req.body.startswith(e.req.head["method"].encode()) for e in exchanges)
    # Each capture's lines are in their order.
    lines = {}
    for record in log.records():
        lines.setdefault((record["cap1"], record["part"]), []).append(record["seq"])
    assert all(numbers == list(range(len(numbers))) for numbers in lines.values())
    assert emitter.counts()[:4] == (360, 360, 0, 0) and emitter._core.queue._bytes == 0


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals")
@pytest.mark.parametrize("what", ["flush", "shutdown"])
def test_a_signal_in_the_midst_may_wait_for_the_thread(held, log, monkeypatch, what):
    told = []

    def handler(*_):
        # Its own capture stays queued.
        capture(held, method="handler")
        held._core.assist()
        told.append(getattr(held, what)())

    tail = held._core._writer._heads.tail

    def interrupted(*args):
        if not told:
            signal.raise_signal(signal.SIGUSR1)
        return tail(*args)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        capture(held, method="interrupted")
        monkeypatch.setattr(held._core._writer._heads, "tail", interrupted)
        held._core.assist()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told == [True]
    assert held.flush() and held.shutdown()
    by_method = {exchange.req.head["method"]: exchange for exchange in log.exchanges() if exchange.req}
    assert by_method["handler"].res.body == b"b"
    part = by_method["interrupted"].req
    assert part.tail.get("error") == ("shutdown" if what == "shutdown" else None)


def test_what_a_signals_handler_raises_reaches_the_app_and_costs_one_capture(held, log, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    capture(held, method="interrupted")
    capture(held, method="whole")
    with monkeypatch.context() as patch:
        patch.setattr(held._core._writer._heads, "response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            held._core.assist()
    held._core.assist()
    held.shutdown()
    assert log.exchanges()[-1].req.head["method"] == "whole" and log.exchanges()[-1].res.body == b"b"
    assert held.counts()[:3] == (3, 2, 0) and held._core.queue._bytes == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_is_forked_in_the_midst_assists_on(held, log, monkeypatch):
    children = []
    tail = held._core._writer._heads.tail

    def forking(*args):
        if not children:
            children.append(os.fork())
            if not children[0]:
                capture(held, method="child")
                held._core.assist()
                os._exit(0 if not held._core.queue.messages and held.shutdown() else 1)
        return tail(*args)

    capture(held, method="parent")
    monkeypatch.setattr(held._core._writer._heads, "tail", forking)
    held._core.assist()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    held.shutdown()
    assert sorted(exchange.req.head["method"] for exchange in log.exchanges()) == ["child", "first", "parent"]


def test_middlewares_assist_once_the_response_is_sent(monkeypatch, make):
    from reassemble_emitter.wsgi import CaptureMiddleware

    emitter = make()
    for result in ([b"a"], (b"a",), iter([b"a"])):

        def app(environ, start_response, result=result):
            start_response("200 OK", [])
            return result

        calls = []
        monkeypatch.setattr(writers.Writer, "assist", lambda self: calls.append(self))
        environ = {"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "PATH_INFO": "/"}
        answer = CaptureMiddleware(app, emitter)(environ, lambda *_: None)
        assert list(answer) == [b"a"] and not calls
        answer.close()
        assert len(calls) == 1
