"""What the functions are invoked with, in the form in which each service sends it, and what has to be captured of it."""

import base64
import json
from dataclasses import dataclass, field

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "s3cret"
BINARY = bytes(range(256)) * 12
TEXT = 'a "quoted" \\ word, \u8336 and \u2603\n' * 150


@dataclass(frozen=True)
class Case:
    """An event and its exchange. A body of None is the event's own, or the answer's own, as JSON. Of what fails, `status` and `answered` tell what was
    answered before."""

    name: str
    event: dict
    method: str
    url: str
    proto: str = "http/1.1"
    peer: str | None = None
    asked: bytes | None = b""
    answered: bytes | None = b""
    status: int | None = 200
    trace: str | None = None
    fails: bool = False
    times_out: bool = False
    # The URL of the call that the function makes, and whether somebody answers it.
    calls: str | None = None
    headers: dict = field(default_factory=dict)


def rest_api():
    headers = {
        "Content-Type": ["text/plain; charset=utf-8"],
        "Cookie": [f"session={SECRET}"],
        "Host": ["abc.execute-api.eu-west-1.amazonaws.com"],
        "X-Forwarded-Proto": ["https"],
        "X-Twice": ["1", "2"],
    }
    event = {
        "resource": "/{proxy+}",
        "path": "/echo",
        "httpMethod": "POST",
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {"a": "2", "b": "tea & cup"},
        "multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["tea & cup"]},
        "pathParameters": {"proxy": "echo"},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": "POST",
            "path": "/prod/echo",
            "protocol": "HTTP/1.1",
            "stage": "prod",
            "domainName": "abc.execute-api.eu-west-1.amazonaws.com",
            "identity": {"sourceIp": "203.0.113.8"},
        },
        "body": TEXT,
        "isBase64Encoded": False,
    }
    url = "https://abc.execute-api.eu-west-1.amazonaws.com/prod/echo?a=1&a=2&b=tea+%26+cup"
    body = TEXT.encode("utf-8")
    return Case("API Gateway v1", event, "POST", url, peer="203.0.113.8", asked=body, answered=body, headers={"x-twice": ["1", "2"]})


def version_2(method, path, query, headers, host, cookies=(), body=None):
    """What HTTP APIs and function URLs send."""
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": host, "x-forwarded-proto": "https", **headers},
        "requestContext": {
            "domainName": host,
            "stage": "$default",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9", "userAgent": "check"},
        },
        "isBase64Encoded": body is not None,
    }
    if cookies:
        event["cookies"] = list(cookies)
    if body is not None:
        event["body"] = base64.b64encode(body).decode("ascii")
    return event


def http_api():
    host = "api.shop.example"
    headers = {"content-type": "application/octet-stream", "traceparent": TRACE}
    event = version_2("POST", "/a%20b/echo", f"token={SECRET}&b=%20", headers, host, [f"session={SECRET}", "theme=dark"], BINARY)
    url = f"https://{host}/a%20b/echo?token=[redacted]&b=%20"
    return Case("API Gateway v2", event, "POST", url, peer="203.0.113.9", asked=BINARY, answered=BINARY, trace=TRACE)


def load_balancer():
    body = json.dumps({"item": "tea", "password": SECRET})
    event = {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/shop/0123456789abcdef"}},
        "httpMethod": "PUT",
        "path": "/echo",
        "multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["tea%20%26%20cup"]},
        "multiValueHeaders": {
            "authorization": [f"Bearer {SECRET}"],
            "content-type": ["application/json"],
            "host": ["shop.example"],
            "x-forwarded-for": ["198.51.100.6, 203.0.113.10"],
            "x-forwarded-proto": ["http"],
        },
        "body": body,
        "isBase64Encoded": False,
    }
    redacted = body.replace(SECRET, "[redacted]").encode("utf-8")
    url = "http://shop.example/echo?a=1&a=2&b=tea%20%26%20cup"
    return Case("load balancer", event, "PUT", url, peer="203.0.113.10", asked=redacted, answered=redacted)


def function_url(path, query, name, body=None, **expected):
    host = "abcdef.lambda-url.eu-west-1.on.aws"
    method = "GET" if body is None else "POST"
    event = version_2(method, path, query, {} if body is None else {"content-type": "application/octet-stream"}, host, body=body)
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    return Case(name, event, method, url, peer="203.0.113.9", asked=body or b"", **expected)


def call(to, name, **expected):
    case = function_url("/call", f"to={to}", name, calls=to, **expected)
    case.event["queryStringParameters"] = {"to": to}
    return case


def messages(*bodies):
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-66197574{number:04}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SenderId": "AIDAIENQZJOLO23YVJ4VO"},
                "messageAttributes": {"token": {"stringValue": SECRET, "dataType": "String"}},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
                "awsRegion": "eu-west-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def cases(url, silent_url, closed_url, name):
    """By function: what it is invoked with, in this order. `url` answers `called`, `silent_url` never answers, `closed_url` refuses connections;
    `name` is the function's."""
    queue = {"method": "invoke", "url": f"lambda://{name}", "proto": "lambda", "asked": None}
    calls = [
        call(url, "function URL", answered=b"called"),
        call(closed_url, "function URL, fails", fails=True, status=None),
        call(silent_url, "function URL, times out", times_out=True),
    ]
    orders = [
        Case("SQS", messages(f'{{"item":"tea","qty":2,"token":"{SECRET}"}}', '{"item":"cup","qty":1}'), answered=b'{"batchItemFailures":[]}', status=None, **queue),
        Case("SQS, fails", messages("no JSON"), fails=True, status=None, **queue),
    ]
    return {
        "web": [rest_api(), http_api(), load_balancer(), *calls],
        "worker": orders,
        "typed": orders,
        "stream": [
            function_url("/echo", "", "function URL, streams", BINARY, answered=BINARY),
            function_url("/break", "", "function URL, streams and fails", BINARY, answered=BINARY[:100], fails=True),
            *calls,
        ],
    }
