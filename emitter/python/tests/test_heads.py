"""Heads and tails that are put together are those that the JSON module would make of the same values."""

import json

import pytest

from reassemble_emitter.heads import _MAX_NAMES, Heads, Start
from reassemble_emitter.lines import members, to_json
from reassemble_emitter.redact import Redactor

ODD = 'q"\\/\n\x01é😀\ud800\u2028'


def start(**more):
    known = {"ts_us": 1_764_288_000_000_001, "direction": "in", "proto": "http/1.1", "method": "GET", "url": "/", "headers": None}
    rest = {"peer": None, "trace": None, "parent": None, "tags": None, "oneway": False, "why": "all"}
    return Start(**{**known, **rest, **more})


@pytest.mark.parametrize("rate", [1, 0.5, 0.00001, 0])
def test_a_request_with_all_and_with_the_least(rate):
    least = {"ts": "2025-11-28T00:00:00.000001Z", "n": 7, "dir": "in", "proto": "x", "rate": rate, "why": "all"}
    heads = Heads(Redactor(), "", "", "", rate)
    assert heads.request(7, start(proto="x", method="", url="", peer="", trace="", parent="", tags={})) == (to_json(least), "")
    most = {
        "ts": "2025-11-28T00:00:00.000001Z", "service": ODD, "host": "h", "inst": "i", "n": 7, "dir": ODD, "proto": ODD, "method": ODD, "url": ODD,
        "headers": [[ODD, ODD], ["Cookie", "[redacted]"]], "peer": ODD, "trace": ODD, "parent": ODD, "tags": {"a": ODD, ODD: "b"}, "rate": rate,
        "why": "limit", "oneway": True,
    }  # fmt: skip
    headers = [(ODD, ODD), ("Cookie", "s")]
    tags = {ODD: "b", "a": ODD}
    given = start(direction=ODD, proto=ODD, method=ODD, url=ODD, headers=headers, peer=ODD, trace=ODD, parent=ODD, tags=tags, oneway=True, why="limit")
    assert Heads(Redactor(), ODD, "h", "i", rate).request(7, given) == (to_json(most), "")


def test_responses_and_tails():
    heads = Heads(Redactor(), "s", "h", "i", 1)
    told = {"ts": "2025-11-28T00:00:00.000001Z", "us": 5, "status": 200, "headers": []}
    assert heads.response(1_764_288_000_000_001, 5, 200, []) == (to_json(told), "")
    assert heads.response(1_764_288_000_000_001, None, ODD, None)[0] == to_json({"ts": told["ts"], "status": ODD})
    assert heads.response(1_764_288_000_000_001, None, None, None)[0] == to_json({"ts": told["ts"]})
    tail = {"us": 5, "trailers": [[ODD, ODD]], "error": ODD.encode("utf-8", "replace").decode().replace("?", "\ufffd"), "truncated": True, "full_len": 9}
    assert heads.tail(5, [(ODD, ODD)], ODD, True, 9) == members(tail)
    assert heads.tail(None, [], "", True, None) == members({"truncated": True}) and heads.tail(None, None, "", False, 9) == ""
    # An error is cut at a character's edge.
    assert json.loads("{" + heads.tail(None, None, "a" + "é" * 600, True, None)[1:] + "}")["error"] == "a" + "é" * 511


def test_names_of_headers_are_known_again_in_each_case_and_type():
    heads = Heads(Redactor(redact_headers=["content-type"]), "s", "h", "i", 1)
    for _ in range(2):
        for name in ("Content-Type", b"content-type"):
            head, kind = heads.response(0, None, None, [(name, "application/json"), (b"x", b"caf\xe9")])
            text = name if isinstance(name, str) else name.decode()
            # What is not told of a body still tells how it is redacted.
            assert (json.loads(head)["headers"], kind) == ([[text, "[redacted]"], ["x", "café"]], "json")
    assert heads.response(0, None, None, [("content-type", "text/plain"), ("Content-Encoding", "gzip"), ("content-type", "application/json")])[1] == ""


def test_so_many_names_are_kept_and_no_more():
    heads = Heads(Redactor(), "s", "h", "i", 1)
    for n in range(3 * _MAX_NAMES):
        heads.response(0, None, None, [(f"x-{n}", "v"), ("y" * 100 + str(n), "v")])
    assert 0 < len(heads._texts) <= _MAX_NAMES and all(len(name) < 100 for name in heads._texts)
