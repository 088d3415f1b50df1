#!/usr/bin/env python3
"""Answers questions about the emitter's rules: JSON lines in on standard input, one JSON line out for each.

``{"emit": VECTOR, "feed": "given"|"whole"|"bytes"}`` gives ``{"lines": …}``: what the writer makes of an emit vector, its body fed in the arrivals as
given, as one, or byte by byte. ``{"redact": CASE}`` gives ``{"output": …}``. Vectors and cases are those of ``formats/spec/vectors``.
"""

import base64
import json
import sys
from typing import Any, Dict, Iterable, List, Optional

from reassemble_emitter.heads import header_text
from reassemble_emitter.lines import PartWriter, members, to_json, write_part
from reassemble_emitter.redact import Redactor


def emit(vector: Dict[str, Any], feed: str = "given") -> bytes:
    """All lines that the writer makes of a vector."""
    head = dict(vector["head"])
    if "headers" in head:
        head["headers"] = [[name, header_text(value if isinstance(value, str) else base64.b64decode(value["b64"]))] for name, value in head["headers"]]
    lines: List[bytes] = []
    key = vector["key"].encode() if "key" in vector else None
    about = (vector["id"], vector["part"], to_json(head))
    tail = members(vector.get("tail", {}))
    if feed == "whole" and vector["part"] != "meta":
        # As parts are written whose body was held to be looked through.
        write_part(*about, b"".join(_arrivals(vector)), tail, vector["limit"], lines.append, key)
        return b"".join(lines)
    part = PartWriter(*about, vector["limit"], lines.append, key)
    if vector["part"] == "meta":
        part.finish_meta()
    else:
        for piece in _fed(_arrivals(vector), feed):
            part.body(piece)
        part.finish(tail)
    return b"".join(lines)


def redact(case: Dict[str, Any]) -> Optional[str]:
    """What may be captured of a redaction case."""
    lists = {name: case.get(name, ()) for name in ("redact_headers", "keep_headers", "redact_names", "keep_names")}
    redactor = Redactor(**lists)
    if case["kind"] == "header":
        return redactor.header_value(case["name"], case["value"])
    if case["kind"] == "url":
        return redactor.url(case["input"])
    body = case["input"].encode()
    output = redactor.json(body) if case["kind"] == "json" else redactor.form(body)
    return None if output is None else output.decode()


def _arrivals(vector: Dict[str, Any]) -> Iterable[bytes]:
    for arrival in vector.get("arrivals", ()):
        data = arrival["text"].encode() if "text" in arrival else base64.b64decode(arrival["b64"])
        for _ in range(arrival.get("times", 1)):
            yield data


def _fed(arrivals: Iterable[bytes], feed: str) -> Iterable[bytes]:
    if feed == "given":
        return arrivals
    body = b"".join(arrivals)
    return (body[at : at + 1] for at in range(len(body)))


def main() -> None:
    """Answers line by line until the input ends."""
    for line in sys.stdin.buffer:
        question = json.loads(line)
        if "emit" in question:
            answer: Dict[str, Any] = {"lines": emit(question["emit"], question.get("feed", "given")).decode()}
        else:
            answer = {"output": redact(question["redact"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
