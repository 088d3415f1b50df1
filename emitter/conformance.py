#!/usr/bin/env python3
"""Runs every emitter over the vectors that all share (`formats/spec/vectors/emit` and `redact`), and prints one table.

    conformance.py [EMITTER…]     all of them unless some are named

Each emitter has a program that answers JSON lines: {"emit": VECTOR, "feed": "given" | "whole" | "bytes"} with {"lines": TEXT}, and
{"redact": CASE} with {"output": TEXT or null}. Ends with 1 where an answer is wrong, or an emitter whose toolchain is there cannot be run. An
emitter without its toolchain is said to be skipped; with --all that is an error too.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "formats" / "spec" / "vectors"
FEEDS = ("given", "whole", "bytes")

# Emitter: the tool that it needs, its folder, and the command that answers.
EMITTERS = {
    "rust": ("cargo", "../formats", ["cargo", "run", "--quiet", "--example", "conformance"]),
    "python": ("python3", "python", [sys.executable, "conformance.py"]),
    "node": ("node", "node", ["node", "conformance.js"]),
    "go": ("go", "go", ["go", "run", "./conformance"]),
    "java": ("mvn", "java", ["./conformance.sh"]),
}


def questions():
    """(column, name, question, right answer), in the order in which they are asked."""
    for path in sorted((VECTORS / "emit").glob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        lines = path.with_suffix(".lines").read_bytes().decode("utf-8")
        for feed in FEEDS:
            yield f"emit, {feed}", path.stem, {"emit": vector, "feed": feed}, {"lines": lines}
    for case in json.loads((VECTORS / "redact" / "vectors.json").read_text(encoding="utf-8")):
        yield "redact", f"{case['kind']}: {case['what']}", {"redact": case}, {"output": case["output"]}


def answers(emitter, asked):
    """The emitter's answers, one for each question."""
    _, folder, command = EMITTERS[emitter]
    said = "".join(json.dumps(question, ensure_ascii=False) + "\n" for _, _, question, _ in asked)
    run = subprocess.run(command, cwd=HERE / folder, input=said.encode("utf-8"), stdout=subprocess.PIPE, check=True)
    found = [json.loads(line) for line in run.stdout.decode("utf-8").split("\n") if line]
    if len(found) != len(asked):
        raise ValueError(f"{len(found)} answers to {len(asked)} questions")
    return found


def main(arguments):
    must_run = "--all" in arguments
    named = [name for name in arguments if name != "--all"] or list(EMITTERS)
    asked = list(questions())
    columns = list(dict.fromkeys(column for column, *_ in asked))
    rows, wrong = [], []
    for emitter in named:
        tool = EMITTERS[emitter][0]
        if shutil.which(tool) is None:
            rows.append([emitter, f"skipped: {tool} is not installed"])
            wrong += [f"{emitter}: {tool} is not installed"] if must_run else []
            continue
        try:
            found = answers(emitter, asked)
        except (OSError, ValueError, subprocess.CalledProcessError) as fault:
            rows.append([emitter, "failed"])
            wrong.append(f"{emitter}: {fault}")
            continue
        right = dict.fromkeys(columns, 0)
        for (column, name, _, expected), answer in zip(asked, found):
            if answer == expected:
                right[column] += 1
            else:
                wrong.append(f"{emitter}, {column}, {name}:\n  expected {expected}\n  found    {answer}")
        rows.append([emitter] + [f"{right[column]} of {sum(asked_of == column for asked_of, *_ in asked)}" for column in columns])
    table = [["emitter", *columns], *rows]
    widths = [max(len(row[at]) for row in table if at < len(row) and len(row) > 2) for at in range(len(columns) + 1)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for fault in wrong[:20]:
        print(fault, file=sys.stderr)
    if len(wrong) > 20:
        print(f"and {len(wrong) - 20} more", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
