package reassemble

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
)

type lambdaFunc func(ctx context.Context, payload []byte) ([]byte, error)

func (f lambdaFunc) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return f(ctx, payload)
}

func TestEventsOfGatewaysAreCapturedAsTheirRequests(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, c := range map[string]struct{ event, answer, head, request, response string }{
		"API Gateway 2, function URL": {
			`{"version":"2.0","routeKey":"$default","rawPath":"/a%20b","rawQueryString":"token=x&c=%20","cookies":["k=v","l=w"],
			"headers":{"host":"h.test","traceparent":"` + trace + `","content-type":"application/json"},
			"requestContext":{"domainName":"d.test","http":{"method":"POST","path":"/a b","protocol":"HTTP/1.1","sourceIp":"1.2.3.4"}},
			"body":"eyJwd2QiOjF9","isBase64Encoded":true}`,
			`{"statusCode":201,"headers":{"X-N":7,"content-type":"text/plain"},"cookies":["s=1"],"body":"made"}`,
			"in http/1.1 POST https://h.test/a%20b?token=[redacted]&c=%20 1.2.3.4 [redacted]", `{"pwd":"[redacted]"}`, "201 7 [redacted] made",
		},
		"API Gateway 1": {
			`{"resource":"/items/{id}","path":"/items/7","httpMethod":"GET","headers":{"Host":"h.test","traceparent":"` + trace + `"},
			"multiValueHeaders":{"Host":["h.test"],"cookie":["a","b"]},"queryStringParameters":{"q":"2"},
			"multiValueQueryStringParameters":{"q":["1 ","2"],"a":["x"]},
			"requestContext":{"path":"/prod/items/7","protocol":"HTTP/2.0","identity":{"sourceIp":"1.2.3.4"}},"body":null,"isBase64Encoded":false}`,
			`{"statusCode":200,"multiValueHeaders":{"Set-Cookie":["s=1"],"X-N":["7"]},"body":"aXQ=","isBase64Encoded":true}`,
			"in h2 GET https://h.test/prod/items/7?a=x&q=1+&q=2 1.2.3.4 [redacted]|[redacted]", "", "200 7 [redacted] it",
		},
		"a load balancer": {
			`{"requestContext":{"elb":{"targetGroupArn":"arn"}},"httpMethod":"PUT","path":"/a","queryStringParameters":{"q":"%20"},
			"headers":{"host":"h.test","x-forwarded-proto":"http","x-forwarded-for":"6.6.6.6, 1.2.3.4","traceparent":"` + trace + `"},
			"body":"asked","isBase64Encoded":false}`,
			`{"statusCode":204,"headers":{"x-n":"7"},"body":"never sent"}`,
			"in http/1.1 PUT http://h.test/a?q=%20 1.2.3.4 ", "asked", "204 7  ",
		},
		"a body by itself": {
			`{"rawPath":"/a","headers":{"traceparent":"` + trace + `"},"requestContext":{"domainName":"d.test","http":{"method":"GET","sourceIp":"1.2.3.4"}}}`,
			`{"token":"x"}`, "in http/1.1 GET https://d.test/a 1.2.3.4 ", "", `200   {"token":"[redacted]"}`,
		},
		"another event": {
			`{"Records":[{"secret":"x"}]}`, `null`, "in lambda invoke lambda://orders  ", `{"Records":[{"secret":"[redacted]"}]}`, "<nil>   null",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
			e, k := emit(t)
			var id string
			handler := e.Lambda(lambdaFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
				equal(t, "the event is unchanged", string(payload), c.event)
				id = CaptureID(ctx)
				return []byte(c.answer), nil
			}))
			answer, err := handler.Invoke(context.Background(), []byte(c.event))
			must(t, err)
			equal(t, "the answer is unchanged", string(answer), c.answer)
			// Nothing more is waited for: all is written when the handler has returned.
			x := k.read().exchanges[id]
			h := x.req.head
			equal(t, "head", fmt.Sprintf("%s %s %s %s %s %s", h.Dir, h.Proto, h.Method, h.URL, h.Peer, h.header("cookie")), c.head)
			equal(t, "request", string(x.req.body)+x.req.tail.said(), c.request+whole)
			equal(t, "response", fmt.Sprintf("%v %s %s %s", x.res.head.Status, x.res.head.header("x-n"), x.res.head.header("set-cookie"), x.res.body), c.response)
			equal(t, "tail", x.res.tail.said(), whole)
			if h.Proto != "lambda" {
				equal(t, "trace", h.Trace, trace)
			}
		})
	}
}

func TestAFunctionThatFailsIsTold(t *testing.T) {
	e, k := emit(t, SampleRate(0), AlwaysErrors(true), SkipPaths("/skipped"))
	fault := errors.New("no stock")
	failing := e.Lambda(lambdaFunc(func(context.Context, []byte) ([]byte, error) { return nil, fault }))
	for _, event := range []string{`{"a":1}`, `{"rawPath":"/skipped","requestContext":{"http":{"method":"GET"}}}`} {
		if _, err := failing.Invoke(context.Background(), []byte(event)); err != fault {
			t.Error(err)
		}
	}
	func() {
		defer func() { equal(t, "panic", recover(), any("x")) }()
		e.Lambda(lambdaFunc(func(context.Context, []byte) ([]byte, error) { panic("x") })).Invoke(context.Background(), []byte(`{"httpMethod":"GET","path":"/p","requestContext":{}}`))
	}()
	calling := e.Lambda(lambdaFunc(func(context.Context, []byte) ([]byte, error) {
		return nil, fmt.Errorf("asking: %w", &url.Error{Op: "Get", URL: "http://h.test/?token=s3cret", Err: fault})
	}))
	calling.Invoke(context.Background(), []byte(`{"httpMethod":"GET","path":"/c","requestContext":{}}`))
	c := k.read()
	equal(t, "captures", len(c.exchanges), 3)
	equal(t, "failed", c.of("in", "lambda://").res.tail.said(), `"*errors.errorString" true -`)
	equal(t, "called", c.of("in", "/c").res.tail.said(), `"*errors.errorString" true -`)
	equal(t, "panicked", c.of("in", "/p").res.tail.said(), `"handler panicked" true -`)
	var off *Emitter
	if _, wrapped := off.Lambda(failing).(*lambdaHandler); !wrapped || off.Lambda(failing) != failing {
		t.Error("a handler without emitter is wrapped")
	}
}
