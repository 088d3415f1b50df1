#!/usr/bin/env python3
"""Writes the vectors of read/, envelope/ and signed/, after the reference reader has agreed with every expectation.

    python3 generate.py            writes them
    python3 generate.py --check    writes nothing; fails where a file is not what would be written

The expectations are stated by hand beside each log, in the modules named below; nothing here is made by the production reader.
"""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import envelopes
import read_invalid
import read_valid
import signed
from builder import VECTORS

from reference_reader import read

HERE = Path(__file__).resolve().parent
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def fits(got, want):
    """Equal but for the order of problems; the order of keys counts in an exchange and in its parts."""
    def ordered(exchange):
        parts = [list(exchange[part] or {}) for part in ("request", "response")]
        return json.dumps(exchange | {"problems": sorted(exchange["problems"])}, sort_keys=True), list(exchange), parts

    return got["counts"] == want["counts"] and list(map(ordered, got["exchanges"])) == list(map(ordered, want["exchanges"]))


def files():
    for build in (read_valid.build, read_invalid.build, envelopes.build, signed.build):
        build()
    for vector in VECTORS:
        want = {"exchanges": vector.exchanges, "counts": vector.counts}
        for envelope in ("auto",) if vector.name.startswith("envelope/") else ("auto", "json"):
            got = read(vector.log, envelope, NOW, vector.keys)
            if not fits(got, want):
                show = lambda value: json.dumps(value, ensure_ascii=False)  # noqa: E731
                sys.exit(f"{vector.name} ({envelope}):\n got {show(got)}\nwant {show(want)}")
        exchanges = ",\n  ".join(json.dumps(exchange, ensure_ascii=False) for exchange in vector.exchanges)
        listed = f"[\n  {exchanges}\n ]" if exchanges else "[]"
        text = (f'{{\n "about": {json.dumps(vector.about, ensure_ascii=False)},\n "exchanges": {listed},\n'
                f' "counts": {json.dumps(vector.counts)}\n}}\n')
        yield f"{vector.name}.log", vector.log
        yield f"{vector.name}.json", text.encode()
        if vector.keys is not None:
            yield f"{vector.name}.keys", vector.keys.encode()


def main():
    made = dict(files())
    there = {str(path.relative_to(HERE)): path.read_bytes() for folder in ("read", "envelope", "signed")
             for path in (HERE / folder).rglob("*") if path.suffix in (".log", ".json", ".keys")}
    if "--check" in sys.argv[1:]:
        wrong = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
        sys.exit("not as generated: " + ", ".join(wrong) if wrong else 0)
    for name in there.keys() - made.keys():
        (HERE / name).unlink()
    for name, data in made.items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(VECTORS)} vectors")


if __name__ == "__main__":
    main()
