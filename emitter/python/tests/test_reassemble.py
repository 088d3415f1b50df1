"""What the reader makes of what was printed: REASSEMBLE names the `reassemble` program."""

import concurrent.futures
import json
import os
import subprocess

import httpx
import pytest
from servers import serving

pytestmark = pytest.mark.skipif(not os.environ.get("REASSEMBLE"), reason="REASSEMBLE does not name the reassemble program")

SECRET = "8d0f3c2e9a7b465180d2b6f4c1e3a597"


def reassembled(log, tmp_path, *options):
    to = tmp_path / "stored"
    subprocess.run([os.environ["REASSEMBLE"], log.path, "--to", to, "--compression", "none", *options], check=True, capture_output=True, timeout=60)
    return [json.loads(line) for path in sorted(to.glob("**/*.ndjson")) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_request_and_what_it_asks_of_others_are_paired(log, tmp_path):
    body = ("é\"\\\n" * 5000).encode()
    with serving(["uvicorn", "apps.asgi_app:app", "--port", "{port}", "--log-level", "critical"], log) as at:
        assert httpx.post(f"http://{at}/ask?path=/echo", content=body).content == body
        assert httpx.get(f"http://{at}/ask?path=/hello/ann").json()["token"] == "s3cret"
    stored = reassembled(log, tmp_path)
    assert len(stored) == 6 and all(e["complete"] and e["problems"] == [] for e in stored)
    asked = [e for e in stored if "/ask?" in e["request"]["url"]]
    by_id = {e["id"]: e for e in stored}
    for outer in asked:
        (call,) = [e for e in stored if e.get("parent") == outer["id"]]
        (inner,) = [e for e in stored if e["trace"] == call["trace"] and e["dir"] == "in"]
        assert call["dir"] == "out" and call["trace"][3:35] == outer["trace"][3:35] and call["trace"] != outer["trace"]
        assert inner["request"]["body"].get("text") == outer["request"]["body"].get("text") == call["request"]["body"].get("text")
        assert inner["response"]["body"].get("text") == call["response"]["body"].get("text") == outer["response"]["body"].get("text")
    assert len(by_id) == 6 and {e["service"] for e in stored} == {"shop"}
    assert {e["response"]["body"]["text"] for e in asked} == {body.decode(), '{"hello":"ann","token":"[redacted]"}'}


def test_workers_of_gunicorn_share_a_signed_pipe(log, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"k1 {SECRET} shop\n")
    command = ["gunicorn", "apps.wsgi_app:app", "--bind", "127.0.0.1:{port}", "--workers", "3", "--preload", "--log-level", "critical"]
    body = b"x" * 100_000
    with serving(command, log, through_pipe=True, CAPTURE_SIGNING_KEY=SECRET) as at:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: httpx.post(f"http://{at}/echo", content=body).content, range(20)))
        assert answers == [body] * 20
    stored = reassembled(log, tmp_path, "--key-file", keys)
    assert len(stored) == 20
    assert all(e["complete"] and e["problems"] == [] and e["request"]["body"]["text"] == body.decode() for e in stored)
