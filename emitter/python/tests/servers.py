"""Real servers in processes of their own, for tests."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(command, log, through_pipe=False, **environ):
    """Runs a server of ``command`` (``{port}`` in it is replaced), its standard output to ``log``'s file, or to a pipe to there; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", *(word.format(port=port) for word in command)]
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(open(log.path, "ab"))
        if through_pipe:
            reader = stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out))
            out = reader.stdin
        process = subprocess.Popen(command, cwd=HERE, stdout=out, stderr=subprocess.DEVNULL, env={**os.environ, "CAPTURE_SERVICE": "shop", **environ})
        try:
            _wait_for(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for(port, process):
    for _ in range(400):
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


def wait_until(found):
    """Asks ``found`` until it says something, for a while."""
    for _ in range(200):
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not happen")
