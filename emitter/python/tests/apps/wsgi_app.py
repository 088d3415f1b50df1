"""A Flask app whose requests are captured."""

import io

from flask import Flask, Response, request

from reassemble_emitter import Emitter, current_context
from reassemble_emitter.wsgi import CaptureMiddleware

inner = Flask(__name__)


@inner.get("/hello/<name>")
def hello(name):
    return {"hello": name, "token": "s3cret"}


@inner.post("/echo")
def echo():
    return Response(request.get_data(), mimetype="application/octet-stream")


@inner.post("/form")
def form():
    return {"names": sorted(request.form)}


@inner.post("/ignore")
def ignore():
    return {"read": False}


@inner.get("/stream")
def stream():
    def pieces():
        for n in range(5):
            here = current_context()
            yield f"piece {n} {here.id}\n".encode()

    return Response(pieces(), mimetype="text/plain")


@inner.get("/broken")
def broken():
    raise KeyError("token=s3cret")


@inner.get("/broken-stream")
def broken_stream():
    def pieces():
        yield b"start"
        raise RuntimeError("s3cret")

    return Response(pieces(), mimetype="text/plain")


def plain(environ, start_response):
    """What no framework does, and WSGI allows."""
    path = environ["PATH_INFO"]
    if path == "/plain/list":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"one ", b"two"]
    if path == "/plain/write":
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"written ")
        return iter([b"and returned"])
    if path == "/plain/file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"from a file"))
    if path == "/plain/raise":
        raise LookupError("s3cret")
    return inner(environ, start_response)


app = CaptureMiddleware(plain, Emitter.from_env())
