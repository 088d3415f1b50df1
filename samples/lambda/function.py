"""A function under its runtime client, and what it prints: lines to standard output, and frames to the descriptor that Lambda hands to clients."""

import os
import select
import struct
import subprocess
import threading
import time

from runtime_api import RuntimeApi

# A function's time.
TIMEOUT_S = 10
FRAME_HEAD = struct.Struct(">IIQ")
# The lowest bit of a frame's type tells text from JSON.
FRAME_TYPE, TEXT_BIT = 0xA55A0000, 1


class Pipe:
    """What was written to a pipe so far, and when."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.pieces = []
        self.lock = threading.Lock()
        self.is_open = True
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        while self.is_open:
            select.select([self.reader], [], [], 0.2)
            self.take()

    def take(self):
        """Takes what lies in the pipe, to its last byte."""
        with self.lock:
            while self.is_open:
                try:
                    piece = os.read(self.reader, 1 << 16)
                except BlockingIOError:
                    return
                if not piece:
                    self.is_open = False
                    return
                self.pieces.append((time.time(), piece))

    def text(self):
        with self.lock:
            return b"".join(piece for _, piece in self.pieces)

    def lines(self):
        """Each line with the time at which it was whole."""
        rest = b""
        for at, piece in self.pieces:
            *whole, rest = (rest + piece).split(b"\n")
            yield from ((at, line) for line in whole)
        if rest:
            yield self.pieces[-1][0], rest

    def frames(self):
        """Each frame's time, whether it is JSON, and its message."""
        data, at = self.text(), 0
        while at < len(data):
            kind, length, micros = FRAME_HEAD.unpack_from(data, at)
            if kind & 0xFFFF0000 != FRAME_TYPE:
                raise ValueError(f"no frame begins at {at}: {kind:x}")
            at += FRAME_HEAD.size
            yield micros / 1e6, not kind & TEXT_BIT, data[at : at + length]
            at += length

    def is_followed(self):
        return self.thread is not None

    def close(self):
        self.take()
        self.is_open = False
        self.thread.join()
        self.thread = None
        os.close(self.reader)


class Function:
    """Runs `command` as Lambda runs a function named `name`, with frames or without, and with a log format (`Text`, `JSON`)."""

    def __init__(self, name, command, folder, log_format, is_framed):
        self.name, self.log_format = name, log_format
        self.arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
        self.output, self.telemetry = Pipe(), Pipe()
        self.started = time.time()
        self.invocations = []
        self.api = RuntimeApi(self.arn, self.output.take)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CAPTURE_", "OTEL_"))}
        environment |= {
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/27/[$LATEST]0123456789abcdef0123456789abcdef",
            "AWS_REGION": "eu-west-1",
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": command[-1],
            "CAPTURE_SERVICE": name,
        }
        if log_format == "JSON":
            environment |= {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
        if is_framed:
            environment["_LAMBDA_TELEMETRY_LOG_FD"] = str(self.telemetry.writer)
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output.writer,
            stderr=self.output.writer,
            pass_fds=[self.telemetry.writer] if is_framed else [],
        )
        for pipe in (self.output, self.telemetry):
            os.close(pipe.writer)

    def is_running(self):
        return self.process.poll() is None

    def invoke(self, event):
        """What became of it (`response`, `error`), its JSON, and all that was printed by then."""
        request_id = self.api.begin(event)
        kind, answer = self.api.end(request_id, self.is_running)
        self.invocations.append((request_id, self.api.given_at, time.time(), kind))
        return kind, answer, self.output.text()

    def invoke_until(self, event, is_enough):
        """Kills the function once what it printed is enough, as Lambda does when a function's time is over."""
        request_id = self.api.begin(event)
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline and self.is_running() and not is_enough(self.output.text()):
            time.sleep(0.02)
        self.invocations.append((request_id, self.api.given_at, time.time(), "timeout"))
        self.kill()

    def kill(self):
        """As Lambda ends a sandbox: without asking."""
        self.process.kill()
        self.process.wait()
        if self.output.is_followed():
            self.api.close()
            self.output.close()
            self.telemetry.close()
