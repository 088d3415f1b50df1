#!/usr/bin/env python3
"""Tries each sample end to end: requests pass through it to an app that echoes, `reassemble` reads what it printed, and every body, header
and status has to be there.

    check.py [--all] [SAMPLE…]      with --all a sample whose program is missing is an error, without it is said to be skipped

`REASSEMBLE` names the binary, `target/debug/reassemble` unless set. What lies beside the python that runs this counts as installed, and
`MITMDUMP` may name a mitmdump that has the Python emitter.
"""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from trial import PATIENCE_S, Fault, bytes_of, free_port, stored, wait_for  # noqa: E402

# (method, path, body): text, binary, several lines, nothing, what must be escaped.
REQUESTS = [
    ("GET", "/plain?a=1&b=%22", b""),
    ("POST", "/json", b'{"name": "tea", "note": "a \\"quoted\\" word", "snow": "\xe2\x98\x83"}'),
    ("PUT", "/binary", bytes(range(256)) * 40),
    ("POST", "/long", b"a line of text\n" * 20_000),
    ("DELETE", "/missing", b""),
]


class App(BaseHTTPRequestHandler):
    """Echoes bodies; a path that ends in `missing` is a 404."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(404 if self.path.endswith("missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("X-Words", 'a "quoted" \\ word')
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


def copied(folder, place, ports):
    """A sample's folder, with ports of this run for those of its configuration."""
    shutil.copytree(folder, place)
    for path in place.iterdir():
        text = path.read_text(encoding="utf-8")
        for written, port in ports.items():
            text = text.replace(f":{written}", f":{port}").replace(f"port_value: {written}", f"port_value: {port}")
        path.write_text(text, encoding="utf-8")


def through(command, place, front, log):
    """Sends the requests through a proxy, and checks that it changes nothing."""
    with open(place / "stdout", "wb") as out, open(place / "stderr", "wb") as errors:
        process = subprocess.Popen(command, cwd=place, stdout=out, stderr=errors)

    def said():
        return (place / "stderr").read_text(encoding="utf-8", errors="replace")[-500:]

    try:
        wait_for(front, process, command[0], said)
        for method, path, body in REQUESTS:
            client = http.client.HTTPConnection("127.0.0.1", front, timeout=PATIENCE_S)
            client.request(method, path, body or None, {"X-Asked": 'a "quoted" word', "Authorization": "Bearer s3cret"})
            answer = client.getresponse()
            found = answer.read()
            client.close()
            if answer.status != (404 if path.endswith("missing") else 200) or found != body:
                raise Fault(f"{path} was answered with {answer.status} and {len(found)} bytes: {said()}")
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    return place / log


def nginx(place, app):
    front = free_port()
    copied(HERE / "nginx", place / "nginx", {8080: front, 8000: app})
    modules = next(iter(Path("/usr/lib").glob("**/nginx/modules")), None)
    if modules is None:
        raise FileNotFoundError("nginx's modules")
    (place / "nginx" / "modules").symlink_to(modules)
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"]
    return through(command, place / "nginx", front, "capture.log")


def envoy(place, app):
    front = free_port()
    copied(HERE / "envoy", place / "envoy", {8080: front, 8000: app})
    command = [tool("envoy"), "-c", "envoy.yaml", "--concurrency", "2", "--use-dynamic-base-id"]
    return through(command, place / "envoy", front, "stdout")


def mitmproxy(place, app):
    front = free_port()
    command = [tool("mitmdump"), "-q", "-s", str(HERE / "mitmproxy" / "capture.py"), "--listen-host", "127.0.0.1", "-p", str(front)]
    command += ["--mode", f"reverse:http://127.0.0.1:{app}", "--set", f"confdir={place}"]
    return through(command, place, front, "stdout")


def shell(place, _):
    log = place / "shell.log"
    for _, path, body in REQUESTS:
        (place / "body").write_bytes(body)
        environment = {**os.environ, "CAPTURE_FILE": str(log)}
        command = [HERE / "shell" / "capture.sh", "sh", "-c", 'cat "$1"; exit $2', "sh", str(place / "body"), "0", path]
        found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
        if found != body:
            raise Fault(f"{len(found)} bytes came instead of {len(body)}")
    return log


def tool(name):
    named = os.environ.get(name.upper())
    if named:
        return named
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")


SAMPLES = {"shell": ("sh", shell), "nginx": ("nginx", nginx), "envoy": ("envoy", envoy), "mitmproxy": ("mitmdump", mitmproxy)}


def check(name, exchanges):
    """What is wrong with them, in words."""
    if len(exchanges) != len(REQUESTS):
        yield f"{len(exchanges)} exchanges instead of {len(REQUESTS)}"
    for exchange in exchanges:
        if not exchange["complete"] or exchange["problems"]:
            yield f"{exchange['id']} has problems: {exchange['problems']}"
    if name == "shell":
        found = sorted(bytes_of(exchange["response"]["body"]) for exchange in exchanges)
        if found != sorted(body for _, _, body in REQUESTS):
            yield "bodies differ"
        return
    by_path = {exchange["request"]["url"].split("/", 3)[3]: exchange for exchange in exchanges}
    for method, path, body in REQUESTS:
        exchange = by_path.get(path[1:])
        if exchange is None:
            yield f"{path} is missing"
            continue
        asked, answered = exchange["request"], exchange["response"]
        headers = [{name.lower(): value for name, value in part["headers"]} for part in (asked, answered)]
        for what, right in {
            "method": asked["method"] == method,
            "request body": bytes_of(asked["body"]) == body,
            "response body": bytes_of(answered["body"]) == body,
            "status": answered["status"] == (404 if path.endswith("missing") else 200),
            "request header": headers[0].get("x-asked") == 'a "quoted" word',
            "secret": headers[0].get("authorization") == "[redacted]",
            "response header": headers[1].get("x-words") == 'a "quoted" \\ word',
        }.items():
            if not right:
                yield f"{path}: the {what} is wrong"


def main(arguments):
    must_run = "--all" in arguments
    wrong = 0
    app = ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    for name in [name for name in arguments if name != "--all"] or SAMPLES:
        program, run = SAMPLES[name]
        if tool(program) is None:
            print(f"{name}: skipped, {program} is not installed")
            wrong += must_run
            continue
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            log = run(place, app.server_address[1])
            log_text = log.read_text(encoding="utf-8")
            faults = list(check(name, stored(log, place / "captures")))
            if "s3cret" in log_text:
                faults.append("a secret is in the log")
        print(f"{name}: " + ("; ".join(faults) or f"{len(REQUESTS)} exchanges, whole"))
        wrong += bool(faults)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
