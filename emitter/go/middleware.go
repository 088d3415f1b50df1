package reassemble

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// Middleware gives a handler that captures what it is asked and answers: http.ListenAndServe(":8080", e.Middleware(mux)). As a function of a
// handler it also goes where routers take middleware: r.Use(e.Middleware). Put it outermost, so that it sees what clients see.
//
// The request's context gains the trace and the capture's id, so that what the handler asks of others bears the one and names the other.
// Flushing, hijacking, trailers and http.ResponseController go on working; a panic passes through. What a hijacked connection carries is not
// captured.
func (e *Emitter) Middleware(next http.Handler) http.Handler {
	if e.isOff() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.serve(next, w, r) })
}

func (e *Emitter) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	trace, ok := traceOf(r.Header)
	if !ok {
		trace = drawTraceParent()
	}
	var c *capture
	url := e.inboundURL(r)
	l := link{trace: trace}
	if e.letsHTTP(r.Method, url) {
		if c = e.beginInbound(next, r, url, trace); c != nil {
			l.id = c.id
		}
	}
	inner := r.WithContext(withLink(r.Context(), l))
	// What a router or a form's reader notes on its copy of the request, those outside see too: the server removes a form's files.
	defer func() {
		r.Pattern, r.MultipartForm = inner.Pattern, inner.MultipartForm
	}()
	if c == nil {
		next.ServeHTTP(w, inner)
		return
	}
	c.takeRequestBody(inner)
	writer := &responseWriter{ResponseWriter: w, capture: c, ctx: r.Context(), method: r.Method}
	returned := false
	// Nothing is recovered: a panic goes on as it would without this.
	defer func() { writer.finish(inner, returned) }()
	next.ServeHTTP(writer.withOptionals(), inner)
	returned = true
}

func (e *Emitter) beginInbound(next http.Handler, r *http.Request, url string, trace TraceParent) *capture {
	began := time.Now()
	var host []line.Pair
	if r.ProtoMajor < 2 && r.Host != "" {
		// The server takes it from the others.
		host = []line.Pair{{Name: "Host", Value: r.Host}}
	}
	start := &line.RequestHead{
		Dir: "in", Proto: protocol(r.ProtoMajor, r.ProtoMinor, r.Header), Method: r.Method, URL: url, Headers: flatten(r.Header, host...),
		Unordered: true, Peer: r.RemoteAddr,
	}
	begin := e.begin
	if asksForSwitch(r) {
		// A handler may write the response's head past what is seen here; then nothing is captured.
		begin = e.beginHeld
	}
	return begin(drawID(began), began, trace, start, func() string { return inboundEndpoint(next, r, url) })
}

// asksForSwitch tells of a request for a websocket, a tunnel or the like. Those have no body, so that none is held.
func asksForSwitch(r *http.Request) bool {
	return r.Method == http.MethodConnect || r.Header.Get("Upgrade") != "" && (r.Body == nil || r.Body == http.NoBody)
}

// inboundURL is the URL as it was asked for, absolute where scheme and host are known.
func (e *Emitter) inboundURL(r *http.Request) string {
	target := r.RequestURI
	if target == "" && r.URL != nil {
		// A request that no server has read, as adapters make them.
		target = r.URL.RequestURI()
	}
	if r.Host == "" || !strings.HasPrefix(target, "/") {
		return target
	}
	scheme := e.config.scheme
	switch {
	case scheme != "":
	case r.TLS != nil:
		scheme = "https"
	default:
		scheme = "http"
	}
	return scheme + "://" + r.Host + target
}

// inboundEndpoint is method and route, where that is known when the request begins: behind a router, or right before http.ServeMux.
func inboundEndpoint(next http.Handler, r *http.Request, url string) string {
	pattern := r.Pattern
	if mux, ok := next.(*http.ServeMux); ok && pattern == "" {
		_, pattern = mux.Handler(r)
	}
	if pattern != "" {
		return r.Method + " " + pattern
	}
	return endpointOf(r.Method, pathOf(url))
}

// takeRequestBody captures the request's body as it is read. What flows through a tunnel is no body.
func (c *capture) takeRequestBody(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.Method == http.MethodConnect {
		c.end(request, nil)
		return
	}
	c.filterBody(request, r.Header.Get("Content-Type"))
	c.expect(request, r.ContentLength)
	r.Body = &bodyReader{ReadCloser: r.Body, capture: c, half: request, captured: &position{}, ended: func(err error) {
		if errors.Is(err, io.EOF) {
			c.end(request, trailerPairs(r.Trailer))
		} else {
			c.fail(request, err.Error())
		}
	}}
}

// endRequestBody ends a request's body that was not read to its end.
func (c *capture) endRequestBody() {
	if c.isWhole(request) {
		c.end(request, nil)
		return
	}
	c.mu.Lock()
	unread := c.halves[request].seen == 0
	c.mu.Unlock()
	if unread {
		c.fail(request, "body not read")
	} else {
		c.fail(request, "body not read to its end")
	}
}

// finish ends what the handler has begun.
func (w *responseWriter) finish(r *http.Request, returned bool) {
	c := w.capture
	cause := context.Cause(r.Context())
	w.settleFound(nil)
	switch {
	case w.hijacked && !w.committed && c.withdraw():
		return
	case w.hijacked:
		c.end(request, nil)
		if w.committed {
			// The switch of protocols was told before.
			c.end(response, nil)
		} else {
			// What was written to the connection itself is not known.
			c.fail(response, "hijacked")
		}
		return
	case !returned:
		c.endRequestBody()
		c.fail(response, "handler panicked")
		return
	case !w.committed && (cause == nil || r.Method == http.MethodConnect):
		// The server sends this for a handler that writes nothing.
		w.commit(http.StatusOK)
		w.settleFound(nil)
	}
	c.endRequestBody()
	switch {
	case w.failed != nil:
		c.fail(response, w.failed.Error())
	case cause != nil && !w.bodyless && !c.isWhole(response):
		c.fail(response, cause.Error())
	default:
		c.endHTTP(w.trailers())
	}
}
