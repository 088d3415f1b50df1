"""Commands to a real Redis: REDIS_URL names one, else it is started where ``redis-server`` is found."""

import asyncio
import os
import shutil
import subprocess

import pytest
from servers import free_port, wait_until

redis = pytest.importorskip("redis")

from reassemble_emitter.redis import capture  # noqa: E402

pytestmark = pytest.mark.skipif(
    not os.environ.get("REDIS_URL") and not shutil.which("redis-server"), reason="REDIS_URL names no server, and there is no redis-server"
)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    if os.environ.get("REDIS_URL"):
        yield os.environ["REDIS_URL"]
        return
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path_factory.mktemp("redis"))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def answers():
        try:
            return redis.Redis(port=port).ping()
        except redis.ConnectionError:
            return False

    wait_until(answers)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(timeout=20)


def calls(emitter, log):
    emitter.shutdown()
    return sorted(log.exchanges(), key=lambda e: e.req.head["n"])


def test_commands_and_replies_are_captured(make, log, url):
    emitter = make()
    client = capture(redis.Redis.from_url(url), emitter)
    client.delete("h")
    assert client.hset("h", mapping={"name": "é", "password": b"s3cret"}) == 2
    assert client.hgetall("h") == {b"name": "é".encode(), b"password": b"s3cret"}
    assert client.get("none") is None
    with pytest.raises(redis.ResponseError):
        client.incr("h")
    with pytest.raises(redis.AuthenticationError):
        client.execute_command("AUTH", "ann", "pw-s3cret")
    hset, hgetall, get, incr, auth = calls(emitter, log)[1:]
    head = hset.req.head
    assert (head["proto"], head["method"], head["dir"]) == ("redis", "HSET", "out")
    assert head["url"] == url
    assert hset.req.body.startswith('["h", "name", "é"'.encode()) and hset.res.body == b"2"
    assert hgetall.res.body.decode() == '{"name": "é", "password": "[redacted]"}' and hgetall.res.head["status"] == "OK"
    assert get.res.body == b"null"
    assert incr.res.tail["error"].startswith("ResponseError") and "status" not in incr.res.head
    assert auth.req.body == b"" and auth.req.tail["truncated"] and b"pw-s3cret" not in log.path.read_bytes()


def test_an_asynchronous_client(make, log, url):
    emitter = make()

    async def ask():
        client = capture(redis.asyncio.Redis.from_url(url), emitter)
        try:
            await client.set("a", "1")
            return await client.get("a")
        finally:
            await client.aclose()

    assert asyncio.run(ask()) == b"1"
    assert [call.req.head["method"] for call in calls(emitter, log)] == ["SET", "GET"]
    assert log.exchanges()[1].res.body == b'"1"'
