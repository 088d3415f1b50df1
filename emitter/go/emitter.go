package reassemble

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// closePatience is how long Close waits for the output.
const closePatience = 2 * time.Second

// Counts tells what happened to a process's captures since the emitter was made.
type Counts struct {
	// Begun is how many were admitted.
	Begun uint64
	// Finished is of how many every line was written.
	Finished uint64
	// Dropped is how many were dropped whole, for the queue was full or the output is gone.
	Dropped uint64
	// SampledOut is how many sampling and the rate limit left out.
	SampledOut uint64
	// LostLines is how many lines the output did not take.
	LostLines uint64
}

// Emitter takes captures and hands them to a goroutine of its own, which writes them. It may be used by many goroutines at once. A nil
// Emitter, or the zero value, captures nothing.
type Emitter struct {
	// config is nil where nothing is captured.
	config     *config
	host, inst string
	limiter    *rateLimit
	queue      *queue
	done       chan struct{}
	gone       atomic.Bool

	finished, dropped, sampledOut, lostLines atomic.Uint64
}

// New makes an emitter and starts its goroutine. It fails where an option's or a variable's value is none that it can have, and where the
// output can't be opened.
//
// Who makes an emitter closes it at the end of the program: what is queued then is lost otherwise.
func New(options ...Option) (*Emitter, error) {
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	s := &sink{to: c.writer}
	if c.writer == nil {
		if c.output == "off" {
			return &Emitter{}, nil
		}
		if s, err = openSink(c.output); err != nil {
			return nil, err
		}
	}
	// Where the system tells no name, heads have none.
	host, _ := os.Hostname()
	e := &Emitter{config: c, host: host, inst: drawInstance(), queue: newQueue(c.queueLimit), done: make(chan struct{})}
	if c.rateLimit > 0 {
		e.limiter = newRateLimit(c.rateLimit)
	}
	go newWriter(e, s).run()
	return e, nil
}

// FromEnv makes an emitter that the environment alone sets up: New(Env()).
func FromEnv() (*Emitter, error) { return New(Env()) }

func (e *Emitter) isOff() bool { return e == nil || e.config == nil }

// Counts tells what happened so far.
func (e *Emitter) Counts() Counts {
	if e.isOff() {
		return Counts{}
	}
	return Counts{
		Begun: e.queue.count(), Finished: e.finished.Load(), Dropped: e.dropped.Load(), SampledOut: e.sampledOut.Load(),
		LostLines: e.lostLines.Load(),
	}
}

// Flush waits until all that was captured so far is written. It fails where the context ends before.
func (e *Emitter) Flush(ctx context.Context) error {
	if e.isOff() {
		return nil
	}
	flushed := make(flushOrder)
	if !e.queue.order(flushed) {
		return e.wait(ctx)
	}
	select {
	case <-flushed:
		return nil
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reopen opens the output's file again, after it was renamed away; any other output goes on.
func (e *Emitter) Reopen() {
	if !e.isOff() {
		e.queue.order(reopenOrder{})
	}
}

// Close ends the emitter: nothing new is captured, what is open ends with the error `shutdown`, what is queued is written, then the counters.
// It waits for the output for two seconds at most and fails where that was not enough; what is not written by then still is, if the process
// goes on.
func (e *Emitter) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	return e.Shutdown(ctx)
}

// Shutdown is Close that waits as long as the context allows.
func (e *Emitter) Shutdown(ctx context.Context) error {
	if e.isOff() {
		return nil
	}
	e.queue.close()
	return e.wait(ctx)
}

func (e *Emitter) wait(ctx context.Context) error {
	select {
	case <-e.done:
		return nil
	default:
	}
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// why is C-2.2 to C-2.4: why a capture is taken; empty where it is left out. endpoint is asked for only where there is a rate limit.
func (e *Emitter) why(id string, trace TraceParent, at time.Time, endpoint func() string) string {
	rate := e.config.rate
	if rate < 1 {
		key := id
		if e.config.sampleBy == ByTrace && !trace.IsZero() {
			key = trace.TraceID()
		}
		if !isSampled(key, rate) {
			return ""
		}
	}
	switch {
	case e.limiter != nil && !e.limiter.takes(endpoint(), at):
		return ""
	case e.limiter != nil:
		return "limit"
	case rate < 1:
		return "sample"
	default:
		return "all"
	}
}

// begin takes a capture in, holds it until its response, or leaves it out: then it gives nil. start.Headers is the emitter's own.
func (e *Emitter) begin(id string, began time.Time, trace TraceParent, start *line.RequestHead, endpoint func() string) *capture {
	c := e.choose(id, began, trace, start, endpoint)
	take := e.admit
	if start.Why == "" {
		take = e.hold
	}
	if c == nil || !take(c, start) {
		return nil
	}
	return c
}

// beginHeld holds a capture until its response's head, whether it is sampled or not.
func (e *Emitter) beginHeld(id string, began time.Time, trace TraceParent, start *line.RequestHead, endpoint func() string) *capture {
	c := e.choose(id, began, trace, start, endpoint)
	if c == nil || !e.hold(c, start) {
		return nil
	}
	return c
}

// choose gives nil for what is left out, whatever it comes to. start.Why is empty where an error alone makes it a capture.
func (e *Emitter) choose(id string, began time.Time, trace TraceParent, start *line.RequestHead, endpoint func() string) *capture {
	start.Time, start.Trace, start.Why = began, trace.String(), e.why(id, trace, began, endpoint)
	if start.Why == "" && !e.config.alwaysErrors {
		e.sampledOut.Add(1)
		return nil
	}
	return newCapture(e, id, began, start.OneWay)
}

// hold keeps a capture back until its response, or drops it.
func (e *Emitter) hold(c *capture, start *line.RequestHead) bool {
	cost := startCost(start)
	if e.gone.Load() || !e.queue.reserve(cost) {
		e.dropped.Add(1)
		return false
	}
	c.held = &heldRequest{start: start, cost: cost}
	return true
}

// admit takes a capture in whole, with room for its end, or drops it whole.
func (e *Emitter) admit(c *capture, start *line.RequestHead) bool {
	if e.gone.Load() || !e.queue.admit(c, start, startCost(start)) {
		e.dropped.Add(1)
		return false
	}
	return true
}

func startCost(start *line.RequestHead) int64 {
	texts := len(start.Method) + len(start.URL) + len(start.Peer) + len(start.Trace) + len(start.Parent)
	return messageBytes + int64(texts) + pairsCost(start.Headers) + pairsCost(start.Tags)
}

// pairsCost is what headers take of the queue's limit: their texts and two string headers each.
func pairsCost(pairs []line.Pair) int64 {
	cost := 0
	for _, pair := range pairs {
		cost += len(pair.Name) + len(pair.Value) + 32
	}
	return int64(cost)
}
