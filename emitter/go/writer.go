package reassemble

import (
	"cmp"
	"slices"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

const (
	// gatheredBytes of lines are written at once, and what there is at the end of each batch.
	gatheredBytes = 32 << 10
	// keptBytes is above which the buffer of lines gives memory back.
	keptBytes = 256 << 10
	// maxSliceBytes of a body go through the cut at once, so that a large one does not size the buffer of lines.
	maxSliceBytes = 64 << 10
	// So many parts that have ended are kept for their memory, of so many bytes at most: with lines and bodies of a few KB.
	spareParts     = 16
	sparePartBytes = 32 << 10
)

// writer is the emitter's own goroutine: it takes messages in their order, redacts, cuts each part into lines, and writes them.
//
// Invariants: a capture is in open from its begin until both its halves have ended, and its kept room is given back then and only then; a
// batch's cost is given back, and a capture counted as finished, once its lines are written; whenever the writer waits, all lines are written.
type writer struct {
	emitter *Emitter
	sink    *sink
	signer  *line.Signer
	open    map[*capture]struct{}
	lines   []byte
	// owners tells up to where in lines they are of which capture, in order.
	owners []owner
	// ended are captures whose last lines are among lines.
	ended []*capture
	// spare are parts that have ended, for their memory.
	spare  []*openPart
	told   Counts
	toldAt time.Time
}

type owner struct {
	end     int
	capture *capture
}

// openPart is a part that has begun and not ended.
type openPart struct {
	part line.Part
	// isSecretive says that the body is looked through.
	isSecretive bool
	secretive   secretiveBody
}

func newWriter(e *Emitter, s *sink) *writer {
	w := &writer{emitter: e, sink: s, open: make(map[*capture]struct{}), toldAt: time.Now()}
	if e.config.secret != "" {
		w.signer = line.NewSigner(e.config.secret)
	}
	return w
}

// run goes on until the queue is closed and empty.
func (w *writer) run() {
	defer close(w.emitter.done)
	defer func() {
		// Only an app's own OutputWriter can panic, and that must not end the app: nothing is captured from here on.
		if recover() != nil {
			w.emitter.gone.Store(true)
			w.emitter.queue.abandon()
		}
	}()
	for {
		b, ended := w.emitter.queue.take()
		if b != nil {
			for at := range b.messages {
				w.handle(&b.messages[at])
			}
			w.writeLines()
			w.emitter.queue.done(b)
			w.tellWhenDue()
			continue
		}
		next := w.tellWhenDue()
		if ended {
			break
		}
		w.emitter.queue.wait(next)
	}
	open := make([]*capture, 0, len(w.open))
	for c := range w.open {
		open = append(open, c)
	}
	slices.SortFunc(open, func(a, b *capture) int { return cmp.Compare(a.n, b.n) })
	for _, c := range open {
		w.closeCapture(c)
	}
	w.writeLines()
	w.tell()
	w.sink.close()
}

func (w *writer) handle(m *message) {
	switch detail := m.detail.(type) {
	case nil:
		w.body(m.capture, m.half, m.body)
	case *line.RequestHead:
		w.begin(m.capture, detail)
	case *line.ResponseHead:
		w.respond(m.capture, detail)
	case *partEnd:
		w.end(m.capture, m.half, detail)
	case flushOrder:
		w.writeLines()
		close(detail)
	case reopenOrder:
		w.writeLines()
		w.sink.reopen()
		w.emitter.gone.Store(w.sink.gone)
	}
}

func (w *writer) begin(c *capture, head *line.RequestHead) {
	config := w.emitter.config
	head.Service, head.Host, head.Inst, head.Rate = config.service, w.emitter.host, w.emitter.inst, &config.rate
	head.URL = config.redactor.URL(head.URL)
	w.open[c] = struct{}{}
	c.awaited = !head.OneWay
	c.parts[request] = w.openPart(c, line.Request, head, head.Headers)
}

func (w *writer) respond(c *capture, head *line.ResponseHead) {
	c.awaited = false
	c.parts[response] = w.openPart(c, line.Response, head, head.Headers)
}

func (w *writer) body(c *capture, h half, body []byte) {
	p := c.parts[h]
	switch {
	case p == nil:
	case p.isSecretive:
		w.emitter.queue.hold(p.secretive.take(body))
		if p.secretive.long {
			c.tooLong[h].Store(true)
		}
	default:
		w.cut(c, &p.part, body)
	}
}

func (w *writer) cut(c *capture, part *line.Part, body []byte) {
	for slice := range slices.Chunk(body, maxSliceBytes) {
		w.lines = part.Body(w.lines, slice)
		w.gathered(c)
	}
}

func (w *writer) end(c *capture, h half, end *partEnd) {
	p := c.parts[h]
	if p == nil {
		return
	}
	c.parts[h] = nil
	if p.isSecretive {
		w.emitter.queue.release(int64(len(p.secretive.held)))
		w.cut(c, &p.part, p.secretive.finish(w.emitter.config.redactor, &end.tail))
	}
	if end.tail.Truncated {
		end.tail.FullLen = end.fullLen
	}
	w.redact(end.tail.Trailers)
	w.lines = p.part.Finish(w.lines, &end.tail)
	w.keep(p)
	if c.parts[request] == nil && c.parts[response] == nil && !c.awaited {
		delete(w.open, c)
		w.emitter.queue.release(closingBytes)
		w.ended = append(w.ended, c)
	}
	w.gathered(c)
}

// closeCapture ends what the app has not ended when the emitter was.
func (w *writer) closeCapture(c *capture) {
	if c.awaited {
		w.respond(c, &line.ResponseHead{Time: time.Now()})
	}
	for _, h := range []half{request, response} {
		w.end(c, h, &partEnd{tail: line.Tail{Error: "shutdown", Truncated: true}})
	}
}

// openPart begins a part in the memory of one that has ended.
func (w *writer) openPart(c *capture, name string, head line.Head, headers []line.Pair) *openPart {
	var p *openPart
	if n := len(w.spare); n > 0 {
		p, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		p = &openPart{}
	}
	config := w.emitter.config
	p.isSecretive = config.redactBodies && p.secretive.begin(headers, config.redactBuffer)
	w.redact(headers)
	p.part.Reset(c.id, name, head, config.lineLimit, w.signer)
	return p
}

// keep keeps the memory of a part that has ended.
func (w *writer) keep(p *openPart) {
	if len(w.spare) < spareParts && p.part.Memory()+cap(p.secretive.held) <= sparePartBytes {
		w.spare = append(w.spare, p)
	}
}

// redact takes the secrets out of headers.
func (w *writer) redact(headers []line.Pair) {
	for at := range headers {
		headers[at].Value = w.emitter.config.redactor.Header(headers[at].Name, headers[at].Value)
	}
}

// gathered notes whose lines the last ones are, and writes where enough have come together.
func (w *writer) gathered(c *capture) {
	last := 0
	if n := len(w.owners); n > 0 {
		last = w.owners[n-1].end
	}
	if last < len(w.lines) {
		w.owners = append(w.owners, owner{len(w.lines), c})
	}
	if len(w.lines) >= gatheredBytes {
		w.writeLines()
	}
}

// writeLines writes what has come together, and counts the captures that are finished with it.
func (w *writer) writeLines() {
	e := w.emitter
	var lost uint64
	w.sink.writeLines(w.lines, func(at int) {
		lost++
		owned, _ := slices.BinarySearchFunc(w.owners, at, func(o owner, at int) int { return cmp.Compare(o.end, at+1) })
		// Behind the last owner's lines stands `meta` alone.
		if owned < len(w.owners) {
			w.owners[owned].capture.torn = true
		}
	})
	if lost > 0 {
		e.lostLines.Add(lost)
		e.gone.Store(w.sink.gone)
	}
	for _, c := range w.ended {
		if !c.torn {
			e.finished.Add(1)
		}
	}
	clear(w.ended)
	clear(w.owners)
	w.ended, w.owners, w.lines = w.ended[:0], w.owners[:0], w.lines[:0]
	if cap(w.lines) > keptBytes {
		w.lines = nil
	}
}

// tellWhenDue tells the counters if there is something to tell and it is time; it gives when it will be, and 0 where there is nothing to tell.
func (w *writer) tellWhenDue() time.Duration {
	if w.emitter.Counts() == w.told {
		return 0
	}
	if left := w.emitter.config.metaEvery - time.Since(w.toldAt); left > 0 {
		return left
	}
	w.tell()
	return 0
}

func (w *writer) tell() {
	counts := w.emitter.Counts()
	w.toldAt = time.Now()
	if counts == w.told {
		return
	}
	w.told = counts
	now := time.Now()
	head := line.MetaHead{
		Time: now, Service: w.emitter.config.service, Host: w.emitter.host, Inst: w.emitter.inst, Begun: counts.Begun, Finished: counts.Finished,
		Dropped: counts.Dropped, SampledOut: counts.SampledOut,
	}
	w.lines = line.AppendMeta(w.lines, drawID(now), &head, w.emitter.config.lineLimit, w.signer)
	w.writeLines()
}
