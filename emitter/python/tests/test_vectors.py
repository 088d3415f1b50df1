"""The specification's vectors, as every language's emitter runs them."""

import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
VECTORS = ROOT.parent.parent / "formats" / "spec" / "vectors"
EMIT = sorted((VECTORS / "emit").glob("*.json"))
REDACT = json.loads((VECTORS / "redact" / "vectors.json").read_text(encoding="utf-8"))

sys.path.insert(0, str(ROOT))
import conformance  # noqa: E402


def test_there_are_vectors():
    assert len(EMIT) > 70 and len(REDACT) > 50


@pytest.mark.parametrize("feed", ["given", "whole", "bytes"])
@pytest.mark.parametrize("path", EMIT, ids=lambda path: path.stem)
def test_emit(path, feed):
    vector = json.loads(path.read_text(encoding="utf-8"))
    assert conformance.emit(vector, feed) == path.with_suffix(".lines").read_bytes()


@pytest.mark.parametrize("case", REDACT, ids=lambda case: f"{case['kind']}: {case['what']}")
def test_redact(case):
    assert conformance.redact(case) == case["output"]


def test_the_program_answers_line_by_line():
    minimal = json.loads((VECTORS / "emit" / "minimal.json").read_text(encoding="utf-8"))
    questions = [{"emit": minimal, "feed": "bytes"}, {"redact": REDACT[0]}, {"redact": {"kind": "json", "input": '{"key"'}}]
    asked = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([sys.executable, str(ROOT / "conformance.py")], input=asked, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"lines": (VECTORS / "emit" / "minimal.lines").read_text(encoding="utf-8")},
        {"output": REDACT[0]["output"]},
        {"output": None},
    ]
