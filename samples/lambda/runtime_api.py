"""A Lambda Runtime API, as far as runtime clients ask it: hands out events one by one and takes what the function makes of each."""

import base64
import json
import queue
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from trial import PATIENCE_S, Fault

VERSION = "/2018-06-01/runtime/"
DEADLINE_S = 30
# A streamed response begins with its metadata and this behind it, where it says so by its content type.
METADATA_TYPE, METADATA_END = "application/vnd.awslambda.http-integration-response", bytes(8)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Nothing: a function that is killed hangs up."""


def streamed(content_type, body):
    """A streamed response in the form of one that is not; without metadata it has no status."""
    metadata = b'{"statusCode":null}'
    if content_type == METADATA_TYPE:
        metadata, _, body = body.partition(METADATA_END)
    return json.loads(metadata) | {"body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True}


class RuntimeApi:
    """`at_answer` is called when Lambda may freeze the function: what it printed by then is all that Lambda could count on. That is before a client learns that
    its answer has come; but of an answer that is streamed, when the client asks for the next event, for the handler may still work when its caller has all."""

    def __init__(self, arn, at_answer):
        self.arn, self.at_answer = arn, at_answer
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.streamed = None
        # When the function first asked for an event, and when it was last given one.
        self.ready_at = self.given_at = None
        self.server = Server(("127.0.0.1", 0), handler_of(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def begin(self, event):
        """Gives the invocation's request id."""
        request_id = str(uuid.uuid4())
        self.events.put((request_id, event))
        return request_id

    def end(self, request_id, is_running):
        """Waits for an invocation's end: `response` or `error`, and the JSON of it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and is_running():
            try:
                answered_id, kind, body = self.answers.get(timeout=0.1)
            except queue.Empty:
                continue
            if kind == "init/error":
                raise Fault(f"the function does not start: {body.decode('utf-8', 'replace')}")
            if answered_id != request_id:
                raise Fault(f"{answered_id} is answered instead of {request_id}")
            return kind, body if isinstance(body, dict) else json.loads(body)
        raise Fault("an invocation is not answered")

    def close(self):
        # A client's thread may still wait for its next event.
        self.events.put(None)
        self.server.shutdown()
        self.server.server_close()


def handler_of(api):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path != VERSION + "invocation/next":
                self.answer(404)
                return
            api.ready_at = api.ready_at or time.time()
            if api.streamed:
                api.at_answer()
                api.answers.put(api.streamed)
                api.streamed = None
            event = api.events.get()
            api.given_at = time.time()
            if event is None:
                self.answer(404)
                return
            request_id, content = event
            root = uuid.uuid4().hex
            headers = {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + DEADLINE_S) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": api.arn,
                "Lambda-Runtime-Trace-Id": f"Root=1-{root[:8]}-{root[8:]};Parent={root[:16]};Sampled=0",
            }
            self.answer(200, headers, json.dumps(content).encode("utf-8"))

        def do_POST(self):
            body, trailers = self.body()
            *_, request_id, kind = self.path.split("/")
            if self.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming":
                failed = any(name.lower() == "lambda-runtime-function-error-type" for name in trailers)
                api.streamed = request_id, "error" if failed else kind, streamed(self.headers["Content-Type"], body)
            else:
                api.at_answer()
                api.answers.put((request_id, "init/error" if request_id == "init" else kind, body))
            self.answer(202, {}, b'{"status":"OK"}')

        def body(self):
            """The body, and the names of its trailers, which tell of errors in streams."""
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0))), []
            pieces, trailers = [], []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while line := self.rfile.readline().strip():
                trailers.append(line.split(b":")[0].decode("latin-1"))
            return b"".join(pieces), trailers

        def answer(self, status, headers=(), body=b""):
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
