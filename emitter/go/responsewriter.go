package reassemble

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// responseWriter captures a response as the handler writes it.
type responseWriter struct {
	http.ResponseWriter
	capture *capture
	// ctx is the request's, which ends when the client hangs up.
	ctx    context.Context
	method string
	// committed says that the response's head is known; its headers may be changed no more.
	committed bool
	// bodyless says that what is written as a body is not sent.
	bodyless bool
	hijacked bool
	// trailing are the names of trailers that the head declared.
	trailing []string
	// failed is the first fault of a write.
	failed error
	// unsettled is the response's head while the server may find a content type for it; nil otherwise.
	unsettled *line.ResponseHead
	// committedUS is when it was committed, start what of the body has passed since.
	committedUS uint64
	start       []byte
}

// sniffBytes of a body at most tell its content type, as http.DetectContentType reads them.
const sniffBytes = 512

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// commit begins the response's capture with the headers as they are.
func (w *responseWriter) commit(code int) {
	if w.committed {
		return
	}
	w.committed = true
	headers := w.Header()
	for _, names := range headers["Trailer"] {
		for name := range strings.SplitSeq(names, ",") {
			w.trailing = append(w.trailing, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	// What flows through a tunnel is no body.
	w.bodyless = hasNoBody(w.method, code) || w.method == http.MethodConnect
	if declared := headers.Get("Content-Length"); declared != "" && !w.bodyless {
		if length, err := strconv.ParseInt(declared, 10, 64); err == nil {
			w.capture.expect(response, length)
		}
	}
	w.unsettled, w.committedUS = responseHead(code, headers), w.capture.elapsed()
	if !isTypeFound(code, headers) {
		w.settle(headers.Get("Content-Type"))
	}
}

// isTypeFound tells whether the server finds a content type in the body's first bytes, where there are any.
func isTypeFound(code int, headers http.Header) bool {
	_, isTyped := headers["Content-Type"]
	bodyAllowed := code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified
	return !isTyped && bodyAllowed && headers.Get("Content-Encoding") == "" && headers.Get("Transfer-Encoding") == ""
}

// settle begins the response with what is known of its head.
func (w *responseWriter) settle(contentType string) {
	head := w.unsettled
	w.unsettled = nil
	w.capture.filterBody(response, contentType)
	if w.ctx.Err() != nil {
		w.capture.hangUp()
	}
	w.capture.respondAt(head, w.committedUS)
}

// settleFound begins the response with the content type that the server finds in the body so far, of which next are the last bytes.
func (w *responseWriter) settleFound(next []byte) {
	if w.unsettled == nil {
		return
	}
	first := next
	if len(w.start) > 0 {
		first = slices.Concat(w.start, next[:min(len(next), sniffBytes)])
	}
	contentType := ""
	if len(first) > 0 {
		contentType = http.DetectContentType(first)
		w.unsettled.Headers = append(w.unsettled.Headers, line.Pair{Name: "Content-Type", Value: contentType})
	}
	w.settle(contentType)
	if !w.bodyless {
		w.capture.body(response, w.start)
	}
	w.start = nil
}

// WriteHeader passes the status on.
func (w *responseWriter) WriteHeader(code int) {
	w.ResponseWriter.WriteHeader(code)
	// An informational response goes before the one that counts, but for the switch of protocols.
	if code >= 200 || code == http.StatusSwitchingProtocols {
		w.commit(code)
	}
}

// Write passes a piece of the body on.
func (w *responseWriter) Write(piece []byte) (int, error) {
	w.commit(http.StatusOK)
	n, err := w.ResponseWriter.Write(piece)
	w.passed(piece, n, err)
	return n, err
}

// WriteString passes a piece of the body on.
func (w *responseWriter) WriteString(piece string) (int, error) {
	w.commit(http.StatusOK)
	n, err := io.WriteString(w.ResponseWriter, piece)
	w.passed([]byte(piece), n, err)
	return n, err
}

func (w *responseWriter) passed(piece []byte, n int, err error) {
	if n = min(n, len(piece)); n > 0 {
		w.pass(piece[:n])
	}
	w.noteFault(err)
}

// noteFault keeps a write's fault. Where no body is sent, that one can't be written is no fault of the response.
func (w *responseWriter) noteFault(err error) {
	if w.failed == nil && !w.bodyless {
		w.failed = err
	}
}

func (w *responseWriter) pass(piece []byte) {
	if w.unsettled != nil && len(w.start)+len(piece) < sniffBytes {
		w.start = append(w.start, piece...)
		return
	}
	w.settleFound(piece)
	if !w.bodyless {
		w.capture.body(response, piece)
	}
}

// ReadFrom passes a body on. Where it is captured it is read here; else it goes the system's own way, as from a file to a socket.
func (w *responseWriter) ReadFrom(from io.Reader) (int64, error) {
	isLeftOut := w.committed && w.unsettled == nil && (w.bodyless || !w.capture.takes(response))
	if !isLeftOut {
		from = &passingReader{from: from, writer: w}
	}
	var n int64
	var err error
	if to, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		n, err = to.ReadFrom(from)
	} else {
		n, err = io.Copy(struct{ io.Writer }{w.ResponseWriter}, from)
	}
	if isLeftOut && !w.bodyless {
		w.capture.count(response, n)
	}
	w.noteFault(err)
	return n, err
}

// passingReader captures a response's body as it is read.
type passingReader struct {
	from   io.Reader
	writer *responseWriter
}

func (r *passingReader) Read(into []byte) (int, error) {
	n, err := r.from.Read(into)
	if n > 0 {
		r.writer.commit(http.StatusOK)
		r.writer.passed(into[:n], n, nil)
	}
	return n, err
}

// FlushError is for http.ResponseController.
func (w *responseWriter) FlushError() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if err == nil {
		w.commit(http.StatusOK)
		w.settleFound(nil)
	}
	return err
}

// CloseNotify is for what was written before requests had contexts, which asks for it without looking whether it is there.
func (w *responseWriter) CloseNotify() <-chan bool {
	if notifier, ok := w.ResponseWriter.(http.CloseNotifier); ok {
		return notifier.CloseNotify()
	}
	return make(chan bool)
}

// trailers are those that the handler has set by now.
func (w *responseWriter) trailers() http.Header {
	var trailers http.Header
	add := func(name string, values []string) {
		if trailers == nil {
			trailers = make(http.Header)
		}
		trailers[name] = values
	}
	for _, name := range w.trailing {
		if values, ok := w.Header()[name]; ok {
			add(name, values)
		}
	}
	for name, values := range w.Header() {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			add(name, values)
		}
	}
	return trailers
}

type (
	flusher  struct{ w *responseWriter }
	hijacker struct{ w *responseWriter }
)

func (f flusher) Flush() {
	// Who flushes so asks for no error.
	_ = f.w.FlushError()
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.w.ResponseWriter).Hijack()
	if err == nil {
		h.w.hijacked = true
	}
	return conn, buffered, err
}

// canHijack looks where http.ResponseController does: a connection that is hijacked past this writer would go unseen.
func canHijack(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(http.Hijacker); ok {
			return true
		}
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = outer.Unwrap()
	}
}

// withOptionals gives a writer that has those of the optional interfaces that the wrapped one has: handlers ask for them by type.
func (w *responseWriter) withOptionals() http.ResponseWriter {
	_, flushes := w.ResponseWriter.(http.Flusher)
	hijacks := canHijack(w.ResponseWriter)
	pusher, pushes := w.ResponseWriter.(http.Pusher)
	type (
		f = http.Flusher
		h = http.Hijacker
		p = http.Pusher
	)
	switch {
	case flushes && hijacks && pushes:
		return struct {
			*responseWriter
			f
			h
			p
		}{w, flusher{w}, hijacker{w}, pusher}
	case flushes && hijacks:
		return struct {
			*responseWriter
			f
			h
		}{w, flusher{w}, hijacker{w}}
	case flushes && pushes:
		return struct {
			*responseWriter
			f
			p
		}{w, flusher{w}, pusher}
	case hijacks && pushes:
		return struct {
			*responseWriter
			h
			p
		}{w, hijacker{w}, pusher}
	case flushes:
		return struct {
			*responseWriter
			f
		}{w, flusher{w}}
	case hijacks:
		return struct {
			*responseWriter
			h
		}{w, hijacker{w}}
	case pushes:
		return struct {
			*responseWriter
			p
		}{w, pusher}
	default:
		return w
	}
}
