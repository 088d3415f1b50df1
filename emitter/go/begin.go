package reassemble

import (
	"context"
	"slices"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// Header is a header's name and value, or what a protocol has like it.
type Header struct{ Name, Value string }

// Begin is what is said of a request before its capture starts. See Emitter.Begin.
type Begin struct {
	emitter *Emitter
	head    line.RequestHead
	trace   TraceParent
}

// Begin begins a capture of what no middleware sees: proto is the protocol (`postgres`, `kafka`, …), method the operation, url the target. Its
// trace and parent are those of the context. Nothing is captured before Start.
func (e *Emitter) Begin(ctx context.Context, proto, method, url string) *Begin {
	l := linkOf(ctx)
	return &Begin{
		emitter: e, trace: l.trace, head: line.RequestHead{Dir: "out", Proto: proto, Method: method, URL: url, Parent: l.id},
	}
}

// Inbound says that this app was called; without it, it calls.
func (b *Begin) Inbound() *Begin {
	b.head.Dir = "in"
	return b
}

// Header adds a header, or what the protocol has like it.
func (b *Begin) Header(name, value string) *Begin {
	b.head.Headers = append(b.head.Headers, line.Pair{Name: name, Value: value})
	return b
}

// Peer sets the other side's address.
func (b *Begin) Peer(address string) *Begin {
	b.head.Peer = address
	return b
}

// Trace sets the trace; without it that of the context.
func (b *Begin) Trace(trace TraceParent) *Begin {
	b.trace = trace
	return b
}

// Parent sets the id of the capture that caused this one; without it that of the context.
func (b *Begin) Parent(id string) *Begin {
	b.head.Parent = id
	return b
}

// Tag adds a tag: an order's number, a queue's partition, a foreign id.
func (b *Begin) Tag(name, value string) *Begin {
	b.head.Tags = append(b.head.Tags, line.Pair{Name: name, Value: value})
	return b
}

// OneWay says that no response will come.
func (b *Begin) OneWay() *Begin {
	b.head.OneWay = true
	return b
}

// Start starts the capture. Where sampling leaves it out or the queue is full, it takes all calls and does nothing.
func (b *Begin) Start() *Capture {
	if b.emitter.isOff() {
		return &Capture{trace: b.trace}
	}
	began := time.Now()
	head := b.head
	// The writer takes the secrets out of its headers in place.
	head.Headers, head.Tags = slices.Clone(head.Headers), slices.Clone(head.Tags)
	endpoint := func() string { return endpointOf(b.head.Method, pathOf(b.head.URL)) }
	return &Capture{b.emitter.begin(drawID(began), began, b.trace, &head, endpoint), b.trace, ""}
}

// Capture is one capture under way. It may be used by several goroutines. One that is never finished stays open until the emitter is closed.
type Capture struct {
	capture *capture
	trace   TraceParent
	failed  string
}

// ID gives the capture's id; empty where it is not captured.
func (c *Capture) ID() string {
	if c.capture == nil {
		return ""
	}
	return c.capture.id
}

// Context gives a context whose captures belong to this one's trace and name it as what caused them.
func (c *Capture) Context(ctx context.Context) context.Context {
	return withLink(ctx, link{c.trace, c.ID()})
}

// RequestBody adds to the request's body: a statement, arguments, a message. The bytes are copied.
func (c *Capture) RequestBody(body []byte) { c.capture.body(request, body) }

// Respond begins the response with a status that is a text: an SQLSTATE, a gRPC status name. What is added to the request's body afterwards
// still counts.
func (c *Capture) Respond(status string, headers ...Header) {
	c.capture.respond(&line.ResponseHead{Status: line.Status{Text: status}, Headers: pairsOf(headers)})
}

// RespondCode begins the response with a status that is a number, as HTTP's.
func (c *Capture) RespondCode(code int, headers ...Header) {
	c.capture.respond(&line.ResponseHead{Status: line.Status{Code: code}, Headers: pairsOf(headers)})
}

// ResponseBody adds to the response's body: rows as JSON, a reply. The bytes are copied.
func (c *Capture) ResponseBody(body []byte) { c.capture.body(response, body) }

// Error says what went wrong; the capture then ends with it.
func (c *Capture) Error(what string) {
	if c.capture != nil {
		c.capture.mu.Lock()
		c.failed = what
		c.capture.mu.Unlock()
	}
}

// Finish ends the capture.
func (c *Capture) Finish() {
	if c.capture == nil {
		return
	}
	c.capture.mu.Lock()
	failed := c.failed
	c.capture.mu.Unlock()
	if c.capture.oneway {
		c.capture.close(request, failed, nil)
		return
	}
	c.capture.end(request, nil)
	c.capture.close(response, failed, nil)
}

func pairsOf(headers []Header) []line.Pair {
	if len(headers) == 0 {
		return nil
	}
	pairs := make([]line.Pair, 0, len(headers))
	for _, header := range headers {
		pairs = append(pairs, line.Pair(header))
	}
	return pairs
}
