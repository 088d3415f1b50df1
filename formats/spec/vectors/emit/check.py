#!/usr/bin/env python3
"""Checks every vector of this folder in two ways: against a writer made from the rules, and as a reader would read the lines.

With --write, the `.lines` are first written anew by the writer made from the rules.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import sys
import zlib

CLOSE = 2  # } and the newline
SIGNATURE = 41  # ,"sig":" and 32 hex digits and "
HERE = pathlib.Path(__file__).resolve().parent


def compact(value):
    """JSON as lines have it. Python's own escapes are those of the rules; only its numbers may have exponents."""
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    if isinstance(value, dict):
        return "{" + ",".join(compact(key) + ":" + compact(item) for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def escape(text):
    return compact(text)[1:-1]


def size(text):
    return len(text.encode())


def fill(text, room):
    """As many characters of text as fit into room once escaped: how many, and their escaped form."""
    out, used = [], 0
    for count, char in enumerate(text):
        width = size(escape(char))
        if used + width > room:
            return count, "".join(out)
        used += width
        out.append(escape(char))
    return len(text), "".join(out)


def crc(data):
    return f"{zlib.crc32(data):08x}"


def signature(secret, record):
    """The `sig` of a record as L-8.1 says, from the record as it is read."""
    said = [record.get("headf", "").encode(), piece_of(record), record.get("tailf", "").encode()]
    numbers = [record["seq"], record.get("of", "-"), record.get("at", "-"), *map(len, said)]
    prelude = " ".join([record["cap1"], record["part"], *map(str, numbers)]) + "\n"
    return hmac.new(secret.encode(), prelude.encode() + b"".join(said), hashlib.sha256).hexdigest()[:32]


def piece_of(record):
    return record["text"].encode() if "text" in record else base64.b64decode(record.get("b64", ""), validate=True)


def head_of(vector):
    head = dict(vector["head"])
    if "headers" in head:
        head["headers"] = [
            [name, value if isinstance(value, str) else base64.b64decode(value["b64"]).decode("latin-1")]
            for name, value in head["headers"]
        ]
    return compact(head)


def body_of(vector):
    return b"".join(
        (a["text"].encode() if "text" in a else base64.b64decode(a["b64"])) * a.get("times", 1)
        for a in vector.get("arrivals", [])
    )


def text_piece(window, goes_on, room):
    try:
        text = window.decode()
    except UnicodeDecodeError as fault:
        cut = fault.reason == "unexpected end of data"
        if not (goes_on and cut):
            return None
        text = window[: fault.start].decode()
    count, escaped = fill(text, room)
    piece = text[:count].encode()
    return (piece, escaped) if size(escaped) <= 4 * -(-len(piece) // 3) else None


def write(vector):
    """The lines of a vector by the rules."""
    secret, lines = vector.get("key"), []
    limit = vector["limit"] - (SIGNATURE if secret else 0)

    def start():
        return '{"cap1":"%s","part":"%s","seq":%d' % (vector["id"], vector["part"], len(lines))

    def end(line):
        signed = ',"sig":"%s"' % signature(secret, json.loads(line + "}")) if secret else ""
        lines.append(line + signed + "}\n")
        return start()

    head, line = head_of(vector), start()
    if not secret and size(line) + size(',"head":' + head) + CLOSE <= limit:
        line += ',"head":' + head
    else:
        while True:
            count, escaped = fill(head, limit - size(line) - 11 - CLOSE)
            line += ',"headf":"%s"' % escaped
            head = head[count:]
            if not head:
                break
            line = end(line)

    body, rest, binary = body_of(vector), body_of(vector), False
    while rest:
        room = limit - size(line) - 29
        if room < 6:
            line = end(line)
            continue
        piece = None if binary else text_piece(rest[:room], len(rest) > room, room)
        if piece:
            data, escaped = piece
            line += ',"text":"%s"' % escaped
        else:
            binary = True
            data = rest[: 3 * ((room + 1) // 4)]
            line += ',"b64":"%s"' % base64.b64encode(data).decode()
        line += ',"crc":"%s"' % crc(data)
        rest = rest[len(data) :]
        if rest:
            line = end(line)

    def of():
        return ',"of":%d' % (len(lines) + 1)

    if vector["part"] == "meta":
        if size(line + of()) + CLOSE > limit:
            line = end(line)
        end(line + of())
        return "".join(lines).encode()
    tail = compact({"len": len(body), "crc": crc(body), **vector["tail"]})
    whole = ',"tailf":' + compact(tail) if secret else ',"tail":' + tail
    for again in (True, False):
        if size(line + of() + whole) + CLOSE <= limit:
            end(line + of() + whole)
            return "".join(lines).encode()
        line = end(line) if again else line
    while True:
        count, escaped = fill(tail, limit - size(line + of()) - 11 - CLOSE)
        tail = tail[count:]
        line = end(line + ("" if tail else of()) + ',"tailf":"%s"' % escaped)
        if not tail:
            return "".join(lines).encode()


def read(vector, data):
    """Reads lines as a reader would; returns what is wrong with them."""
    order = ["cap1", "part", "seq", "head", "headf", "text", "b64", "crc", "of", "tail", "tailf", "sig"]
    faults, body, head, tail = [], b"", "", ""
    if not data.endswith(b"\n"):
        faults.append("no newline at the end")
    lines = data.decode().split("\n")[:-1]
    for seq, line in enumerate(lines):
        record = json.loads(line)
        keys = list(record)
        if size(line) + 1 > vector["limit"]:
            faults.append(f"line {seq} is {size(line) + 1} bytes long")
        if compact(record) != line:
            faults.append(f"line {seq} is not canonical")
        if keys != sorted(keys, key=order.index):
            faults.append(f"line {seq} has its keys in another order")
        if (record["cap1"], record["part"], record["seq"]) != (vector["id"], vector["part"], seq):
            faults.append(f"line {seq} has another id, part or seq")
        if record.get("of", len(lines)) != len(lines) or ("of" in record) != (seq == len(lines) - 1):
            faults.append(f"line {seq} has a wrong of")
        piece = piece_of(record)
        if ("crc" in record) != bool(piece) or record.get("crc", crc(piece)) != crc(piece):
            faults.append(f"line {seq} has a wrong crc")
        if "key" in vector and (signature(vector["key"], record) != record.get("sig") or {"head", "tail"} & record.keys()):
            faults.append(f"line {seq} is not signed as it should be")
        if ("sig" in record) != ("key" in vector):
            faults.append(f"line {seq} should not be signed")
        if len(record.keys() - {"sig"}) == 3:
            faults.append(f"line {seq} says nothing")
        body += piece
        head += compact(record["head"]) if "head" in record else record.get("headf", "")
        tail += compact(record["tail"]) if "tail" in record else record.get("tailf", "")
    if body != body_of(vector):
        faults.append("the pieces are not the body")
    if head != head_of(vector):
        faults.append("the head is another")
    if vector["part"] != "meta" and tail != compact({"len": len(body), "crc": crc(body), **vector["tail"]}):
        faults.append("the tail is another")
    return faults


def main():
    names = sorted(path.stem for path in HERE.glob("*.json"))
    bad = 0
    for name in names:
        vector = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
        if "--write" in sys.argv:
            (HERE / f"{name}.lines").write_bytes(write(vector))
        lines = (HERE / f"{name}.lines").read_bytes()
        faults = read(vector, lines)
        if write(vector) != lines:
            faults.append("the rules give other lines")
        for fault in faults:
            print(f"{name}: {fault}")
        bad += bool(faults)
    print(f"{len(names)} vectors, {bad} bad")
    return 1 if bad or not names else 0


if __name__ == "__main__":
    sys.exit(main())
