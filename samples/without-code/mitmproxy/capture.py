"""Prints what passes through mitmproxy as capture lines: `mitmdump -q -s capture.py --mode reverse:http://127.0.0.1:8000`

Needs the Python emitter beside mitmproxy (`pip install reassemble_emitter`); CAPTURE_* variables set what is captured.
"""

from mitmproxy import http

from reassemble_emitter import Emitter


def pairs(headers):
    return [(name.decode("latin-1"), value) for name, value in headers.fields]


class Capture:
    def __init__(self):
        self.emitter = Emitter.from_env()

    def request(self, flow: http.HTTPFlow):
        request = flow.request
        peer = "{}:{}".format(*flow.client_conn.peername[:2])
        capture = self.emitter.begin(
            request.http_version.lower(), request.method, request.pretty_url, headers=pairs(request.headers), peer=peer, direction="in"
        )
        capture.request_body(request.raw_content or b"")
        flow.metadata["capture"] = capture

    def response(self, flow: http.HTTPFlow):
        capture = flow.metadata.get("capture")
        if capture is not None:
            capture.respond(flow.response.status_code, headers=pairs(flow.response.headers))
            capture.response_body(flow.response.raw_content or b"")
            capture.finish()

    def error(self, flow: http.HTTPFlow):
        capture = flow.metadata.get("capture")
        if capture is not None:
            capture.error(flow.error.msg)
            capture.finish()

    def done(self):
        self.emitter.shutdown()


addons = [Capture()]
