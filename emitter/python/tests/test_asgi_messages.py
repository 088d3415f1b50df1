"""Messages that no server at hand sends, and faults."""

import asyncio

import pytest

from reassemble_emitter.asgi import CaptureMiddleware


def run(emitter, app, received=(), failing_send=False, **scope):
    """Runs one request through the middleware; gives what was sent."""
    sent = []
    waiting = list(received) or [{"type": "http.request", "body": b"", "more_body": False}]
    whole = {
        "type": "http", "method": "POST", "path": "/a b/é", "query_string": b"", "headers": [(b"host", b"shop.test")], "http_version": "2",
        "scheme": "https", "client": ("::1", 7), **scope,
    }

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        if failing_send:
            raise OSError("s3cret")
        sent.append(message)

    asyncio.run(CaptureMiddleware(app, emitter)(whole, receive, send))
    return sent


def start(**more):
    return {"type": "http.response.start", "status": 200, "headers": [(b"x", b"1")], **more}


def test_a_request_of_http_2_with_trailers(make, log):
    async def app(scope, receive, send):
        await receive()
        await send(start(trailers=True))
        await send({"type": "http.response.body", "body": b"a"})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})

    emitter = make()
    assert [message["type"].rpartition(".")[2] for message in run(emitter, app)] == ["start", "body", "trailers"]
    emitter.shutdown()
    exchange = log.only()
    head = exchange.req.head
    assert (head["proto"], head["url"], head["peer"]) == ("h2", "https://shop.test/a%20b/%C3%A9", "[::1]:7")
    assert exchange.res.tail["trailers"] == [["grpc-status", "0"]] and "truncated" not in exchange.res.tail


def test_a_body_that_the_server_sends_by_itself_is_left_out(make, log):
    async def app(scope, receive, send):
        await send(start())
        await send({"type": "http.response.pathsend", "path": "/x"})

    emitter = make()
    assert len(run(emitter, app)) == 2
    emitter.shutdown()
    assert log.only().res.tail["error"] == "body sent by the server"


def test_what_cannot_be_sent_is_no_whole_response(make, log):
    async def app(scope, receive, send):
        await send(start())

    emitter = make()
    with pytest.raises(OSError):
        run(emitter, app, failing_send=True)
    emitter.shutdown()
    assert log.only().res.tail["error"] == "OSError"


def test_messages_that_the_emitter_does_not_know_pass(make):
    odd = [{"type": "http.request", "body": 7}]
    told = {"type": "http.response.body", "body": object()}

    async def app(scope, receive, send):
        assert await receive() is odd_message
        await send({"type": "http.response.start", "status": "odd", "headers": 7})
        await send(told)

    odd_message = odd[0]
    sent = run(make(), app, received=odd)
    assert sent[1] is told


def test_scopes_that_the_emitter_does_not_know_pass(make, log):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    emitter = make()
    run(emitter, app, headers=7)
    run(emitter, app, type="mqtt")
    emitter.shutdown()
    assert len(seen) == 2 and log.exchanges() == []


def test_an_app_that_refuses_the_lifespan_is_served_one(make):
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def app(scope, receive, send):
        raise ValueError("not I")

    sent = run(make(), app, received=messages, type="lifespan")
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_app_that_fails_at_its_start_still_fails(make):
    async def app(scope, receive, send):
        await receive()
        raise ValueError("no database")

    with pytest.raises(ValueError):
        run(make(), app, received=[{"type": "lifespan.startup"}], type="lifespan")
