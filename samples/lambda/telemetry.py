"""What a function printed, as Lambda's Telemetry API delivers it (schema 2025-01-29): one event a line."""

import json
from datetime import datetime, timezone


def events(function):
    """The text of each event, in the order of time: those of the platform around those of the function."""
    timed = [*printed(function), *platform(function)]
    return [text(*event) for event in sorted(timed, key=lambda event: event[0])]


def text(at, kind, record):
    time = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f'{{"time":"{time}","type":"{kind}","record":{record}}}'


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def printed(function):
    """A line that was printed is an event, and so is a frame, which may hold line breaks."""
    for at, line in function.output.lines():
        yield at, "function", record(line.decode("utf-8"), function.log_format == "JSON")
    for at, is_json, message in function.telemetry.frames():
        yield at, "function", record(message.decode("utf-8"), is_json)


def record(message, is_json):
    """In the JSON log format what is a JSON object is one in the event too; all else is a string."""
    if is_json:
        try:
            if isinstance(json.loads(message), dict):
                return message.strip()
        except ValueError:
            pass
    return compact(message)


def platform(function):
    ready = function.api.ready_at
    init = {"initializationType": "on-demand", "phase": "init"}
    metrics = {"durationMs": milliseconds(function.started, ready)}
    yield event(function.started, "initStart", {**init, "functionName": function.name, "functionVersion": "$LATEST"})
    yield event(ready, "initRuntimeDone", {**init, "status": "success"})
    yield event(ready, "initReport", {**init, "status": "success", "metrics": metrics})
    for request_id, began, ended, kind in function.invocations:
        status = {"response": "success"}.get(kind, kind)
        took = milliseconds(began, ended)
        memory = {"memorySizeMB": 128, "maxMemoryUsedMB": 64}
        yield event(began, "start", {"requestId": request_id, "version": "$LATEST"})
        yield event(ended, "runtimeDone", {"requestId": request_id, "status": status, "metrics": {"durationMs": took}})
        report = {"durationMs": took, "billedDurationMs": int(took) + 1, **memory}
        yield event(ended, "report", {"requestId": request_id, "status": status, "metrics": report})


def event(at, kind, about):
    return at, f"platform.{kind}", compact(about)


def milliseconds(began, ended):
    return round((ended - began) * 1000, 3)
