"""Answers HTTP, whether an API Gateway, a load balancer or a function URL sends the event."""

import base64
import logging

import urllib3

from reassemble_emitter import Emitter
from reassemble_emitter.aws_lambda import capture_handler
from reassemble_emitter.urllib3 import capture

logging.getLogger().setLevel(logging.INFO)
emitter = Emitter.from_env()
http = capture(urllib3.PoolManager(retries=False), emitter)


@capture_handler(emitter)
def handler(event, context):
    path = event.get("rawPath") or event["path"]
    logging.info("asked for\n  %s", path)
    if path.endswith("/call"):
        # Asks whoever is named: the call shares this invocation's trace.
        called = http.request("POST", event["queryStringParameters"]["to"], body=b"called")
        return answer(event, "text/plain", called.data)
    return answer(event, content_type(event), body(event))


def content_type(event):
    """The event's content type; a load balancer may give headers as lists alone."""
    headers = event.get("multiValueHeaders") or {name: [value] for name, value in event["headers"].items()}
    return next((values[0] for name, values in headers.items() if name.lower() == "content-type"), "text/plain")


def body(event):
    text = event.get("body") or ""
    return base64.b64decode(text) if event["isBase64Encoded"] else text.encode()


def answer(event, content_type, data):
    """Two cookies, in the form that the event's sender takes."""
    answered = {"statusCode": 200, "body": base64.b64encode(data).decode(), "isBase64Encoded": True}
    cookies = ["visit=1", "seen=2"]
    if "multiValueHeaders" in event:
        return {**answered, "multiValueHeaders": {"content-type": [content_type], "set-cookie": cookies}}
    return {**answered, "headers": {"content-type": content_type}, "cookies": cookies}
