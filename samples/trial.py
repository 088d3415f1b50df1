"""What trials of samples share: a port, a program that is to listen, and what `reassemble` makes of a log.

`REASSEMBLE` names the binary, `target/debug/reassemble` unless set.
"""

import json
import os
import socket
import subprocess
import time
from base64 import b64decode
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REASSEMBLE = os.environ.get("REASSEMBLE", str(ROOT / "target" / "debug" / "reassemble"))
PATIENCE_S = 60


class Fault(Exception):
    """What is wrong, in words."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, name, said):
    """Waits until a program listens. `said` tells what it said, where it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Fault(f"{name} ended with {process.returncode}: {said()}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Fault(f"{name} does not listen: {said()}")


def stored(log, place):
    """The exchanges that `reassemble` makes of a log, by way of a folder."""
    command = [REASSEMBLE, str(log), "--to", str(place), "--compression", "none", "--inline-body", "8MiB", "--no-progress"]
    run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if run.returncode != 0:
        raise Fault(f"reassemble ended with {run.returncode}: {run.stderr.decode('utf-8', 'replace')[-2000:]}")
    lines = [line for path in sorted(place.glob("**/*.ndjson")) for line in path.read_text(encoding="utf-8").split("\n")]
    return [json.loads(line) for line in lines if line]


def bytes_of(body):
    """A stored body's bytes."""
    return b64decode(body["b64"]) if "b64" in body else body["text"].encode("utf-8")
