"""What the vectors are built from: capture lines, stored exchanges and one list of vectors."""

import base64
import hashlib
import hmac
import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

A = "0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4"
B = "0192f0c1-a2b3-7c3e-8d5e-6f708192a3b5"
TS = "2025-11-20T10:00:00.000000Z"
TS2 = "2025-11-20T10:00:00.001500Z"
REQ = {"ts": TS, "service": "checkout", "method": "POST", "url": "http://shop.test/orders"}
RES = {"ts": TS2, "us": 1500, "status": 201}


@dataclass
class Vector:
    name: str
    about: str
    log: bytes
    exchanges: list
    counts: dict
    keys: str | None = None


VECTORS: list[Vector] = []


def js(value, **options):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), **options)


def crc(data):
    return f"{zlib.crc32(data):08x}"


def b64(data):
    return base64.b64encode(data).decode()


def record(capture, part, seq, piece=None, *, binary=False, crc_of=None, **keys):
    """One record as a dict, its keys in the specification's order; `piece` is bytes, written as text unless `binary`."""
    if piece is not None:
        keys["b64" if binary else "text"] = b64(piece) if binary else piece.decode()
        keys["crc"] = crc(piece) if crc_of is None else crc(crc_of)
    order = ("head", "headf", "at", "text", "b64", "crc", "of", "tail", "tailf", "sig")
    keys = {key: value for key, value in keys.items() if value is not ...}
    rest = {key: keys[key] for key in order if key in keys} | {key: keys[key] for key in keys if key not in order}
    return {"cap1": capture, "part": part, "seq": seq} | rest


def signed(secret, capture, part, seq, piece=None, *, head=None, tail=None, **keys):
    """One signed record: `head` and `tail` are objects, given as fragments of their whole text."""
    keys |= ({"headf": js(head)} if head is not None else {}) | ({"tailf": js(tail)} if tail is not None else {})
    return js(sign(secret, record(capture, part, seq, piece, **keys)))


def sign(secret, made):
    """A record with its signature in place of any other, over what L-8.1 says."""
    piece = base64.b64decode(made["b64"]) if "b64" in made else made.get("text", "").encode()
    said = made.get("headf", "").encode(), piece, made.get("tailf", "").encode()
    numbers = [made["seq"], made.get("of", "-"), made.get("at", "-"), *map(len, said)]
    text = " ".join(map(str, [made["cap1"], made["part"], *numbers])).encode() + b"\n" + b"".join(said)
    return made | {"sig": hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()[:32]}


def line(*args, **keys):
    return js(record(*args, **keys))


def tail(body, **keys):
    return {"len": len(body), "crc": crc(body)} | keys


def req(capture=A, body=b"ping", **keys):
    """A request on one line."""
    return line(capture, "req", 0, body, **({"head": REQ, "of": 1, "tail": tail(body)} | keys))


def res(capture=A, body=b"pong", **keys):
    """A response on one line."""
    return line(capture, "res", 0, body, **({"head": RES, "of": 1, "tail": tail(body)} | keys))


def body(data=b"ping", **keys):
    """A stored body; `data` str for text, bytes for base64."""
    stored = {"text": data.decode()} if is_utf8(data) else {"b64": b64(data)}
    front = {key: keys[key] for key in ("type",) if key in keys}
    return {"len": len(data)} | front | {key: keys[key] for key in keys if key not in front} | stored


def is_utf8(data):
    try:
        data.decode()
        return True
    except UnicodeDecodeError:
        return False


REQUEST = {"method": "POST", "url": "http://shop.test/orders", "body": body(b"ping")}
RESPONSE = {"ts": TS2, "us": 1500, "status": 201, "body": body(b"pong")}
TOP = ("v", "id", "service", "host", "inst", "n", "dir", "proto", "ts", "duration_us", "complete", "problems", "request",
       "response", "trace", "parent", "peer", "tags", "rate", "why", "error", "oneway", "fragments", "more")


def exchange(capture=A, *problems, **keys):
    """A stored exchange: that of req() and res() unless told otherwise; `...` leaves a key out."""
    keys = {"v": 1, "id": capture, "service": "checkout", "ts": TS, "complete": True, "problems": list(problems),
            "request": REQUEST, "response": RESPONSE} | keys
    return {key: keys[key] for key in TOP if key in keys and keys[key] is not ...}


def incomplete(capture=A, *problems, **keys):
    """An incomplete one. Where `pieces` says nothing else, the contiguous start of a part is one chunk."""
    made = exchange(capture, *problems, "input_end", complete=False, **keys)
    for name in ("request", "response"):
        if made[name] is not None:
            stored = dict(made[name]["body"])
            pieces = stored.pop("pieces", [stored["len"]])
            key = "text" if "text" in stored else "b64"
            made[name] = made[name] | {"body": stored | {"pieces": pieces, key: stored.pop(key)} if pieces else stored}
    return made


def counts(lines, records, bad=None, **others):
    return {"lines": lines, "records": records, "repeated": 0, "conflicting": 0, "meta": 0} | others | {"bad": bad or {}}


def vector(name, about, log, exchanges, records, bad=None, lines=None, keys=None, **others):
    """Adds a vector. `log` is its bytes, or a list of lines (str or bytes); `keys` is a key file's text."""
    if isinstance(log, list):
        parts = [each if isinstance(each, bytes) else each.encode() for each in log]
        lines = len(parts) if lines is None else lines
        log = b"".join(part + b"\n" for part in parts)
    VECTORS.append(Vector(name, about, log, exchanges, counts(lines, records, bad, **others), keys))
