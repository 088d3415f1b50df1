#!/usr/bin/env python3
"""Runs the extension with the sample functions of Go under aws-lambda-rie, AWS's own emulator of Lambda, and holds what it does against what the
emulator has seen, and what is stored in an S3 server against what the functions were invoked with.

    emulated.py [--all]    with --all what is missing is an error, without it the trial is said to be skipped

The emulator has two modes, and each judges what it has:

- **default**: registration for INVOKE and SHUTDOWN, events, errors at the start. It has no telemetry and answers a subscription with 202: the extension has
  to say so, go on from event to event, and leave the function alone. Nothing can be stored.
- **managed instances**: also the Telemetry API, of schema 2025-01-29 alone; it holds subscriptions against a JSON schema. No extension is told of
  invocations. Every exchange has to be stored, once. It sends nothing twice; where a POST is not answered before the next is due, after 25 ms, it drops what it
  has and stands still, for it waits for itself to tell of that. The trial is made again then.

Neither freezes. The emulator starts what lies in /opt/extensions and /var/task, and knows no other folders. So it runs in a mount namespace of its own, where
/opt and /var are folders of the trial's: the machine's are not touched.

`REASSEMBLE_TEST_EXTENSION` names the extension's binary, target/debug/reassemble-extension unless set. Python's packages are those of the python that runs
this: moto[server] and boto3.
"""

import base64
import gzip
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
sys.path[:0] = [str(ROOT / "samples"), str(ROOT / "samples" / "lambda"), str(ROOT / "formats" / "spec")]

from trial import PATIENCE_S, Fault, bytes_of, free_port, wait_for  # noqa: E402

from check import answer_faults, called, count, judged, redacted  # noqa: E402
from events import Case, cases, http_api, messages  # noqa: E402
from languages import Go, run  # noqa: E402

EXTENSION = Path(os.environ.get("REASSEMBLE_TEST_EXTENSION", ROOT / "target" / "debug" / "reassemble-extension")).absolute()
NAME = "reassemble-extension"
EMULATOR = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie"
INVOCATIONS = "/2015-03-31/functions/function/invocations"
# Binds two folders over /opt and /var, and becomes the program.
ENTER = 'mount --bind "$1" /opt; mount --bind "$2" /var; shift 2; exec "$@"'
# Invocations that run at once on a managed instance, and how many are made so.
CONCURRENCY, AT_ONCE = 2, 12
# What the emulator has seen of it: the events that it is registered for, and how it ended.
REGISTERED = {False: "registered, subscribed to [INVOKE SHUTDOWN]", True: "events=[SHUTDOWN]"}
ENDED = {False: f"Handling termination for extension-{NAME}", True: f"Name:extension-{NAME} Cause:exited Signo:<nil> ExitStatus:0"}
KILLED = re.compile(rf"Deadline: the agent|SIGKILL to extension-{NAME}|Name:extension-{NAME} Cause:signaled")
# What the extension says at its end: exchanges that are stored, records that are not, and those that were dropped before they came.
SUMMARY = re.compile(r"exchanges_stored=(\d+) .*records_unstored=(\d+) dropped_by_lambda_records=(\d+)")
# What the worker's exchanges are beside their event.
QUEUE = {"method": "invoke", "url": "lambda://worker", "proto": "lambda", "asked": None, "answered": b'{"batchItemFailures":[]}', "status": None}
# When a managed instance stores: after most invocations, for while it does so it takes little telemetry, and the emulator drops what is not taken.
FLUSH = "periodic:3"
# How long an invocation may take.
INVOCATION_S = 10
# Trials in which the emulator drops telemetry, before it is a fault.
TRIES = 4


class Dropped(Fault):
    """The emulator dropped telemetry."""


def apart(*command):
    """A command that sees the first two folders as /opt and /var, and whose end is that of all that it starts."""
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", ENTER, "sh", *command]


def lacks():
    """What keeps the trial from being made here."""
    missing = [tool for tool in ("go", "unshare", "mount") if shutil.which(tool) is None]
    missing += [name for name in ("boto3", "moto") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    if os.geteuid() != 0:
        return "no root, who mounts and starts extensions as another user"
    with tempfile.TemporaryDirectory() as folder:
        probe = subprocess.run(apart(folder, folder, "true"), stdin=subprocess.DEVNULL, capture_output=True)
    if probe.returncode != 0:
        return f"/opt/extensions cannot be mounted: {probe.stderr.decode('utf-8', 'replace').strip()}"
    return None if EXTENSION.is_file() else f"{EXTENSION} is not built"


class Bucket:
    """An S3 server in this process, with a bucket."""

    def __init__(self):
        import boto3
        from moto.server import ThreadedMotoServer

        # The server's log of requests.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        ThreadedMotoServer("127.0.0.1", port, verbose=False).start()
        self.client = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
        self.client.create_bucket(Bucket="bucket")

    def settings(self, prefix):
        """What the extension is told of it."""
        return {"REASSEMBLE_TO": f"s3://bucket/{prefix}", "REASSEMBLE_S3_ENDPOINT": self.url, "REASSEMBLE_S3_PATH_STYLE": "true"}

    def exchanges(self, prefix):
        """Every exchange below a prefix, as often as it is there."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=f"{prefix}/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        objects = [self.client.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys if key.endswith(".ndjson.gz")]
        return [json.loads(line) for content in objects for line in gzip.decompress(content).splitlines()]


class Place:
    """What all environments share: the emulator, the layer, the functions."""

    def __init__(self, folder):
        self.folder = folder
        self.opt = folder / "opt"
        (self.opt / "extensions").mkdir(parents=True)
        shutil.copy2(EXTENSION, self.opt / "extensions" / NAME)
        run(["go", "build", "-o", self.opt / "aws-lambda-rie", EMULATOR], HERE)
        Go.build(folder)

    def var(self, function):
        """A folder for /var of an environment, with the function in it, and a folder that all may write."""
        var = Path(tempfile.mkdtemp(dir=self.folder))
        (var / "task").mkdir()
        shutil.copy2(self.folder / function, var / "task" / "bootstrap")
        (var / "tmp").mkdir()
        (var / "tmp").chmod(0o1777)
        var.chmod(0o755)
        return var


class Environment:
    """An environment of Lambda: the emulator, and in it a function and the extension. It is killed where a trial leaves it."""

    def __init__(self, place, function, settings, is_managed):
        var = place.var(function)
        self.is_managed, self.said, self.port = is_managed, var / "said", free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(PATIENCE_S),
            "CAPTURE_SERVICE": function,
            "REASSEMBLE_STATE": "/var/tmp/reassemble",
            **settings,
        }
        if is_managed:
            environment["AWS_LAMBDA_MAX_CONCURRENCY"] = str(CONCURRENCY)
        addresses = ["--runtime-api-address", f"127.0.0.1:{free_port()}", "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}"]
        command = apart(place.opt, var, "/opt/aws-lambda-rie", "--log-level", "debug", *addresses)
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def words(self):
        """What all of them said."""
        return self.said.read_text(encoding="utf-8", errors="replace")

    def requests(self, method, path):
        """How often the extension asked the emulator for something."""
        spelled = f"method={method} url={path} " if self.is_managed else f"API request - {method} {path},"
        return self.words().count(spelled)

    def has_dropped(self):
        return "could not send batch to telemetry Subscriber" in self.words()

    def fault(self, what):
        """Something that does not come to pass."""
        return (Dropped if self.has_dropped() else Fault)(f"{what}: {self.words()[-3000:]}")

    def listens(self):
        wait_for(self.port, self.process, "aws-lambda-rie", self.words)

    def until(self, what, look):
        """Waits until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not look():
            if self.process.poll() is not None or self.has_dropped() or time.monotonic() > deadline:
                raise self.fault(f"{what} is waited for in vain")
            time.sleep(0.05)

    def invoke(self, event):
        """How an invocation ended (`response`, `error`), and the JSON of it."""
        root = uuid.uuid4().hex
        trace = f"Root=1-{root[:8]}-{root[8:]};Parent={root[:16]};Sampled=0"
        url, headers = f"http://127.0.0.1:{self.port}{INVOCATIONS}", {"Content-Type": "application/json", "X-Amzn-Trace-Id": trace}
        request = urllib.request.Request(url, json.dumps(event).encode("utf-8"), headers)
        deadline = time.monotonic() + INVOCATION_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(request, timeout=INVOCATION_S) as response:
                    answer = json.loads(response.read())
                return "error" if isinstance(answer, dict) and "errorType" in answer else "response", answer
            except urllib.error.HTTPError as error:
                # On a managed instance a runtime that has just answered may not have asked for more.
                if error.headers.get("Error-Type") != "Runtime.Unavailable":
                    return "error", {"status": error.code}
                time.sleep(0.01)
            except TimeoutError:
                break
        raise self.fault("an invocation does not end")

    def shut_down(self):
        """Ends it in order."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        os.kill(int(children[0]), signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise self.fault("the environment does not end") from None


def answered(environment, expected):
    """What is wrong with the answers to invocations, one after another."""
    return [fault for case in expected for fault in answer_faults(case, *environment.invoke(case.event))]


def answered_at_once(environment, expected):
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        answers = pool.map(lambda case: environment.invoke(case.event), expected)
        return [fault for case, answer in zip(expected, answers) for fault in answer_faults(case, *answer)]


def wrong(**checks):
    return [f"wrong: {name.replace('_', ' ')}" for name, is_right in checks.items() if not is_right]


def events_of(function, server):
    """The events that a function answers in time."""
    base = f"http://127.0.0.1:{server.server_address[1]}"
    made = cases(f"{base}/stock", f"{base}/silent", f"http://127.0.0.1:{free_port()}/stock", function)
    return [case for case in made[function] if not case.times_out]


def life_faults(environment, events):
    """What is wrong with the extension's life, by what the emulator has seen."""
    said = environment.words()
    return wrong(
        registration=said.count(REGISTERED[environment.is_managed]) == 1,
        number_of_events_asked_for=environment.requests("GET", "/2020-01-01/extension/event/next") == events,
        end=ENDED[environment.is_managed] in said and not KILLED.search(said),
    )


def without_telemetry(place, server, _):
    """The default mode; gives faults and the number of invocations."""
    expected = events_of("web", server) + events_of("web", server)
    with Environment(place, "web", {"REASSEMBLE_TO": "s3://nobody"}, is_managed=False) as environment:
        environment.listens()
        faults = answered(environment, expected)
        # It asks for the next event once it has done with the last.
        events = len(expected) + 1
        environment.until("the last event", lambda: environment.requests("GET", "/2020-01-01/extension/event/next") == events)
        environment.shut_down()
        said = environment.words()
        faults += life_faults(environment, events)
        faults += wrong(
            sentence="nothing is captured, the function runs without" in said and "Telemetry.NotSupported" in said,
            end_of_the_start=said.count("INIT RTDONE(status: success)") == 1,
        )
    return faults, len(expected)


def refused_default(place, server, _):
    """A configuration that cannot be used, in the default mode: the environment does not start, and the emulator knows why."""
    with Environment(place, "worker", {"REASSEMBLE_FLUSH": "never"}, is_managed=False) as environment:
        environment.listens()
        kind, answer = environment.invoke(events_of("worker", server)[0].event)
        faults = wrong(answer=(kind, answer) == ("error", {"status": 502})) + refusal_faults(environment, "Extension.InitError")
    return faults, 1


def refused_managed(place, *_):
    """The same on a managed instance, which starts before it is invoked."""
    with Environment(place, "worker", {"REASSEMBLE_FLUSH": "never"}, is_managed=True) as environment:
        environment.process.wait(PATIENCE_S)
        return refusal_faults(environment, "Extension.Configuration"), 0


def refusal_faults(environment, error_type):
    return wrong(
        report=environment.requests("POST", "/2020-01-01/extension/init/error") == 1,
        reason=f"First fatal error stored in appctx: {error_type}" in environment.words() or f"errorType={error_type}" in environment.words(),
        subscription=environment.requests("PUT", "/2022-07-01/telemetry") == 0,
    )


def distinct(function, numbers):
    """Cases that differ in what they ask, so that each one's exchange can be told from the others'."""
    if function == "worker":
        return [Case("SQS", messages(json.dumps({"item": "tea", "qty": number})), **QUEUE) for number in numbers]
    bodies = [f"order {number}\n".encode() * 100 for number in numbers]
    case = http_api()
    return [replace(case, event={**case.event, "body": base64.b64encode(body).decode("ascii")}, asked=body, answered=body) for body in bodies]


def is_of(case, exchange):
    asked = bytes_of(exchange["request"]["body"])
    return json.loads(asked) == redacted(case.event) if case.asked is None else asked == case.asked


def managed(function):
    """A managed instance that runs a function: every exchange is stored once."""

    def trial(place, server, bucket):
        for _ in range(TRIES - 1):
            try:
                return managed_once(place, server, bucket, function)
            except Dropped:
                print(f"managed, {function}: the emulator dropped telemetry, once more")
        return managed_once(place, server, bucket, function)

    return trial


def managed_once(place, server, bucket, function):
    """Gives faults and the number of invocations."""
    expected = events_of(function, server)
    one_by_one = distinct(function, range(AT_ONCE + 1))
    at_once, last = one_by_one[:-1], one_by_one[-1:]
    prefix = uuid.uuid4().hex
    server.traces.clear()
    with Environment(place, function, {**bucket.settings(prefix), "REASSEMBLE_FLUSH": FLUSH}, is_managed=True) as environment:
        environment.listens()
        environment.until("the start", lambda: "Received Init Success" in environment.words() and "reading input=" in environment.words())
        faults = answered(environment, expected) + answered_at_once(environment, at_once)
        so_far = count([*expected, *at_once])
        # Nobody tells it of invocations: it stores by itself, while they go on.
        environment.until("a flush", lambda: len(bucket.exchanges(prefix)) >= so_far)
        # What is printed right before the end is stored then.
        faults += answered(environment, last)
        environment.shut_down()
        faults += life_faults(environment, 1)
        faults += wrong(subscription=environment.words().count("Telemetry subscription created") == 1)
        counts = SUMMARY.findall(environment.words())
    exchanges = bucket.exchanges(prefix)
    faults += wrong(summary=counts == [(str(len(exchanges)), "0", "0")])
    for case in one_by_one:
        own = [exchange for exchange in exchanges if is_of(case, exchange)]
        faults += judged(own, [case], [])
        exchanges = [exchange for exchange in exchanges if exchange not in own]
    faults += judged(exchanges, expected, server.traces)
    return faults, len(expected) + len(one_by_one)


TRIALS = {
    "default, without telemetry": without_telemetry,
    "default, a configuration that is refused": refused_default,
    "managed, a configuration that is refused": refused_managed,
    "managed, web": managed("web"),
    "managed, worker": managed("worker"),
}


def main(arguments):
    missing = lacks()
    if missing:
        print(f"the extension under aws-lambda-rie: skipped: {missing}")
        return int("--all" in arguments)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        place, server, bucket = Place(Path(folder)), called(), Bucket()
        for name, trial in TRIALS.items():
            began = time.monotonic()
            try:
                faults, invocations = trial(place, server, bucket)
            except Fault as fault:
                faults, invocations = [str(fault)], 0
            failed += bool(faults)
            print(f"{name:<42} {invocations:>3} invocations {time.monotonic() - began:>6.1f} s {'FAULT' if faults else 'ok':>6}", flush=True)
            for fault in faults:
                print(f"  {fault}")
    print(f"{len(TRIALS) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
