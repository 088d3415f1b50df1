"""What tests share: an emitter that writes to a file, and what a reader would make of it."""

import base64
import json
import pathlib

import pytest

from reassemble_emitter import Emitter, Settings


class Exchange:
    """One capture as its lines tell it."""

    def __init__(self, records):
        self.id = records[0]["cap1"]
        self.parts = {}
        for name in ("req", "res"):
            chunks = sorted((r for r in records if r["part"] == name), key=lambda r: r["seq"])
            if chunks:
                self.parts[name] = _Part(chunks)
        self.req, self.res = self.parts.get("req"), self.parts.get("res")


class _Part:
    def __init__(self, chunks):
        assert [c["seq"] for c in chunks] == list(range(chunks[-1]["of"]))
        self.head = _joined(chunks, "head")
        self.tail = _joined(chunks, "tail")
        self.body = b"".join(c["text"].encode() if "text" in c else base64.b64decode(c.get("b64", "")) for c in chunks)
        assert self.tail["len"] == len(self.body)

    def header(self, name):
        return [value for found, value in self.head.get("headers", []) if found.lower() == name]


def _joined(chunks, key):
    whole = [c[key] for c in chunks if key in c]
    return whole[0] if whole else json.loads("".join(c.get(key + "f", "") for c in chunks))


class Log:
    """A file that capture lines are written to."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def records(self):
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # Other lines of the app may stand among them.
        return [json.loads(line) for line in text.splitlines() if line.startswith('{"cap1"')]

    def metas(self):
        return [r["head"] for r in self.records() if r["part"] == "meta"]

    def exchanges(self):
        by_id = {}
        for record in self.records():
            if record["part"] != "meta":
                by_id.setdefault(record["cap1"], []).append(record)
        return [Exchange(records) for records in by_id.values()]

    def only(self):
        (exchange,) = self.exchanges()
        return exchange


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "capture.log")


@pytest.fixture
def make(log):
    """Makes emitters that write to ``log``."""
    made = []

    def make(**settings):
        made.append(Emitter(Settings(service="shop", output=str(log.path), **settings)))
        return made[-1]

    yield make
    for emitter in made:
        emitter.shutdown()
