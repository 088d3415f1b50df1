package reassemble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestACallWithinARequestBearsItsTraceAndNamesIt(t *testing.T) {
	received := make(chan http.Header, 1)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.Header
		io.Copy(w, r.Body)
	}))
	defer behind.Close()
	e, k := emit(t)
	client := &http.Client{Transport: e.Transport(nil)}
	front := httptest.NewServer(e.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, _ := http.NewRequestWithContext(r.Context(), "POST", behind.URL+"/behind?api_key=1", strings.NewReader("asked"))
		answer, err := client.Do(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		if out.Header.Get("Traceparent") != "" {
			t.Error("the caller's request was changed")
		}
		io.Copy(w, answer.Body)
	})))
	defer front.Close()
	_, text := ask(t, "GET", front.URL+"/front", nil)
	equal(t, "answer", text, "asked")
	finished(t, e, 2)
	c := k.read()
	in, out := c.of("in", "/front"), c.of("out", "/behind?api_key=[redacted]")
	equal(t, "parent", out.req.head.Parent, c.idOf(in))
	equal(t, "trace", out.req.head.Trace, (<-received).Get("Traceparent"))
	inbound, _ := ParseTraceParent(in.req.head.Trace)
	outbound, ok := ParseTraceParent(out.req.head.Trace)
	if !ok || inbound.TraceID() != outbound.TraceID() || inbound == outbound {
		t.Errorf("%s and %s", inbound, outbound)
	}
	equal(t, "out", fmt.Sprint(string(out.req.body), string(out.res.body), out.res.head.Status, out.req.tail.said(), out.res.tail.said()),
		"askedasked200"+whole+whole)
	equal(t, "header", out.req.head.header("traceparent"), out.req.head.Trace)
}

func TestATraceThatACallBearsIsKept(t *testing.T) {
	given := drawTraceParent().String()
	received := make(chan string, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- r.Header.Get("Traceparent") }))
	defer server.Close()
	e, k := emit(t, SkipPaths("/skipped"))
	client := &http.Client{Transport: e.Transport(nil)}
	request, _ := http.NewRequest("GET", server.URL+"/given", nil)
	request.Header.Set("Traceparent", given)
	for _, r := range []*http.Request{request, httptestRequest(t, server.URL+"/skipped")} {
		answer, err := client.Do(r)
		must(t, err)
		answer.Body.Close()
	}
	equal(t, "given", <-received, given)
	if _, ok := ParseTraceParent(<-received); !ok {
		t.Error("a call that is left out bears no trace")
	}
	closed(t, e)
	equal(t, "trace", k.read().of("out", "/given").req.head.Trace, given)
	equal(t, "counts", e.Counts(), Counts{Begun: 1, Finished: 1})
}

func httptestRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	must(t, err)
	return r
}

func TestCallsThatFailOrAreDroppedAreTold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "abc")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	e, k := emit(t)
	client := &http.Client{Transport: e.Transport(nil)}
	if _, err := client.Post(nobody+"/nobody", "text/plain", strings.NewReader("asked")); err == nil {
		t.Error("somebody answers")
	}
	answer, err := client.Get(server.URL + "/endless")
	must(t, err)
	io.ReadFull(answer.Body, make([]byte, 5))
	must(t, answer.Body.Close())
	answer, err = client.Get(server.URL + "/cut")
	must(t, err)
	if _, err := io.ReadAll(answer.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	answer.Body.Close()
	finished(t, e, 3)
	c := k.read()
	failed := c.of("out", "/nobody")
	equal(t, "unsent", failed.req.tail.said(), `"body not read" true 5`)
	if !strings.Contains(failed.res.tail.Error, "connection refused") || failed.res.head.Status != nil {
		t.Errorf("%+v", failed.res)
	}
	equal(t, "dropped", string(c.of("out", "/endless").res.body)+c.of("out", "/endless").res.tail.said(),
		`xxxxx"body dropped before its end" true -`)
	equal(t, "cut", string(c.of("out", "/cut").res.body)+c.of("out", "/cut").res.tail.said(), `abc"unexpected EOF" true 10`)
}

func TestABodyThatIsSentAgainIsCapturedOnce(t *testing.T) {
	body := strings.Repeat("0123456789", 10_000)
	var received atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received.Add(n)
	}))
	defer server.Close()
	// A transport that sends half, loses the connection, and sends again: what http.Transport does where a kept connection was closed.
	again := roundTripper(func(r *http.Request) (*http.Response, error) {
		io.ReadFull(r.Body, make([]byte, len(body)/2))
		r.Body.Close()
		anew := r.Clone(r.Context())
		var err error
		if anew.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
		return http.DefaultTransport.RoundTrip(anew)
	})
	e, k := emit(t)
	answer, err := (&http.Client{Transport: e.Transport(again)}).Post(server.URL+"/again", "text/plain", strings.NewReader(body))
	must(t, err)
	answer.Body.Close()
	equal(t, "received", received.Load(), int64(len(body)))
	finished(t, e, 1)
	x := k.read().of("out", "/again")
	equal(t, "captured once", string(x.req.body) == body, true)
	equal(t, "tail", x.req.tail.said(), whole)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRedirectsAndStreamedUploadsAreCaptured(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/from", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/to", http.StatusTemporaryRedirect) })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum")
		io.Copy(w, r.Body)
		w.Header().Set("Sum", "9")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	e, k := emit(t)
	client := &http.Client{Transport: e.Transport(nil)}
	answer, err := client.Post(server.URL+"/from", "text/plain", bytes.NewReader([]byte("asked")))
	must(t, err)
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	read, write := io.Pipe()
	go func() {
		for range 5 {
			write.Write([]byte("piece"))
		}
		write.CloseWithError(io.EOF)
	}()
	answer, err = client.Post(server.URL+"/to?upload", "text/plain", read)
	must(t, err)
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	equal(t, "answer", string(text), strings.Repeat("piece", 5))
	finished(t, e, 3)
	c := k.read()
	from, to, upload := c.of("out", "/from"), c.of("out", "/to"), c.of("out", "?upload")
	equal(t, "from", fmt.Sprint(from.res.head.Status, string(from.req.body)), "307asked")
	equal(t, "to", fmt.Sprint(to.res.head.Status, string(to.req.body), string(to.res.body), to.res.tail.Trailers), "200askedasked[[Sum 9]]")
	equal(t, "upload", string(upload.req.body)+upload.req.tail.said(), strings.Repeat("piece", 5)+whole)
}

func TestAClientWithoutEmitterIsTheTransportItself(t *testing.T) {
	var off *Emitter
	equal(t, "transport", off.Transport(nil), http.DefaultTransport)
	base := &http.Transport{}
	equal(t, "transport", off.Transport(base), http.RoundTripper(base))
	if Trace(context.Background()) != (TraceParent{}) || CaptureID(context.Background()) != "" {
		t.Error("a context without a request has a trace")
	}
}

func TestBothSidesOfHTTP2AreCaptured(t *testing.T) {
	e, k := emit(t, BodyLimit(4<<20))
	server := httptest.NewUnstartedServer(e.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum")
		io.Copy(w, r.Body)
		w.Header().Set("Sum", "9")
	})))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client := &http.Client{Transport: e.Transport(server.Client().Transport)}
	body := pattern(2_000_000, 5)
	answer, err := client.Post(server.URL+"/two", "application/octet-stream", bytes.NewReader(body))
	must(t, err)
	got, err := io.ReadAll(answer.Body)
	must(t, err)
	answer.Body.Close()
	equal(t, "answer", answer.Proto+fmt.Sprint(bytes.Equal(got, body)), "HTTP/2.0true")
	finished(t, e, 2)
	c := k.read()
	for _, dir := range []string{"in", "out"} {
		x := c.of(dir, "/two")
		equal(t, dir, fmt.Sprint(bytes.Equal(x.req.body, body), bytes.Equal(x.res.body, body), x.req.tail.said(), x.res.tail.said(), x.res.tail.Trailers),
			"true true"+whole+whole+"[[Sum 9]]")
	}
	equal(t, "one trace", c.of("in", "/two").req.head.Trace, c.of("out", "/two").req.head.Trace)
}
