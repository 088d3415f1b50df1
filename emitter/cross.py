#!/usr/bin/env python3
"""Runs a sample app of each language under load, all writing to one log, and holds what `reassemble` makes of it against what was sent.

    cross.py [--all] [--requests N] [APP…]

Each app listens on `PORT`, gives on `POST /echo` the body back, and on `GET /call?to=URL` what a POST of `called` to that URL is answered with. Each
request's exchange has to be there once, whole, with the bytes that were sent and answered; a call from one app to another has to share its trace on
both sides, and to name what caused it. With --all a missing toolchain is an error, without it the app is said to be skipped.

`REASSEMBLE` names the binary, `target/debug/reassemble` unless set.
"""

import collections
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "samples"))

from trial import PATIENCE_S, Fault, bytes_of, free_port, stored, wait_for  # noqa: E402

CONNECTIONS = 4
# Every so many-th request makes its app call another.
CALLS = 8

# Several workers, each with an emitter of its own, on one standard output.
GUNICORN = ["sh", "-c", 'exec "$0" -m gunicorn --bind "127.0.0.1:$PORT" "$@"', sys.executable, "--log-level", "warning"]
JAVA = ["sh", "-c", 'exec java -cp "target/classes:$(cat target/classpath)" shop.App']
# App: the tool that it needs, its folder, and its command.
APPS = {
    "rust": ("cargo", "samples/shop", ["sh", "-c", 'SHOP_LISTEN=127.0.0.1:$PORT exec cargo run --quiet -- --quiet']),
    "fastapi": ("python3", "samples/python", [sys.executable, "fastapi_app.py"]),
    "flask": ("python3", "samples/python", GUNICORN + ["--workers", "2", "--threads", "8", "flask_app:app"]),
    "django": ("python3", "samples/python", GUNICORN + ["--workers", "2", "--threads", "8", "django_app:app"]),
    "go": ("go", "samples/go", ["sh", "-c", "go build -o app . && exec ./app"]),
    "express": ("node", "samples/node", ["node", "express.js"]),
    "fastify": ("node", "samples/node", ["node", "fastify.js"]),
    "node-http": ("node", "samples/node", ["node", "http.js"]),
    "jetty": ("mvn", "samples/java/jetty", JAVA),
    "spring": ("mvn", "samples/java/spring", JAVA),
}


class App:
    """A running app, whose standard output is the log."""

    def __init__(self, name, log):
        _, folder, command = APPS[name]
        self.name, self.port = name, free_port()
        environment = {**os.environ, "PORT": str(self.port), "CAPTURE_SERVICE": name}
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, cwd=ROOT / folder, env=environment, stdout=log, stderr=self.errors, start_new_session=True)

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")[-2000:]

    def wait(self):
        wait_for(self.port, self.process, self.name, self.said)

    def stop(self):
        """Asks it to end, as whoever runs it would, and takes its children with it where it does not."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise Fault(f"{self.name} does not end on SIGTERM: {self.said()}")


def drawn_body(chance):
    """A body and its content type."""
    size = min(int(chance.lognormvariate(7, 1.5)), 150_000)
    kind = chance.randrange(3)
    if kind == 0:
        return chance.randbytes(size), "application/octet-stream"
    words = " ".join(chance.choice(["tea", "cup", "\u8336", 'a "quoted" \\ word', "line\nbreak", "\x01"]) for _ in range(size // 6))
    if kind == 1:
        return words.encode("utf-8"), "text/plain; charset=utf-8"
    return json.dumps({"note": words[:20_000], "count": size}).encode("utf-8"), "application/json"


def load(app, other, number, count, sent, faults):
    """One connection's requests to an app. `sent`: by the test's id, what was asked and answered."""
    chance = random.Random(f"{app.name} {number}")
    try:
        client = http.client.HTTPConnection("127.0.0.1", app.port, timeout=PATIENCE_S)
        for at in range(count):
            test_id = f"{app.name}-{number}-{at}"
            if at % CALLS == 0:
                method, path, body, headers = "GET", f"/call?to=http://127.0.0.1:{other.port}/echo", b"", {}
            else:
                body, content_type = drawn_body(chance)
                method, path, headers = "POST", "/echo", {"Content-Type": content_type}
            client.request(method, path, body or None, {**headers, "X-Test-Id": test_id})
            answer = client.getresponse()
            found = answer.read()
            expected = b"called" if at % CALLS == 0 else body
            if answer.status != 200 or found != expected:
                raise Fault(f"{test_id} was answered with {answer.status} and {len(found)} bytes instead of {len(expected)}")
            sent[test_id] = (method, body, expected)
        client.close()
    except (Fault, OSError, http.client.HTTPException) as fault:
        faults.append(f"{app.name}: {fault!r}")


def header(part, name):
    return next((value for listed, value in part["headers"] or [] if listed.lower() == name), None)


def judge(exchanges, sent):
    """What is wrong with the exchanges, in words; and how many there are of each service and direction."""
    counts = collections.Counter((exchange["service"], exchange["dir"]) for exchange in exchanges)
    inbound, faults = {}, []
    for exchange in exchanges:
        if not exchange["complete"] or exchange["problems"]:
            faults.append(f"{exchange['service']} {exchange['id']} has problems: {exchange['problems']}")
        test_id = header(exchange["request"], "x-test-id") if exchange["request"] else None
        if test_id is not None and inbound.setdefault(test_id, exchange) is not exchange:
            faults.append(f"{test_id} is there twice")
    outbound = collections.defaultdict(list)
    served = collections.defaultdict(list)
    for exchange in exchanges:
        if exchange["dir"] == "out":
            outbound[exchange.get("parent")].append(exchange)
        elif header(exchange["request"], "x-test-id") is None:
            served[exchange["trace"].split("-")[1]].append(exchange)
    for test_id, (method, asked, answered) in sent.items():
        exchange = inbound.get(test_id)
        if exchange is None:
            faults.append(f"{test_id} is missing")
            continue
        request, response = exchange["request"], exchange["response"]
        for what, right in {
            "direction": exchange["dir"] == "in",
            "method": request["method"] == method,
            "status": response["status"] == 200,
            "request body": bytes_of(request["body"]) == asked,
            "response body": bytes_of(response["body"]) == answered,
        }.items():
            if not right:
                faults.append(f"{test_id}: the {what} is wrong")
        if method != "GET":
            continue
        calls = outbound[exchange["id"]]
        trace = exchange["trace"].split("-")[1]
        if len(calls) != 1 or calls[0]["trace"].split("-")[1] != trace:
            faults.append(f"{test_id}: {len(calls)} calls name it as their parent, or with another trace")
        elif bytes_of(calls[0]["request"]["body"]) != b"called" or bytes_of(calls[0]["response"]["body"]) != b"called":
            faults.append(f"{test_id}: the call's bodies are wrong")
        if len(served[trace]) != 1:
            faults.append(f"{test_id}: {len(served[trace])} requests that the other app served bear its trace")
    return faults, counts


def main(arguments):
    must_run = "--all" in arguments
    arguments = [argument for argument in arguments if argument != "--all"]
    count = 160
    if "--requests" in arguments:
        at = arguments.index("--requests")
        count = int(arguments[at + 1])
        del arguments[at : at + 2]
    missing = [name for name in arguments or APPS if shutil.which(APPS[name][0]) is None]
    for name in missing:
        print(f"{name}: skipped, {APPS[name][0]} is not installed")
    names = [name for name in arguments or APPS if name not in missing]
    faults, sent = [], {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        apps = []
        try:
            with open(place / "app.log", "ab") as log:
                apps = [App(name, log) for name in names]
            for app in apps:
                app.wait()
            threads = [
                threading.Thread(target=load, args=(app, apps[(at + 1) % len(apps)], number, count // CONNECTIONS, sent, faults))
                for at, app in enumerate(apps)
                for number in range(CONNECTIONS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for app in apps:
                app.stop()
            wrong, counts = judge(stored(place / "app.log", place / "captures"), sent)
            faults += wrong
        except Fault as fault:
            faults.append(str(fault))
            counts = {}
        finally:
            for app in apps:
                if app.process.poll() is None:
                    os.killpg(app.process.pid, signal.SIGKILL)
    print(f"{'app':<12} {'asked':>6} {'inbound':>8} {'outbound':>9}")
    for name in names:
        asked = sum(test_id.startswith(f"{name}-") for test_id in sent)
        print(f"{name:<12} {asked:>6} {counts.get((name, 'in'), 0):>8} {counts.get((name, 'out'), 0):>9}")
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    if len(faults) > 20:
        print(f"and {len(faults) - 20} more", file=sys.stderr)
    return 1 if faults or must_run and missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
