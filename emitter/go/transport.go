package reassemble

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

// Transport gives a http.RoundTripper that captures what is asked through base, or through http.DefaultTransport where base is nil:
// &http.Client{Transport: e.Transport(nil)}.
//
// A request without a `traceparent` gets one: within a request that Middleware serves it continues that trace, and the capture names the
// inbound one as its `parent`. Each redirect is a capture of its own. The response's body must be closed, as always; its capture ends then.
func (e *Emitter) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if e.isOff() {
		return base
	}
	return &transport{e, base}
}

type transport struct {
	emitter *Emitter
	base    http.RoundTripper
}

// CloseIdleConnections passes on what http.Client asks of its transport.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// RoundTrip asks, and leaves the request itself as it is.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		// The base says what is wrong with it.
		return t.base.RoundTrip(r)
	}
	asked := new(http.Request)
	*asked = *r
	trace := outboundTrace(r.Context(), r.Header)
	if r.Header.Get(traceHeader) == "" {
		if asked.Header = r.Header.Clone(); asked.Header == nil {
			asked.Header = make(http.Header)
		}
		asked.Header.Set(traceHeader, trace.String())
	}
	c := t.begin(asked, trace)
	if c == nil {
		return t.base.RoundTrip(asked)
	}
	c.takeSentBody(asked)
	answer, err := t.base.RoundTrip(asked)
	if err != nil {
		c.endRequestBody()
		c.fail(response, err.Error())
		return answer, err
	}
	c.takeAnswer(r.Method, answer)
	return answer, nil
}

func (t *transport) begin(r *http.Request, trace TraceParent) *capture {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	url := r.URL.String()
	if !t.emitter.letsHTTP(method, url) {
		return nil
	}
	began := time.Now()
	var host []line.Pair
	if r.Host != "" && r.Host != r.URL.Host {
		host = []line.Pair{{Name: "Host", Value: r.Host}}
	}
	start := &line.RequestHead{
		Dir: "out", Proto: protocol(1, 1, r.Header), Method: method, URL: url, Headers: flatten(r.Header, host...), Unordered: true,
		Parent: linkOf(r.Context()).id,
	}
	return t.emitter.begin(drawID(began), began, trace, start, func() string { return endpointOf(method, pathOf(url)) })
}

// takeSentBody captures the request's body as the transport reads it, once, however often it is sent.
func (c *capture) takeSentBody(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.Method == http.MethodConnect {
		c.end(request, nil)
		return
	}
	c.filterBody(request, r.Header.Get("Content-Type"))
	if r.ContentLength > 0 {
		c.expect(request, r.ContentLength)
	}
	captured := &position{}
	wrap := func(body io.ReadCloser) io.ReadCloser {
		return &bodyReader{ReadCloser: body, capture: c, half: request, captured: captured, ended: func(err error) {
			if errors.Is(err, io.EOF) {
				c.end(request, trailerPairs(r.Trailer))
			} else {
				c.fail(request, err.Error())
			}
		}}
	}
	r.Body = wrap(r.Body)
	if get := r.GetBody; get != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := get()
			if err != nil {
				return nil, err
			}
			return wrap(body), nil
		}
	}
}

// takeAnswer captures the response. Of the request's body what is sent until its end counts.
func (c *capture) takeAnswer(method string, answer *http.Response) {
	c.respond(responseHead(answer.StatusCode, answer.Header))
	// What flows behind a switch of protocols or through a tunnel is no body, and its reader can be written to: it stays as it is.
	isTunnel := method == http.MethodConnect
	if isTunnel || hasNoBody(method, answer.StatusCode) || answer.Body == nil || answer.Body == http.NoBody {
		c.endRequestBody()
		c.endHTTP(answer.Trailer)
		return
	}
	c.filterBody(response, answer.Header.Get("Content-Type"))
	c.expect(response, answer.ContentLength)
	answer.Body = &answerBody{bodyReader{
		ReadCloser: answer.Body, capture: c, half: response, captured: &position{}, ended: func(err error) {
			c.endRequestBody()
			if errors.Is(err, io.EOF) {
				c.endHTTP(answer.Trailer)
			} else {
				c.fail(response, err.Error())
			}
		},
	}}
}

// answerBody is a response's body, whose capture ends at the latest when it is closed.
type answerBody struct{ bodyReader }

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.capture.endRequestBody()
	if b.capture.isWhole(response) {
		b.capture.end(response, nil)
	} else {
		b.capture.fail(response, "body dropped before its end")
	}
	return err
}
