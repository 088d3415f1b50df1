#!/usr/bin/env python3
"""Runs the sample functions under the clients that Lambda runs them with, and holds what `reassemble` makes of their logs against the events.

    check.py [--all] [LANGUAGE…]    with --all a missing toolchain is an error, without it the language is said to be skipped

Each function is started with each log format, and, where its client knows them, with and without frames for what loggers say; an own Runtime API
hands out the events. When an answer comes, all lines of its invocation have to be printed, for Lambda may freeze the function from then on. The
streams that are committed in samples/logs/lambda have to give what their expected.json says.

`REASSEMBLE` names the binary, `target/debug/reassemble` unless set. Python's packages are those of the python that runs this.
"""

import base64
import json
import sys
import tempfile
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

HERE = Path(__file__).resolve().parent
SPECIFICATION = HERE.parent.parent / "formats" / "spec"
STREAMS = HERE.parent / "logs" / "lambda"
sys.path[:0] = [str(HERE.parent), str(SPECIFICATION)]

from reference_reader import read  # noqa: E402
from trial import Fault, bytes_of, free_port, stored  # noqa: E402

import telemetry  # noqa: E402
from events import SECRET, cases  # noqa: E402
from function import Function  # noqa: E402
from languages import LANGUAGES  # noqa: E402

FORMATS = ("Text", "JSON")


class Called(BaseHTTPRequestHandler):
    """Whom the functions call: gives what it is told, except on `/silent`."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.traces.append(self.headers["traceparent"])
        if self.path == "/silent":
            # Until whoever asks hangs up.
            self.rfile.read(1)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def called():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Called)
    server.traces = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Trial:
    """One function of a language, in one log format, invoked with all its events."""

    def __init__(self, language, name, log_format, is_framed, place, server):
        self.label = (language, name, log_format, "yes" if is_framed else "no")
        self.faults = []
        full_name = f"{name}-{language}"
        base = f"http://127.0.0.1:{server.server_address[1]}"
        self.cases = cases(f"{base}/stock", f"{base}/silent", f"http://127.0.0.1:{free_port()}/stock", full_name)[name]
        server.traces.clear()
        kind = LANGUAGES[language]
        self.function = Function(full_name, kind.command(name, place), kind.folder, log_format, is_framed)
        try:
            for number, case in enumerate(self.cases, 1):
                self.faults += invoked(self.function, case, self.cases[:number], server.traces)
        except Fault as fault:
            self.faults.append(f"{fault}: {self.function.output.text().decode('utf-8', 'replace')[-1500:]}")
        finally:
            self.function.kill()
        self.traces = list(server.traces)

    def judge(self, place):
        """Adds what is wrong with the stream; gives the stream."""
        if self.faults:
            return []
        events = telemetry.events(self.function)
        log = place / "stream.ndjson"
        log.write_text("\n".join(events) + "\n", encoding="utf-8")
        self.exchanges = stored(log, place / "captures")
        self.faults += judged(self.exchanges, self.cases, self.traces)
        if SECRET in log.read_text(encoding="utf-8"):
            self.faults.append("a secret is in the log")
        is_framed = self.label[3] == "yes"
        # What loggers say has a line break, which frames keep.
        kept = [message for _, is_json, message in self.function.telemetry.frames() if (b"\\n  " if is_json else b"\n  ") in message]
        if bool(kept) != is_framed:
            self.faults.append("frames are not where they should be, or cut")
        return events


def invoked(function, case, so_far, traces):
    """What is wrong with an invocation's answer, or with what was printed before it came."""
    expected = count(so_far)
    if case.times_out:
        # Once whom it calls is asked, the requests have to be printed, for nothing will be later.
        asked = sum(case.calls is not None and not case.fails for case in so_far)
        function.invoke_until(case.event, lambda printed: len(traces) == asked and len(read(printed)["exchanges"]) == expected)
        return
    kind, answer, printed = function.invoke(case.event)
    yield from answer_faults(case, kind, answer)
    whole = [exchange for exchange in read(printed)["exchanges"] if exchange["complete"]]
    if len(whole) != expected:
        yield f"{case.name}: {len(whole)} whole exchanges are printed when it is answered, instead of {expected}"


def answer_faults(case, kind, answer):
    """What is wrong with how an invocation ended (`response`, `error`), or with its answer."""
    if kind != ("error" if case.fails else "response"):
        yield f"{case.name}: ended as {kind}: {answer}"
    elif not case.fails:
        if case.status is None:
            right = answer == json.loads(case.answered)
        else:
            # The caller gets what the handler answered, secrets and all.
            body = base64.b64decode(answer["body"])
            right = answer["statusCode"] == case.status and body.replace(SECRET.encode(), b"[redacted]") == case.answered
        if not right:
            yield f"{case.name}: answered {str(answer)[:200]}"


def count(cases):
    """How many exchanges come of them."""
    return sum(1 if case.calls is None else 2 for case in cases)


def judged(exchanges, expected, traces):
    """What is wrong with the exchanges, in words."""
    ordered = sorted(exchanges, key=lambda exchange: exchange["ts"])
    inbound = [exchange for exchange in ordered if exchange["dir"] == "in"]
    if len(inbound) != len(expected) or len(exchanges) != count(expected):
        yield f"{len(exchanges)} exchanges, {len(inbound)} of them inbound, instead of {count(expected)} and {len(expected)}"
        return
    sent = iter(traces)
    for case, exchange in zip(expected, inbound):
        calls = [other for other in exchanges if other.get("parent") == exchange["id"]]
        checks = request_checks(case, exchange) | response_checks(case, exchange)
        checks["number of calls"] = len(calls) == (case.calls is not None)
        checks["completeness"] = all(each["complete"] != case.times_out and bool(each["problems"]) == case.times_out for each in [exchange, *calls])
        for call in calls:
            checks |= call_checks(case, exchange, call, sent)
        wrong = [what for what, right in checks.items() if not right]
        if wrong:
            yield f"{case.name}: wrong: {', '.join(wrong)}: {json.dumps([exchange, *calls])[:2000]}"


def request_checks(case, exchange):
    request = exchange["request"]
    asked = bytes_of(request["body"])
    headers = {}
    for name, value in request["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    return {
        "protocol": exchange["proto"] == case.proto,
        "method": request["method"] == case.method,
        "URL": taken_apart(request["url"]) == taken_apart(case.url),
        "peer": exchange.get("peer") == case.peer,
        "trace": case.trace in (None, exchange["trace"]),
        "request body": json.loads(asked) == redacted(case.event) if case.asked is None else asked == case.asked,
        "request headers": all(headers.get(name) == values for name, values in case.headers.items()),
        "cookies": set(headers.get("cookie", [])) <= {"[redacted]"},
    }


def response_checks(case, exchange):
    response = exchange["response"]
    if case.times_out:
        return {"response that is none": response is None}
    if case.fails:
        told = (response or {}).get("status"), bytes_of(response["body"]) if response else b""
        return {"error": bool(exchange.get("error")), "what was answered before it failed": told == (case.status, case.answered)}
    answered = bytes_of(response["body"])
    if case.proto == "lambda":
        return {"result": json.loads(answered) == json.loads(case.answered), "error": exchange.get("error") is None}
    cookies = [value for name, value in response["headers"] if name.lower() == "set-cookie"]
    return {
        "status": response["status"] == case.status,
        "response body": answered == case.answered,
        "cookies that are set": cookies == ["[redacted]"] * 2,
        "error": exchange.get("error") is None,
    }


def call_checks(case, exchange, call, sent):
    checks = {
        "call's trace": call["trace"].split("-")[1] == exchange["trace"].split("-")[1],
        "call's request": (call["dir"], call["request"]["method"], call["request"]["url"]) == ("out", "POST", case.calls),
    }
    if case.fails:
        return checks | {"call's error": bool(call.get("error"))}
    checks["traceparent that was sent"] = call["trace"] == next(sent, None)
    if case.times_out:
        return checks | {"call's response that is none": call["response"] is None}
    return checks | {
        "call's bodies": bytes_of(call["request"]["body"]) == b"called" == bytes_of(call["response"]["body"]),
        "call's status": call["response"]["status"] == 200,
    }


def taken_apart(url):
    """A URL with its parameters decoded: a gateway hands them over so, and either spelling stands for them."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc, parts.path, parse_qsl(parts.query)


def redacted(value):
    if isinstance(value, dict):
        return {name: "[redacted]" if name == "token" else redacted(held) for name, held in value.items()}
    if isinstance(value, str) and value.startswith("{"):
        # A text without secrets stays as it is spelled.
        held = json.loads(value)
        return telemetry.compact(redacted(held)) if redacted(held) != held else value
    return [redacted(held) for held in value] if isinstance(value, list) else value


def summary(exchanges):
    """What has to come of a committed stream: all but ids and times."""
    ordered = sorted(exchanges, key=lambda exchange: exchange["ts"])
    number = {exchange["id"]: at for at, exchange in enumerate(ordered)}
    return [
        {
            "service": exchange["service"],
            "dir": exchange["dir"],
            "proto": exchange["proto"],
            "method": exchange["request"]["method"],
            "url": exchange["request"]["url"],
            "status": (exchange["response"] or {}).get("status"),
            "error": exchange.get("error"),
            "parent": number.get(exchange.get("parent")),
            "complete": exchange["complete"],
            "problems": exchange["problems"],
            **{part: body_summary(exchange[part]) for part in ("request", "response")},
        }
        for exchange in ordered
    ]


def body_summary(part):
    body = bytes_of(part["body"]) if part and part.get("body") else b""
    return {"len": len(body), "crc": f"{zlib.crc32(body):08x}"}


def streams():
    """What is wrong with the committed streams; tells how many are right."""
    expected = json.loads((STREAMS / "expected.json").read_text(encoding="utf-8"))
    found = sorted(path.name for path in STREAMS.glob("*.ndjson"))
    if found != sorted(expected):
        yield f"expected.json tells of other streams than there are: {found}"
        return
    right = 0
    for name in found:
        with tempfile.TemporaryDirectory() as folder:
            if summary(stored(STREAMS / name, Path(folder))) == expected[name]:
                right += 1
            else:
                yield f"{name} does not give the exchanges of expected.json"
    print(f"{right} of {len(found)} committed streams give their exchanges")


def trials(language, place, server):
    """Every function of a language in every log format."""
    for name in LANGUAGES[language].functions:
        for log_format in FORMATS:
            for is_framed in (False, True) if LANGUAGES[language].is_framing else (False,):
                yield Trial(language, name, log_format, is_framed, place, server)


def main(arguments):
    must_run = "--all" in arguments
    wrong = 0
    server = called()
    print(f"{'language':<9} {'function':<9} {'format':<7} {'frames':<7} {'events':>6} {'exchanges':>10} {'seconds':>8}")
    for language in [argument for argument in arguments if argument != "--all"] or LANGUAGES:
        lacks = LANGUAGES[language].lacks()
        if lacks:
            print(f"{language}: skipped, not installed: {lacks}")
            wrong += must_run
            continue
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            try:
                LANGUAGES[language].build(place)
            except Fault as fault:
                print(f"{language}: {fault}")
                wrong += 1
                continue
            began = time.monotonic()
            for trial in trials(language, place, server):
                with tempfile.TemporaryDirectory() as captures:
                    trial.judge(Path(captures))
                exchanges = "fault" if trial.faults else len(trial.exchanges)
                took = time.monotonic() - began
                print("{:<9} {:<9} {:<7} {:<7}".format(*trial.label), f"{len(trial.cases):>6} {exchanges:>10} {took:>8.1f}")
                for fault in trial.faults:
                    print(f"  {fault}")
                wrong += bool(trial.faults)
                began = time.monotonic()
    for fault in streams():
        print(fault)
        wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
