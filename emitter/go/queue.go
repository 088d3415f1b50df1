package reassemble

import (
	"sync"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

const (
	// linger is how long the writer lets messages gather: waking it costs more than all else here.
	linger = 10 * time.Millisecond
	// urgentBytes cut this short, and a quarter of a smaller queue's limit does.
	urgentBytes = 256 << 10
	// A batch of so many bytes or messages is full: small enough to stay in a core's cache between its two readers.
	batchBytes    = 64 << 10
	batchMessages = 512
	// ownCopyBytes is from where on a piece gets memory of its own in place of a batch's.
	ownCopyBytes = 16 << 10
	// spareBatches are kept to be filled again.
	spareBatches = 8
	// closingBytes is kept in the queue for each open capture: two ends and a response's head without headers.
	closingBytes = 1024
	// messageBytes is about what a message takes beside its texts.
	messageBytes = 128
)

// message is one step of a capture, or an order to the writer. What detail is tells which: a *line.RequestHead or *line.ResponseHead begins a
// part, a *partEnd ends it, nil is a piece of its body; a flushOrder or reopenOrder is an order.
type message struct {
	capture *capture
	half    half
	body    []byte
	detail  any
}

// partEnd is how a part ends. Tail.FullLen is left to the writer, which knows whether the body is cut.
type partEnd struct {
	tail    line.Tail
	fullLen line.Number
}

type (
	flushOrder  chan struct{}
	reopenOrder struct{}
)

// batch is messages in their order, with memory for their small pieces.
type batch struct {
	messages []message
	texts    []byte
	cost     int64
}

// queue is what lies between requests' goroutines and the writer: bounded in bytes, and never waited for by who puts something in.
//
// Invariants: bytes counts what is queued, what the writer holds of bodies, what is held until a response, and the room that is kept for each
// open capture's end; only ends, for which room was kept, and orders pass the limit.
type queue struct {
	limit int64
	// urgent is of how much that waits the writer is woken while it lingers.
	urgent int64
	// wakeup has room for one, so that waking never waits.
	wakeup chan struct{}

	mu    sync.Mutex
	bytes int64
	// waiting is the cost of what the writer has not taken.
	waiting  int64
	admitted uint64
	full     []*batch
	filling  *batch
	spare    []*batch
	writer   writerState
	// ordered says that an order waits.
	ordered bool
	closed  bool
	// drained says that the writer has taken its last batch.
	drained bool
}

type writerState int

const (
	awake     writerState = iota
	lingering             // only what is urgent wakes it
	sleeping              // any message wakes it
)

func newQueue(limit int64) *queue {
	return &queue{limit: limit, urgent: min(urgentBytes, limit/4), wakeup: make(chan struct{}, 1), filling: &batch{}}
}

// admit takes a capture in, with room for its end, and numbers it: numbers have no gaps and are queued in their order.
func (q *queue) admit(c *capture, start *line.RequestHead, cost int64) bool {
	q.mu.Lock()
	if !q.takeRoom(cost + closingBytes) {
		q.mu.Unlock()
		return false
	}
	q.admitted++
	c.n = q.admitted
	start.N = line.Of(c.n)
	wake := q.put(message{capture: c, detail: start}, cost)
	q.mu.Unlock()
	q.wake(wake)
	return true
}

// push puts a step in, or refuses it where that passes the limit. A body is copied.
func (q *queue) push(m message, cost int64) bool {
	if len(m.body) >= ownCopyBytes {
		m.body = append([]byte(nil), m.body...)
	}
	q.mu.Lock()
	if !q.takeRoom(cost) {
		q.mu.Unlock()
		return false
	}
	wake := q.put(m, cost)
	q.mu.Unlock()
	q.wake(wake)
	return true
}

// pushReserved puts a step in for which room was kept, whatever the queue holds.
func (q *queue) pushReserved(m message, cost int64) {
	q.mu.Lock()
	if q.drained {
		q.mu.Unlock()
		return
	}
	q.bytes += cost
	wake := q.put(m, cost)
	q.mu.Unlock()
	q.wake(wake)
}

// order gives the writer an order and wakes it; false where it has ended.
func (q *queue) order(detail any) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.drained {
		return false
	}
	q.ordered = true
	q.wake(q.put(message{detail: detail}, 0))
	return true
}

// reserve takes room without a message; false where there is none.
func (q *queue) reserve(bytes int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeRoom(bytes)
}

// hold takes room for what the writer holds, which was let in before; release gives room back.
func (q *queue) hold(bytes int64) {
	q.mu.Lock()
	q.bytes += bytes
	q.mu.Unlock()
}

func (q *queue) release(bytes int64) { q.hold(-bytes) }

func (q *queue) takeRoom(cost int64) bool {
	if q.closed || q.bytes+cost > q.limit {
		return false
	}
	q.bytes += cost
	return true
}

// put tells whether the writer is to be woken.
func (q *queue) put(m message, cost int64) bool {
	b := q.filling
	if n := len(m.body); n > 0 && n < ownCopyBytes {
		if len(b.texts)+n > batchBytes {
			q.seal()
			b = q.filling
		}
		if b.texts == nil {
			b.texts = make([]byte, 0, batchBytes)
		}
		start := len(b.texts)
		b.texts = append(b.texts, m.body...)
		m.body = b.texts[start:]
	}
	b.messages = append(b.messages, m)
	b.cost += cost
	q.waiting += cost
	if len(b.messages) >= batchMessages {
		q.seal()
	}
	if q.writer == sleeping || q.writer == lingering && q.isUrgent() {
		q.writer = awake
		return true
	}
	return false
}

func (q *queue) isUrgent() bool { return q.closed || q.ordered || q.waiting > q.urgent }

// seal begins another batch.
func (q *queue) seal() {
	q.full = append(q.full, q.filling)
	if n := len(q.spare); n > 0 {
		q.filling = q.spare[n-1]
		q.spare = q.spare[:n-1]
	} else {
		q.filling = &batch{}
	}
}

func (q *queue) wake(due bool) {
	if due {
		select {
		case q.wakeup <- struct{}{}:
		default:
		}
	}
}

// count is how many captures were admitted.
func (q *queue) count() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.admitted
}

// close refuses all that is new from here on.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.writer = awake
	q.mu.Unlock()
	q.wake(true)
}

// abandon drops what is queued and refuses all that is new: the writer is gone.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.drained = true, true
	q.full, q.filling, q.spare = nil, &batch{}, nil
}

// take gives the writer the next batch; nil where there is none. ended says that none will come.
func (q *queue) take() (b *batch, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.holdsSome() {
		q.drained = q.closed
		return nil, q.closed
	}
	if len(q.full) == 0 {
		q.seal()
	}
	b = q.full[0]
	q.full[0] = nil
	q.full = q.full[1:]
	q.waiting -= b.cost
	q.ordered = q.ordered && q.holdsSome()
	return b, false
}

// done gives back a batch that was read.
func (q *queue) done(b *batch) {
	clear(b.messages)
	b.messages, b.texts = b.messages[:0], b.texts[:0]
	q.mu.Lock()
	q.bytes -= b.cost
	b.cost = 0
	if len(q.spare) < spareBatches {
		q.spare = append(q.spare, b)
	}
	q.mu.Unlock()
}

// wait lets messages gather, and where none come sleeps until there are some, for no longer than longest where that is above 0.
func (q *queue) wait(longest time.Duration) {
	if q.pause(lingering, linger) || !q.pause(sleeping, longest) {
		return
	}
	// What woke the writer is rarely alone.
	q.pause(lingering, linger)
}

// pause waits in a state, and tells whether there is something to do.
func (q *queue) pause(state writerState, longest time.Duration) bool {
	q.mu.Lock()
	if q.isUrgent() || state == sleeping && q.holdsSome() {
		q.mu.Unlock()
		return true
	}
	q.writer = state
	q.mu.Unlock()
	if longest > 0 {
		timer := time.NewTimer(longest)
		select {
		case <-q.wakeup:
		case <-timer.C:
		}
		timer.Stop()
	} else {
		<-q.wakeup
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writer = awake
	return q.closed || q.holdsSome()
}

func (q *queue) holdsSome() bool { return len(q.full) > 0 || len(q.filling.messages) > 0 }
