#!/usr/bin/env python3
"""Wraps shop.plain.log, a recording of real shops (record.py), into every envelope.

    python3 make.py            writes the other shop.*.log and expected.json
    python3 make.py --check    fails where a file is not what would be written

Whatever the envelope, the exchanges are the same: that is checked with the specification's reference reader before anything is written.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "formats" / "spec"))

from reference_reader import read  # noqa: E402

START = datetime(2026, 11, 22, 9, 58, 30, tzinfo=timezone.utc)
DOCKER_PIECE_BYTES = 16384


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pieces(text, size):
    data = text.encode()
    return [data[at:at + size] for at in range(0, len(data), size)]


def docker(time, text):
    """As the json-file driver writes: pieces of 16 KiB, `<`, `>` and `&` escaped, a cut character lost to U+FFFD on both sides."""
    cut = [piece.decode(errors="replace") for piece in pieces(text + "\n", DOCKER_PIECE_BYTES)]
    records = [compact({"log": piece, "stream": "stdout", "time": time}) for piece in cut]
    return [record.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") for record in records]


def cri(time, text):
    cut = pieces(text, DOCKER_PIECE_BYTES)
    return [time.encode() + (b" stdout F " if at + 1 == len(cut) else b" stdout P ") + piece for at, piece in enumerate(cut)]


def json_string(time, text):
    return [compact({"level": "info", "time": time, "msg": text})]


def nested(time, text):
    logger = compact({"level": "info", "time": time})[:-1]
    return [logger + (f',"capture":{text}' if text.startswith('{"cap1"') else f',"msg":{compact(text)}') + "}"]


def files():
    log = (HERE / "shop.plain.log").read_bytes()
    now = START + timedelta(days=1)
    plainly = read(log, now=now)
    made = {}
    for name, wrap in {"docker": docker, "cri": cri, "json-string": json_string, "nested": nested}.items():
        lines = []
        for number, line in enumerate(log.decode().splitlines()):
            time = (START + timedelta(milliseconds=number)).isoformat().replace("+00:00", "Z")
            lines += [each if isinstance(each, bytes) else each.encode() for each in wrap(time, line)]
        made[f"shop.{name}.log"] = b"".join(line + b"\n" for line in lines)
        if read(made[f"shop.{name}.log"], now=now)["exchanges"] != plainly["exchanges"]:
            sys.exit(f"{name} does not give the exchanges of plain")
    complete = sum(exchange["complete"] for exchange in plainly["exchanges"])
    counts = plainly["counts"]
    expected = {"complete": complete, "incomplete": len(plainly["exchanges"]) - complete} | {key: counts[key] for key in counts if key != "lines"}
    made["expected.json"] = json.dumps(expected, indent=1).encode() + b"\n"
    return made


def main():
    made = files()
    if "--check" in sys.argv[1:]:
        wrong = [name for name, data in made.items() if not (HERE / name).exists() or (HERE / name).read_bytes() != data]
        sys.exit("not as generated: " + ", ".join(wrong) if wrong else 0)
    for name, data in made.items():
        (HERE / name).write_bytes(data)
        print(f"{len(data):8} {name}")
    print(made["expected.json"].decode())


if __name__ == "__main__":
    main()
