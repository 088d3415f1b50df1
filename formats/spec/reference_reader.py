#!/usr/bin/env python3
"""A second, slow and plain reader of capture logs: the specification as a program.

It exists so that the expectations of the vectors are not those of the production reader. It reads a whole log, with
processing off (no redaction, no decoding), and prints what a vector expects:

    python3 reference_reader.py LOG...        {"exchanges": [...], "counts": {...}} for each

Python 3.11 or newer, standard library only.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import sys
import zlib
from datetime import datetime, timedelta, timezone

MAX_ENCLOSING = 16
MAX_NESTING = 64
MAX_SEQ = 2**31 - 1
MAX_INTEGER = 2**53 - 1
MAX_NAMED = 32
HINT = re.compile(rb'(?:"|0022)cap[0-9]')
MARKER = re.compile(rb'\{[ \t\r\n]*"cap([0-9]+)"')
INNER_BEFORE = re.compile(rb'(?:\[|"\s*:|\}\s*,)\s*\Z')
RECORD_KEYS = ("cap1", "part", "seq", "head", "headf", "at", "text", "b64", "crc", "of", "tail", "tailf", "sig")


# --- JSON, strictly RFC 8259, with levels and repeated keys kept -------------------------------------------------------

class NotWhole(Exception):
    """No whole JSON value stands here."""


class TooDeep(Exception):
    """The value nests beyond MAX_NESTING."""


class Array(list):
    """A JSON array; `text` holds its bytes."""


class Object(Array):
    """A JSON object as its (key, written_with_escapes, value) triples in order."""

    def last(self):
        return {key: value for key, _, value in self}


class Number(float):
    """A JSON number that remembers its text."""


SPACE = re.compile(rb"[ \t\r\n]*")
STRING = re.compile(rb'"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"')
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
ESCAPE = re.compile(r'\\u[dD][89abAB]([0-9a-fA-F]{2})\\u[dD][c-fC-F]([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)')
PAIR = re.compile(r"\\u([0-9a-fA-F]{4})\\u([0-9a-fA-F]{4})")
LITERALS = {b"true": True, b"false": False, b"null": None}


def skip(text, at):
    return SPACE.match(text, at).end()


def unescape(match):
    if match[1] is not None:
        high, low = (int(half, 16) for half in PAIR.fullmatch(match[0]).groups())
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    if match[3] is not None:
        code = int(match[3], 16)
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)
    return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(match[4], match[4])


def parse_string(text, at):
    found = STRING.match(text, at)
    if not found:
        raise NotWhole
    raw = found[1].decode("utf-8", "surrogateescape")  # only a record's own bytes must be UTF-8
    return ESCAPE.sub(unescape, raw), "\\" in raw, found.end()


def parse(text, at, level=0):
    """Parses the value at `at`, held by `level` others; returns it and where it ends."""
    first = text[at:at + 1]
    if first == b'"':
        value, _, end = parse_string(text, at)
        return value, end
    if first in (b"{", b"["):
        if level >= MAX_NESTING:
            raise TooDeep
        members, end = parse_members(text, at + 1, level + 1, first == b"{")
        members.text = text[at:end]
        return members, end
    for literal, value in LITERALS.items():
        if text.startswith(literal, at):
            return value, at + len(literal)
    found = NUMBER.match(text, at)
    if not found:
        raise NotWhole
    number = Number(found[0])
    number.digits = found[0].decode()
    return number, found.end()


def parse_members(text, at, level, is_object):
    members, close = (Object(), b"}") if is_object else (Array(), b"]")
    at = skip(text, at)
    if text[at:at + 1] == close:
        return members, at + 1
    while True:
        if is_object:
            key, escaped, at = parse_string(text, at)
            at = skip(text, at)
            if text[at:at + 1] != b":":
                raise NotWhole
            value, at = parse(text, skip(text, at + 1), level)
            members.append((key, escaped, value))
        else:
            value, at = parse(text, at, level)
            members.append(value)
        at = skip(text, at)
        if text[at:at + 1] == close:
            return members, at + 1
        if text[at:at + 1] != b",":
            raise NotWhole
        at = skip(text, at + 1)


def plain(value):
    """The value as Python's own types; of a repeated key the last stands."""
    if isinstance(value, Object):
        return {key: plain(member) for key, member in value.last().items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, Number):
        return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else json.loads(value.digits)
    return value


def integer(value, least, most):
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()
    return ok and least <= value <= most


# --- Lines and envelopes (envelopes.md) --------------------------------------------------------------------------------

CRI = re.compile(rb"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([PF])(?::\S*)?(?: |$)")


def unwrap(line):
    """Returns (stream, text, is_continued) of one physical line."""
    if found := CRI.match(line):
        return "cri " + found[1].decode(), line[found.end():], found[2] == b"P"
    if line.startswith(b"{"):
        try:
            record, end = parse(line, 0)
        except (NotWhole, TooDeep):
            return None, line, False
        keys = record.last()
        whole = skip(line, end) == len(line) and record and record[0][0] == "log"
        if whole and isinstance(keys["log"], str) and isinstance(keys.get("stream"), str) and "time" in keys:
            log = keys["log"].encode("utf-8", "surrogateescape")
            return "docker " + keys["stream"], log.removesuffix(b"\n"), not log.endswith(b"\n")
    return None, line, False


def logical_lines(log, envelope):
    physical = log.split(b"\n")
    if not physical[-1]:
        physical.pop()
    yield len(physical)
    partial = {}
    for line in physical:
        line = line.removesuffix(b"\r")
        stream, text, is_continued = unwrap(line) if envelope == "auto" else (None, line, False)
        if stream:
            text = partial.pop(stream, b"") + text
            if is_continued:
                partial[stream] = text
                continue
        yield text
    yield from partial.values()


# --- Finding records (capture-line.md, 5) ------------------------------------------------------------------------------

def scan(text, level, found):
    """Calls found(record) or found(reason) for what stands in `text`, in order."""
    at, only_markers = 0, False
    while (at := text.find(b"{", at)) >= 0 and HINT.search(text, at):
        marker = MARKER.match(text, at)
        if only_markers and not marker:
            at += 1
            continue
        try:
            value, end = parse(text, at)
        except NotWhole:
            only_markers = only_markers or bool(marker) or begins_an_object(text, at)
            if marker:
                found("torn")
            at += 1
            continue
        except TooDeep:
            found("too_deep")
            if not marker:
                return
            only_markers = True
            at += 1
            continue
        if not marker and is_inner(text, at, end):
            only_markers = True
            at += 1
            continue
        search(value, level, found)
        at = end


def is_inner(text, start, end):
    """Whether what encloses the object was torn at its front."""
    return INNER_BEFORE.search(text[:start]) or text[skip(text, end):][:1] in (b",", b"}", b"]")


def begins_an_object(text, at):
    try:
        _, _, at = parse_string(text, skip(text, at + 1))
        return text[skip(text, at):][:1] == b":"
    except NotWhole:
        return False


def search(value, level, found):
    """Searches an object that is enclosed by `level` others."""
    names = [key for key, escaped, _ in value if not escaped]
    if "cap1" in names:
        found(decode(value))
    elif any(re.fullmatch("cap[0-9]+", name) for name in names):
        found("unknown_version")
    else:
        for _, _, member in value:
            descend(member, level + 1, found)


def descend(member, level, found):
    text = member.encode("utf-8", "surrogateescape") if isinstance(member, str) else member.text if isinstance(member, Array) else b""
    if not HINT.search(text):
        return
    if level > MAX_ENCLOSING:
        found("too_deep")
    elif isinstance(member, str):
        scan(text, level, found)
    elif isinstance(member, Object):
        search(member, level, found)
    elif isinstance(member, Array):
        for element in member:
            descend(element, level + 1, found)


def decode(record):
    """A good record as a dict, or the name of its fault."""
    try:
        record.text.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    taken = RECORD_KEYS
    if any(key == "sig" for key, _, _ in record):
        taken = tuple(key for key in RECORD_KEYS if key not in ("head", "tail"))
    known = [(key, value) for key, escaped, value in record if key in taken and not (key == "cap1" and escaped)]
    names, r = [key for key, _ in known], dict(known)
    if len(names) != len(set(names)):
        return "duplicate_key"
    if {"head", "headf"} <= set(names) or {"tail", "tailf"} <= set(names):
        return "duplicate_key"
    if not isinstance(r.get("cap1"), str) or not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", r["cap1"]):
        return "bad_id"
    if r.get("part") not in ("req", "res", "meta"):
        return "bad_part"
    if r["part"] == "meta":
        if not isinstance(r.get("head", Object()), Object) or not is_sig(r.get("sig", "0" * 32)):
            return "bad_type"
        return {"id": r["cap1"], "part": "meta"} | {key: plain(r[key]) for key in ("seq", "of", "headf", "sig") if key in r}
    if not integer(r.get("seq"), 0, MAX_SEQ):
        return "bad_seq"
    if "of" in r and not integer(r["of"], 1, MAX_SEQ + 1):
        return "bad_of"
    if "text" in r and "b64" in r:
        return "text_and_b64"
    for key, kind in (("head", Object), ("tail", Object), ("headf", str), ("tailf", str), ("text", str), ("b64", str)):
        if key in r and not isinstance(r[key], kind):
            return "bad_type"
    if "sig" in r and not is_sig(r["sig"]):
        return "bad_type"
    if "at" in r and not integer(r["at"], 0, MAX_INTEGER):
        return "bad_type"
    piece = r["text"].encode() if "text" in r else None
    if "b64" in r:
        try:
            piece = base64.b64decode(r["b64"], validate=True)
        except (binascii.Error, ValueError):
            return "bad_b64"
        if base64.b64encode(piece).decode() != r["b64"]:
            return "bad_b64"
    if "crc" in r and not is_crc(r["crc"]):
        return "bad_crc"
    if "crc" in r and piece is not None and int(r["crc"], 16) != zlib.crc32(piece):
        return "bad_crc"
    chunk = {key: plain(r[key]) for key in ("of", "head", "headf", "at", "tail", "tailf") if key in r}
    if piece is not None:
        chunk["piece"] = piece
    if "sig" in r:
        chunk = {key: value for key, value in chunk.items() if value not in ("", b"")}
    return {"id": r["cap1"], "part": r["part"], "seq": int(r["seq"]), "chunk": chunk} | ({"sig": r["sig"]} if "sig" in r else {})


def is_sig(value):
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-fA-F]{32}", value))


# --- Signatures (capture-line.md, 8) -----------------------------------------------------------------------------------

def parse_keys(text):
    """A key file's keys by name: (secret, services), where None is all services."""
    keys = {}
    for line in text.splitlines():
        if line.strip() and not line.strip().startswith("#"):
            name, secret, services = line.split(None, 2)
            keys[name] = secret, None if services.strip() == "*" else [each.strip() for each in services.split(",")]
    return keys


def signature(secret, record):
    chunk = record.get("chunk", record)
    said = [chunk.get("headf", "").encode(), chunk.get("piece", b""), chunk.get("tailf", "").encode()]
    numbers = [record["seq"], chunk.get("of", "-"), chunk.get("at", "-"), *map(len, said)]
    signed = " ".join([record["id"], record["part"], *map(str, numbers)]).encode() + b"\n" + b"".join(said)
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()[:32]


def fitting(keys, record):
    """The name of the key that signed a record, or None."""
    if "sig" not in record or "seq" not in record:
        return None
    fits = [name for name, (secret, _) in keys.items() if signature(secret, record) == record["sig"].lower()]
    return fits[0] if fits else None


def may_sign(key, service):
    _, services = key
    return services is None or not isinstance(service, str) or service in services


# --- Assembling (capture-line.md, 7) -----------------------------------------------------------------------------------

class Part:
    def __init__(self, name):
        self.name, self.chunks, self.of, self.of_conflict, self.conflicts = name, {}, None, False, set()

    def take(self, seq, chunk):
        """Returns how many records have thereby become repeated and conflicting."""
        if seq in self.chunks:
            if self.chunks[seq] == chunk:
                return 1, 0
            self.conflicts.add(seq)
            return 0, 1
        of = chunk.get("of")
        effective = self.of if self.of is not None else of
        if effective is not None and seq >= effective:
            self.conflicts.add(seq)
            return 0, 1
        self.chunks[seq] = chunk
        if of is None or self.of is not None:
            self.of_conflict |= of is not None and of != self.of
            return 0, 0
        self.of = of
        past = [other for other in self.chunks if other >= of]
        for other in past:
            del self.chunks[other]
        self.conflicts.update(past)
        return 0, len(past)

    def run(self):
        """The chunks of the contiguous start."""
        chunks = []
        while len(chunks) in self.chunks:
            chunks.append(self.chunks[len(chunks)])
        return chunks

    def joined(self, key):
        """The head or tail, or None; fragments are joined in order of `seq`."""
        whole = [chunk[key] for chunk in self.run() if key in chunk]
        if whole:
            return whole[0 if key == "head" else -1]
        text = "".join(chunk.get(key + "f", "") for chunk in self.run()).encode()
        try:
            value, end = parse(text, skip(text, 0))
            return plain(value) if isinstance(value, Object) and skip(text, end) == len(text) else None
        except (NotWhole, TooDeep):
            return None

    def body(self):
        return b"".join(chunk.get("piece", b"") for chunk in self.run())

    def faults(self):
        """What keeps the part from being whole."""
        if not self.chunks:
            return [f"{self.name}_missing"]
        missing, at = [], 0
        for seq in sorted(self.chunks) + ([self.of] if self.of else []):
            if seq > at:
                missing.append((at, seq - 1))
            at = seq + 1
        if len(missing) > MAX_NAMED:
            missing[MAX_NAMED - 1:] = [(missing[MAX_NAMED - 1][0], missing[-1][1])]
        faults = [f"{self.name}_chunk_missing:{a}" + (f"-{b}" if b > a else "") for a, b in missing]
        if self.of is None:
            faults.append(f"{self.name}_end_missing")
        if not faults:
            tail = self.joined("tail") or {}
            if integer(tail.get("len"), 0, MAX_INTEGER) and tail["len"] != len(self.body()):
                faults.append(f"{self.name}_len")
            if is_crc(tail.get("crc")) and int(tail["crc"], 16) != zlib.crc32(self.body()):
                faults.append(f"{self.name}_crc")
        return faults


def is_crc(value):
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-fA-F]{8}", value))


class Reader:
    """Takes records and bad reasons, gives stored exchanges. `keys` are those of parse_keys, or None."""

    def __init__(self, now, keys=None):
        self.now, self.keys, self.signers, self.open, self.stored, self.exchanges = now, keys, {}, {}, set(), []
        self.counts = {"lines": 0, "records": 0, "repeated": 0, "conflicting": 0, "meta": 0, "bad": {}}

    def found(self, record):
        self.counts["records"] += 1
        if isinstance(record, str):
            self.bad(record)
            return
        if self.keys is not None and not self.is_signed(record):
            self.bad("bad_sig")
            return
        if record["part"] == "meta":
            self.counts["meta"] += 1
            return
        if record["id"] in self.stored:
            self.counts["repeated"] += 1
            return
        request, response = parts = self.open.setdefault(record["id"], (Part("request"), Part("response")))
        repeated, conflicting = parts[record["part"] == "res"].take(record["seq"], record["chunk"])
        self.counts["repeated"] += repeated
        self.counts["conflicting"] += conflicting
        one_way = (request.joined("head") or {}).get("oneway") is True and not response.chunks
        if not request.faults() and (one_way or not response.faults()):
            self.close(record["id"], None)

    def bad(self, reason, count=1):
        self.counts["bad"][reason] = self.counts["bad"].get(reason, 0) + count

    def is_signed(self, record):
        """Whether a record is signed as L-8.6 says."""
        signer = fitting(self.keys, record)
        if signer is None:
            return False
        if record["part"] != "meta":
            return record["id"] in self.stored or self.signers.setdefault(record["id"], signer) == signer
        try:
            head = plain(parse(record.get("headf", "").encode(), 0)[0])
        except (NotWhole, TooDeep):
            head = {}
        return may_sign(self.keys[signer], head.get("service"))

    def close(self, capture, why):
        request, response = self.open.pop(capture)
        self.stored.add(capture)
        service = (request.joined("head") or {}).get("service")
        if self.keys is not None and not may_sign(self.keys[self.signers[capture]], service):
            self.bad("bad_sig", len(request.chunks) + len(response.chunks))
            return
        self.exchanges.append(stored_exchange(capture, request, response, why, self.now))


# --- The stored form (stored-exchange.md) ------------------------------------------------------------------------------

def is_text(v):
    return isinstance(v, str)


def is_pairs(v):
    return isinstance(v, list) and all(isinstance(p, list) and len(p) == 2 and all(map(is_text, p)) for p in v)


def is_count(v):
    return integer(v, 0, MAX_INTEGER)


def is_status(v):
    return is_text(v) or is_count(v)


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


HEAD = {
    "request": {"ts": is_text, "service": is_text, "host": is_text, "inst": is_text, "n": is_count,
                "dir": lambda v: v in ("in", "out"), "proto": is_text, "method": is_text, "url": is_text,
                "headers": is_pairs, "peer": is_text, "trace": is_text, "parent": is_text,
                "tags": lambda v: isinstance(v, dict) and all(map(is_text, v.values())),
                "rate": lambda v: is_number(v) and 0 <= v <= 1, "why": is_text, "body_enc": is_text,
                "oneway": lambda v: isinstance(v, bool)},
    "response": {"ts": is_text, "us": is_count, "status": is_status, "headers": is_pairs, "body_enc": is_text},
}
TAIL = {"len": is_count, "crc": is_crc, "us": is_count, "trailers": is_pairs, "error": is_text,
        "truncated": lambda v: isinstance(v, bool), "full_len": is_count}


def sort_out(part, place, known, values, problems):
    """Splits a head or tail into what the format knows and the rest."""
    good, rest = {}, {}
    for key, value in (values or {}).items():
        if key in known and known[key](value):
            good[key] = value
        else:
            rest[key] = value
            if key in known:
                problems.append(f"{place}_type:{part}:{key}")
    return good, rest


def as_text_or_b64(data):
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}


def fragment(part, seq, chunk, with_piece):
    out = {"part": "req" if part == "request" else "res", "seq": seq}
    out |= {key: chunk[key] for key in ("of", "head", "headf", "at") if key in chunk}
    if with_piece and "piece" in chunk:
        out |= as_text_or_b64(chunk["piece"]) | {"crc": f"{zlib.crc32(chunk['piece']):08x}"}
    return out | {key: chunk[key] for key in ("tail", "tailf") if key in chunk}


def usable(ts, now):
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", ts):
            return False
        when = datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", ts.upper()))
    except (TypeError, ValueError):
        return False
    return datetime(2000, 1, 1, tzinfo=timezone.utc) <= when <= now + timedelta(days=1)


def stored_part(part, head, tail, problems, complete):
    body = {"len": len(part.body())}
    content_type = next((v for k, v in head.get("headers", []) if k.lower() == "content-type"), None)
    marks, offset = [], 0
    for chunk in part.run():
        if "at" in chunk and "piece" in chunk:
            marks.append([offset, chunk["at"]])
        offset += len(chunk.get("piece", b""))
    body |= {"type": content_type} if content_type is not None else {}
    body |= {"truncated": True} if tail.get("truncated") else {}
    body |= {"full_len": tail["full_len"]} if "full_len" in tail else {}
    body |= {"marks": marks} if marks else {}
    pieces = [len(chunk.get("piece", b"")) for chunk in part.run()]
    body |= {"pieces": pieces} if pieces and not complete else {}
    body |= as_text_or_b64(part.body())
    trailers = {"trailers": tail["trailers"]} if "trailers" in tail else {}
    keep = lambda *keys: {key: head[key] for key in keys if key in head}  # noqa: E731
    if part.name == "request":
        us = {"us": tail["us"]} if "us" in tail else {}
        return keep("method", "url", "headers") | trailers | us | keep("body_enc") | {"body": body}
    status = {"status": tail["status"]} if "status" in tail else keep("status")
    return keep("ts", "us") | status | keep("headers") | trailers | keep("body_enc") | {"body": body}


def stored_exchange(capture, request, response, why, now):
    problems, more, fragments, parts, heads, tails = [], {}, [], {}, {}, {}
    for part in (request, response):
        name = part.name
        head, tail = part.joined("head"), part.joined("tail")
        head_known, tail_known = HEAD[name], TAIL | ({"status": is_status} if name == "response" else {})
        heads[name], more[name] = sort_out(name, "head", head_known, head, problems)
        tails[name], more[name + "_tail"] = sort_out(name, "tail", tail_known, tail, problems)
        one_way = name == "response" and heads["request"].get("oneway") and not part.chunks
        problems += [] if one_way else part.faults()
        problems += [f"{name}_head_missing"] if part.chunks and head is None else []
        lost_tail = tail is None and any("tailf" in chunk for chunk in part.run())
        problems += [f"{name}_tail_missing"] if lost_tail else []
        problems += [f"of_conflict:{name}"] if part.of_conflict else []
        problems += [f"conflict:{name}:{seq}" for seq in sorted(part.conflicts)[:MAX_NAMED]]
        for seq, chunk in sorted(part.chunks.items()):
            unjoined = ("headf" in chunk and head is None) or ("tailf" in chunk and tail is None)
            if seq >= len(part.run()):
                fragments.append(fragment(name, seq, chunk, True))
            elif unjoined:
                left = {k: v for k, v in chunk.items() if not (k in ("head", "headf") and head) and not (k == "tail")}
                fragments.append(fragment(name, seq, left, False))
        parts[name] = stored_part(part, heads[name], tails[name], problems, why is None) if part.chunks else None
    q, qt, st = heads["request"], tails["request"], tails["response"]
    if "status" in st and heads["response"].get("status", st["status"]) != st["status"]:
        more["response"]["status"] = heads["response"]["status"]
    error = st.get("error", qt.get("error"))
    if "error" in qt and qt["error"] != error:
        more["request_tail"]["error"] = qt["error"]
    ts = q.get("ts") if request.joined("head") is not None else heads["response"].get("ts")
    if not usable(ts, now):
        problems.append("ts_unusable")
        if "ts" in q:
            more["request"]["ts"] = q["ts"]
        ts = "*"
    more = {key: value for key, value in more.items() if value}
    duration = st.get("us", qt.get("us") if q.get("oneway") else None)
    complete = why is None
    out = {"v": 1, "id": capture, **{k: q.get(k) for k in ("service", "host", "inst", "n", "dir", "proto")}, "ts": ts,
           "duration_us": duration, "complete": complete, "problems": problems + ([] if complete else [why])}
    out |= {k: q.get(k) for k in ("trace", "parent", "peer", "tags", "rate", "why")}
    out |= {"error": error, "oneway": True if q.get("oneway") else None, "fragments": fragments or None, "more": more or None}
    out = {k: v for k, v in out.items() if v is not None}
    keys = list(out)
    at = keys.index("problems") + 1
    return {k: out[k] for k in keys[:at]} | parts | {k: out[k] for k in keys[at:]}


def read(log, envelope="auto", now=None, keys=None):
    """What the whole of `log` (bytes) gives, read to its end, with the keys of a key file's text or without."""
    reader = Reader(now or datetime.now(timezone.utc), None if keys is None else parse_keys(keys))
    lines = logical_lines(log, envelope)
    reader.counts["lines"] = next(lines)
    for line in lines:
        scan(line, 0, reader.found)
    for capture in list(reader.open):
        reader.close(capture, "input_end")
    return {"exchanges": reader.exchanges, "counts": reader.counts}


if __name__ == "__main__":
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            print(json.dumps(read(file.read()), ensure_ascii=False))
