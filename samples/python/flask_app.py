"""A small Flask app whose requests and calls are captured, for several workers on one standard output:
`gunicorn --workers 2 --bind 127.0.0.1:8080 flask_app:app`"""

import requests
from flask import Flask, Response, request

from reassemble_emitter import Emitter
from reassemble_emitter.requests import capture
from reassemble_emitter.wsgi import CaptureMiddleware

emitter = Emitter.from_env()
api = Flask(__name__)
session = capture(requests.Session(), emitter)


@api.post("/echo")
def echo():
    return Response(request.get_data(), content_type=request.headers.get("content-type"))


@api.get("/call")
def call():
    """Asks whoever is named: the call shares this request's trace."""
    return Response(session.post(request.args["to"], data=b"called").content)


app = CaptureMiddleware(api, emitter)
