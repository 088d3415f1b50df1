package reassemble

import (
	"cmp"
	"context"
	"net/http"
	"os"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// LambdaHandler is what aws-lambda-go names lambda.Handler.
type LambdaHandler interface {
	// Invoke answers an event; both are JSON.
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Lambda gives a handler that captures the events that it is invoked with and what it answers:
// lambda.Start(e.Lambda(lambda.NewHandler(handle))).
//
// Events of API Gateway (both versions), of load balancers and of function URLs are captured as the HTTP requests that they are, all others as
// `lambda`. The context gains the trace and the capture's id. What is captured is written before the handler returns, for the process may be
// stopped then; that takes as long as the output does, two seconds at most. A response that is a stream is collected by lambda.NewHandler
// before it is seen here.
func (e *Emitter) Lambda(next LambdaHandler) LambdaHandler {
	if e.isOff() {
		return next
	}
	return &lambdaHandler{e, next}
}

type lambdaHandler struct {
	emitter *Emitter
	next    LambdaHandler
}

func (h *lambdaHandler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	event := readLambdaEvent(payload)
	trace, ok := traceOf(event.headers)
	if !ok {
		trace = drawTraceParent()
	}
	var c *capture
	l := link{trace: trace}
	if !event.isHTTP || h.emitter.letsHTTP(event.method, event.url) {
		if c = h.emitter.beginEvent(event, trace); c != nil {
			l.id = c.id
		}
	}
	c.filterBody(request, event.headers.Get("Content-Type"))
	c.body(request, event.body)
	c.end(request, nil)
	answered := false
	defer func() {
		if !answered {
			c.fail(response, "handler panicked")
		}
		patience, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		// What is not written by then may be later: the next event may come.
		_ = h.emitter.Flush(patience)
	}()
	answer, err := h.next.Invoke(withLink(ctx, l), payload)
	answered = true
	if err != nil {
		c.fail(response, kindOf(err))
	} else {
		c.answerEvent(event, answer)
	}
	return answer, err
}

func (e *Emitter) beginEvent(event *lambdaEvent, trace TraceParent) *capture {
	began := time.Now()
	start := &line.RequestHead{
		Dir: "in", Proto: event.proto, Method: event.method, URL: event.url, Headers: flatten(event.headers), Unordered: true, Peer: event.peer,
	}
	return e.begin(drawID(began), began, trace, start, func() string {
		if event.route != "" {
			return event.method + " " + event.route
		}
		return endpointOf(event.method, pathOf(event.url))
	})
}

func (c *capture) answerEvent(event *lambdaEvent, payload []byte) {
	if c == nil {
		return
	}
	answer := readLambdaAnswer(event, payload)
	c.filterBody(response, answer.headers.Get("Content-Type"))
	c.respond(&line.ResponseHead{Status: line.Status{Code: answer.code}, Headers: flatten(answer.headers), Unordered: true})
	if !event.isHTTP || !hasNoBody(event.method, cmp.Or(answer.code, http.StatusOK)) {
		c.body(response, answer.body)
	}
	c.end(response, nil)
}

// functionURL names the function that is invoked.
func functionURL() string { return "lambda://" + os.Getenv("AWS_LAMBDA_FUNCTION_NAME") }
