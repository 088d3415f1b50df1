package reassemble

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// half is request or response.
type half int

const (
	request half = iota
	response
)

const (
	// heldBodyBytes of a request's body are held until its response.
	heldBodyBytes = 64 << 10
	// queueError ends what a full queue cut.
	queueError = "queue"
	// unknownLen is of a body whose length is not declared.
	unknownLen = -1
)

// cutReason is why a body is no longer captured.
type cutReason int

const (
	notCut cutReason = iota
	// cutBySetting: the body limit, or a content type that is left out.
	cutBySetting
	// cutByQueue: the queue was full.
	cutByQueue
)

// capture is one capture on the side of the app: it counts and cuts what passes, and makes sure that each half ends once. A nil capture takes
// heads, bodies and ends, and does nothing.
//
// Invariants: once a piece was left out, none follows it; what is pushed for a half stands in the order of the calls.
type capture struct {
	emitter *Emitter
	id      string
	began   time.Time

	mu sync.Mutex
	// held is the request until the response tells whether it is captured (start.Why is set where its head alone is awaited); nil where that is known.
	held *heldRequest
	// leftOut says that it is not.
	leftOut bool
	// hungUp says that the client waits for no response.
	hungUp bool
	oneway bool
	halves [2]halfState

	// tooLong is the writer's word that a half's body is left out, so that no more of it need be copied.
	tooLong [2]atomic.Bool

	// n is set when the capture is admitted.
	n uint64
	// What follows is the writer's alone.
	parts         [2]*openPart
	awaited, torn bool
}

type halfState struct {
	begun, ended bool
	// seen of the body's bytes passed, taken were captured, expected is the declared length.
	seen, taken, expected int64
	cut                   cutReason
	// uncounted says that more passed than was seen.
	uncounted bool
	// status is one that only the end tells.
	status line.Status
}

type heldRequest struct {
	start *line.RequestHead
	body  []byte
	end   *partEnd
	cost  int64
}

func newCapture(e *Emitter, id string, began time.Time, oneway bool) *capture {
	c := &capture{emitter: e, id: id, began: began, oneway: oneway}
	c.halves[request] = halfState{begun: true, expected: unknownLen}
	c.halves[response] = halfState{ended: oneway, expected: unknownLen}
	return c
}

func (c *capture) elapsed() uint64 { return uint64(max(time.Since(c.began).Microseconds(), 0)) }

// expect tells how long a half's body will be, where that is known.
func (c *capture) expect(h half, length int64) {
	c.mu.Lock()
	c.halves[h].expected = length
	c.mu.Unlock()
}

// skipBody leaves a half's body out; its length is still counted.
func (c *capture) skipBody(h half) {
	c.mu.Lock()
	c.halves[h].cut = max(c.halves[h].cut, cutBySetting)
	c.mu.Unlock()
}

// hangUp says that the client has hung up: whatever is answered now reaches nobody.
func (c *capture) hangUp() {
	c.mu.Lock()
	c.hungUp = true
	c.mu.Unlock()
}

// respond begins the response. Where the queue has no room for its headers it begins without them, and its body is left out.
func (c *capture) respond(head *line.ResponseHead) {
	if c != nil {
		c.respondAt(head, c.elapsed())
	}
}

// respondAt is respond for a response that began so many microseconds after its request.
func (c *capture) respondAt(head *line.ResponseHead, us uint64) {
	c.mu.Lock()
	c.respondLocked(head, us)
	c.mu.Unlock()
}

func (c *capture) respondLocked(head *line.ResponseHead, us uint64) {
	h := &c.halves[response]
	if c.leftOut || h.begun || h.ended {
		return
	}
	h.begun = true
	if c.held != nil && !c.decide(c.hungUp || head.Status.Code >= 500) {
		return
	}
	head.Time, head.US = c.began.Add(time.Duration(us)*time.Microsecond), line.Of(us)
	if !c.emitter.queue.push(message{capture: c, detail: head}, messageBytes+int64(len(head.Status.Text))+pairsCost(head.Headers)) {
		head.Headers = nil
		c.emitter.queue.pushReserved(message{capture: c, detail: head}, messageBytes)
		h.cut = cutByQueue
	}
}

// body takes the next piece of a half's body; what is captured of it is copied.
func (c *capture) body(h half, piece []byte) {
	if c == nil || len(piece) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.halves[h].begun {
		c.respondLocked(&line.ResponseHead{}, c.elapsed())
	}
	s := &c.halves[h]
	if c.leftOut || s.ended {
		return
	}
	s.seen += int64(len(piece))
	if s.cut != notCut || c.tooLong[h].Load() {
		return
	}
	limit := c.emitter.config.bodyLimit
	if c.held != nil {
		limit = min(limit, heldBodyBytes)
	}
	if room := limit - s.taken; room < int64(len(piece)) {
		s.cut = cutBySetting
		piece = piece[:room]
	}
	if len(piece) == 0 {
		return
	}
	if !c.put(h, piece) {
		s.cut = cutByQueue
		return
	}
	s.taken += int64(len(piece))
}

// takes tells whether a half's body is still captured.
func (c *capture) takes(h half) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.leftOut && !c.halves[h].ended && c.halves[h].cut == notCut && !c.tooLong[h].Load()
}

// lose says that something passed whose length is not known.
func (c *capture) lose(h half) {
	c.mu.Lock()
	c.halves[h].uncounted = true
	c.mu.Unlock()
}

// count tells of bytes that passed and are left out.
func (c *capture) count(h half, bytes int64) {
	c.mu.Lock()
	c.halves[h].seen += bytes
	c.mu.Unlock()
}

// put queues a piece or holds it; false where there is no room.
func (c *capture) put(h half, piece []byte) bool {
	if c.held == nil {
		return c.emitter.queue.push(message{capture: c, half: h, body: piece}, messageBytes+int64(len(piece)))
	}
	if !c.emitter.queue.reserve(int64(len(piece))) {
		return false
	}
	c.held.cost += int64(len(piece))
	c.held.body = append(c.held.body, piece...)
	return true
}

// isWhole tells whether as much of a half's body has passed as was declared.
func (c *capture) isWhole(h half) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halves[h].seen == c.halves[h].expected
}

// endStatus sets the response's status that only the end tells.
func (c *capture) endStatus(status line.Status) {
	c.mu.Lock()
	c.halves[response].status = status
	c.mu.Unlock()
}

// end ends a half, with trailers where there were any.
func (c *capture) end(h half, trailers []line.Pair) { c.close(h, "", trailers) }

// fail ends a half before its time.
func (c *capture) fail(h half, err string) { c.close(h, err, nil) }

func (c *capture) close(h half, err string, trailers []line.Pair) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.halves[h]
	if c.leftOut || s.ended {
		return
	}
	if c.held != nil && (h == response || c.oneway) && !c.decide(err != "") {
		return
	}
	if !s.begun {
		c.respondLocked(&line.ResponseHead{}, c.elapsed())
	}
	s.ended = true
	// Where a body that is left out was empty, nothing of it is.
	isCut := s.cut == cutByQueue || s.cut == cutBySetting && (s.seen > 0 || s.uncounted)
	end := &partEnd{tail: line.Tail{
		US: line.Of(c.elapsed()), Status: s.status, Trailers: trailers, Error: err, Truncated: err != "" || isCut,
	}}
	switch {
	case s.uncounted:
	case err == "":
		end.fullLen = line.Of(uint64(s.seen))
	case s.expected >= 0:
		end.fullLen = line.Of(uint64(s.expected))
	}
	if s.cut == cutByQueue {
		end.tail.Error = queueError
	}
	if c.held != nil {
		c.held.end = end
		return
	}
	c.pushEnd(h, end)
}

// pushEnd uses the room that was kept for ends; for one that is larger there may be none.
func (c *capture) pushEnd(h half, end *partEnd) {
	end.tail.Error = end.tail.Error[:min(len(end.tail.Error), line.MaxErrorBytes+4)]
	m := message{capture: c, half: h, detail: end}
	cost := messageBytes + int64(len(end.tail.Error)) + pairsCost(end.tail.Trailers)
	if cost > closingBytes/4 {
		if c.emitter.queue.push(m, cost) {
			return
		}
		end.tail.Trailers, end.tail.Error, end.tail.Truncated = nil, queueError, true
	}
	c.emitter.queue.pushReserved(m, messageBytes)
}

// decide captures what was held, or leaves it out; it tells whether it is captured.
func (c *capture) decide(isError bool) bool {
	held := c.held
	c.held = nil
	c.emitter.queue.release(held.cost)
	if held.start.Why == "" {
		if !isError {
			c.leftOut = true
			c.emitter.sampledOut.Add(1)
			return false
		}
		held.start.Why = "error"
	}
	if !c.emitter.admit(c, held.start) {
		c.leftOut = true
		return false
	}
	s := &c.halves[request]
	if len(held.body) > 0 && !c.put(request, held.body) {
		s.cut, s.taken = cutByQueue, 0
		if held.end != nil {
			held.end.tail.Error, held.end.tail.Truncated = queueError, true
		}
	}
	if held.end != nil {
		c.pushEnd(request, held.end)
	}
	return true
}

// withdraw leaves out what is still held, as if it had not been asked; it tells whether anything was.
func (c *capture) withdraw() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return false
	}
	c.emitter.queue.release(c.held.cost)
	if c.held.start.Why == "" {
		c.emitter.sampledOut.Add(1)
	}
	c.held, c.leftOut = nil, true
	return true
}
