"""Random inputs, held against the writer that was made from the rules and against plain Python."""

import base64
import importlib.util
import json
import pathlib
import random
import sys

import pytest

from reassemble_emitter.redact import REDACTED, Redactor

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECK = ROOT.parent.parent / "formats" / "spec" / "vectors" / "emit" / "check.py"
sys.path.insert(0, str(ROOT))
import conformance  # noqa: E402

spec = importlib.util.spec_from_file_location("check", CHECK)
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)

PIECES = ['"', "\\", "\n", "\x01", "\x1f", "a", "b", "/", "é", "😀", "\u2028", "plain text ", '{"k":"v"}', "\\u0041", "\\\\"]


def text(draw, most):
    return "".join(draw.choice(PIECES) * draw.randrange(1, 9) for _ in range(draw.randrange(most)))


def vector(draw):
    part = draw.choice(["req", "res", "meta"])
    made = {"id": "i" * draw.randrange(1, 65), "part": part, "limit": draw.randrange(512, 1400), "head": {"ts": "t", "url": text(draw, 60)}}
    if draw.random() < 0.4:
        made["key"] = "k" * 32
    if part != "meta":
        made["tail"] = {"error": text(draw, 50)} if draw.random() < 0.5 else {"us": 7}
        made["arrivals"] = []
        for _ in range(draw.randrange(6)):
            body = text(draw, 80).encode()
            if draw.random() < 0.2:
                body = body[: draw.randrange(len(body) + 1)] + draw.choice([b"\xff", b"\xc3", b"\xf0\x9f"])
            made["arrivals"].append({"b64": base64.b64encode(body).decode()})
    return made


@pytest.mark.parametrize("seed", range(250))
def test_lines_are_those_of_the_rules(seed):
    made = vector(random.Random(seed))
    lines = check.write(made)
    for feed in ("given", "whole", "bytes"):
        assert conformance.emit(made, feed) == lines


@pytest.mark.parametrize("body", ["[" * 200 + '"' + '\\"' * 100_000, "[" * 100_000, '{"a":' * 50_000, '"' * 200_001, "\\" * 100_000, "1" * 100_000])
def test_bodies_made_to_be_slow_are_not(body):
    # What takes more than one pass would take minutes here. Every text may hold this name, so all are read.
    assert Redactor(redact_names=["*"], keep_names=["*"]).json(body.encode()) in (None, body.encode())
    check_lines = {"id": "i", "part": "req", "limit": 4096, "head": {}, "tail": {}, "arrivals": [{"text": body}]}
    assert conformance.emit(check_lines) == check.write(check_lines)


def value(draw, depth=0):
    kind = draw.randrange(8 if depth < 4 else 6)
    if kind < 3:
        return draw.choice([None, True, 0, -1.5e30, 12345678901234567890, ""])
    if kind < 6:
        return text(draw, 4)
    if kind == 6:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    names = ["a", "password", "myToken", "x_key", "author", "sig", 'q"uote', "\\", ":", "é", '","token":']
    return {draw.choice(names): value(draw, depth + 1) for _ in range(draw.randrange(5))}


def without_secrets(found, redactor):
    if isinstance(found, dict):
        return {name: REDACTED if redactor.is_secret_name(name) else without_secrets(item, redactor) for name, item in found.items()}
    return [without_secrets(item, redactor) for item in found] if isinstance(found, list) else found


@pytest.mark.parametrize("seed", range(250))
def test_json_loses_what_is_listed_and_nothing_else(seed):
    draw = random.Random(seed)
    redactor = Redactor(keep_names=["author"])
    found = value(draw)
    given = json.dumps(found, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 1]))
    redacted = redactor.json(given.encode())
    assert json.loads(redacted) == without_secrets(found, redactor)
    assert redactor.json(redacted) == redacted


@pytest.mark.parametrize(
    ("given", "captured"),
    [
        # No listed name's text occurs, so nothing is read; but what is no text is never taken for JSON.
        (b'[1, {"a": 01', b'[1, {"a": 01'),
        (b'{"a":"\xff"}', None),
        (b'{"PassWord":1}', b'{"PassWord":"[redacted]"}'),
        (rb'{"pa\u0073sword":1}', rb'{"pa\u0073sword":"[redacted]"}'),
        # Listed names whose characters are, or may be, behind a backslash in JSON.
        (rb'{"card\/no":1,"x\/y":2}', rb'{"card\/no":"[redacted]","x\/y":"[redacted]"}'),
        (rb'{"q\"":1}', rb'{"q\"":"[redacted]"}'),
        ('{"É":1,"é":2}'.encode(), '{"É":1,"é":"[redacted]"}'.encode()),
    ],
)
def test_a_search_for_names_overlooks_none(given, captured):
    assert Redactor(redact_names=["x/y", 'q"', "é"]).json(given) == captured
