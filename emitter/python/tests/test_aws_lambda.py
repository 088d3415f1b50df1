"""Lambda handlers, called with the events that AWS documents."""

import base64
import types

import pytest

from reassemble_emitter import current_context
from reassemble_emitter.aws_lambda import capture_handler

CONTEXT = types.SimpleNamespace(aws_request_id="r-1", function_name="f")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

HTTP_API = {
    "version": "2.0",
    "rawPath": "/items/a%20b",
    "rawQueryString": "token=s3cret&b=%20",
    "cookies": ["s=1", "t=2"],
    "headers": {"host": "shop.test", "x-forwarded-proto": "https", "content-type": "application/json", "traceparent": TRACE},
    "requestContext": {"http": {"method": "POST", "path": "/items/a b", "protocol": "HTTP/1.1", "sourceIp": "10.0.0.7"}},
    "body": base64.b64encode(b'{"password":"x","a":1}').decode(),
    "isBase64Encoded": True,
}
REST_API = {
    "httpMethod": "GET",
    "path": "/items",
    "headers": {"Host": "shop.test", "X-One": "last"},
    "multiValueHeaders": {"Host": ["shop.test"], "X-One": ["first", "last"]},
    "queryStringParameters": {"q": "b c"},
    "multiValueQueryStringParameters": {"q": ["a", "b c"]},
    "requestContext": {"path": "/prod/items", "protocol": "HTTP/1.1", "identity": {"sourceIp": "10.0.0.8"}},
    "body": None,
    "isBase64Encoded": False,
}
BALANCER = {
    "httpMethod": "GET",
    "path": "/items",
    "headers": {"host": "shop.test", "x-forwarded-proto": "http", "x-forwarded-for": "6.6.6.6, 10.0.0.9"},
    "queryStringParameters": {"q": "b%20c"},
    "requestContext": {"elb": {"targetGroupArn": "arn"}},
    "body": "",
}


@pytest.fixture
def call(make, log):
    emitter = make()

    def call(handler, event):
        result = capture_handler(emitter)(handler)(event, CONTEXT)
        # It is written before the handler has returned.
        return result, log.exchanges()[-1]

    return call


def test_an_http_api(call):
    def handler(event, context):
        return {"statusCode": 201, "headers": {"content-type": "text/plain"}, "cookies": ["s=2"], "body": current_context().id}

    result, exchange = call(handler, HTTP_API)
    head = exchange.req.head
    assert head["url"] == "https://shop.test/items/a%20b?token=[redacted]&b=%20"
    assert (head["dir"], head["proto"], head["method"], head["peer"], head["trace"]) == ("in", "http/1.1", "POST", "10.0.0.7", TRACE)
    assert head["tags"] == {"aws_request_id": "r-1"} and exchange.req.header("cookie") == ["[redacted]"]
    assert exchange.req.body == b'{"password":"[redacted]","a":1}'
    assert exchange.res.head["status"] == 201 and exchange.res.header("set-cookie") == ["[redacted]"]
    assert exchange.res.body.decode() == result["body"] == exchange.id


def test_an_http_api_that_is_answered_by_a_value(call):
    _, exchange = call(lambda event, context: {"token": "s3cret"}, HTTP_API)
    assert exchange.res.head["status"] == 200 and exchange.res.body == b'{"token": "[redacted]"}'


def test_a_rest_api(call):
    _, exchange = call(lambda event, context: {"statusCode": 200, "body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True}, REST_API)
    assert exchange.req.head["url"] == "https://shop.test/prod/items?q=a&q=b+c"
    assert exchange.req.header("x-one") == ["first", "last"] and exchange.res.body == b"\xff"


def test_a_load_balancer(call):
    _, exchange = call(lambda event, context: {"statusCode": 204}, BALANCER)
    assert (exchange.req.head["url"], exchange.req.head["peer"]) == ("http://shop.test/items?q=b%20c", "10.0.0.9")
    assert exchange.res.head["status"] == 204


def test_any_other_event(call):
    result, exchange = call(lambda event, context: ["done"], {"Records": [{"secret": "x", "n": 1}]})
    assert result == ["done"]
    assert (exchange.req.head["proto"], exchange.req.head["url"]) == ("lambda", "lambda://f")
    assert exchange.req.body == b'{"Records": [{"secret": "[redacted]", "n": 1}]}' and exchange.res.body == b'["done"]'
    assert "status" not in exchange.res.head


def test_a_handler_that_fails(make, log):
    emitter = make(sample_rate=0, errors="always")

    @capture_handler(emitter)
    def handler(event, context):
        raise KeyError("s3cret")

    with pytest.raises(KeyError):
        handler(BALANCER, CONTEXT)
    assert (log.only().res.tail["error"], log.only().req.head["why"]) == ("KeyError", "error")


def test_an_event_that_is_odd_reaches_the_handler_all_the_same(make):
    emitter = make()
    odd = {"requestContext": {"http": None}, "httpMethod": 7}
    assert capture_handler(emitter)(lambda event, context: event)(odd, None) is odd
