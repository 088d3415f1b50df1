package reassemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSamplingDecidesByTheTraceAsEveryLanguageDoes(t *testing.T) {
	// CRC-32 of "123456789" is cbf43926.
	edge := float64(0xcbf43926) / (1 << 32)
	equal(t, "just below", isSampled("123456789", edge), false)
	equal(t, "just above", isSampled("123456789", edge+1e-9), true)
	equal(t, "none", isSampled("123456789", 0), false)
	e, k := emit(t, SampleRate(0.3))
	taken := 0
	for range 400 {
		trace := drawTraceParent()
		first := e.Begin(context.Background(), "x", "x", "x://1").Trace(trace).Start()
		second := e.Begin(context.Background(), "x", "x", "x://2").Trace(trace.child()).Start()
		equal(t, "one trace, one choice", first.ID() == "", second.ID() == "")
		if first.ID() != "" {
			taken++
		}
		first.Finish()
		second.Finish()
	}
	// Of 400 drawn at 0.3 fewer than 40 or more than 200 come in less than one run in a billion.
	if taken < 40 || taken > 200 {
		t.Errorf("%d of 400 at 0.3", taken)
	}
	closed(t, e)
	equal(t, "counts", e.Counts(), Counts{Begun: uint64(2 * taken), Finished: uint64(2 * taken), SampledOut: uint64(800 - 2*taken)})
	h := k.read().of("out", "//1").req.head
	equal(t, "why", fmt.Sprint(h.Why, h.Rate), "sample0.3")
}

func TestSamplingByIDLeavesTheTraceAside(t *testing.T) {
	e, _ := emit(t, SampleRate(0.5), SampleBy(ByID))
	trace := drawTraceParent()
	for range 200 {
		e.Begin(context.Background(), "x", "x", "x://1").Trace(trace).Start().Finish()
	}
	if c := e.Counts(); c.Begun == 0 || c.SampledOut == 0 {
		t.Errorf("one trace decided alone: %+v", c)
	}
}

func TestTheRateLimitIsEachEndpointsOwn(t *testing.T) {
	l := newRateLimit(2)
	at := time.Now()
	takes := func(endpoint string, now time.Time) string {
		taken := 0
		for l.takes(endpoint, now) {
			taken++
		}
		return fmt.Sprint(taken)
	}
	equal(t, "a full bucket", takes("a", at)+takes("b", at), "22")
	equal(t, "half a second later", takes("a", at.Add(500*time.Millisecond)), "1")
	equal(t, "long after", takes("a", at.Add(time.Hour)), "2")
	for n := range maxEndpoints + 10 {
		takes(fmt.Sprint("e", n), at)
	}
	equal(t, "buckets", len(l.buckets), maxEndpoints)
	equal(t, "later endpoints share one", takes("z", at)+takes("y", at), "00")
	slow := newRateLimit(0.1)
	equal(t, "at least one", slow.takes("a", at), true)
	equal(t, "and no more", slow.takes("a", at.Add(5*time.Second)), false)
}

func TestEndpointsAreNamedByRouteOrShape(t *testing.T) {
	for path, want := range map[string]string{
		"/orders/17/items": "GET /orders/*/items", "/": "GET /", "/a/" + strings.Repeat("x", 32): "GET /a/" + strings.Repeat("x", 32),
		"/a/" + strings.Repeat("é", 33): "GET /a/*", "": "GET ",
	} {
		equal(t, path, endpointOf("GET", path), want)
	}
	for url, want := range map[string]string{
		"http://h/a/b?c=/d": "/a/b", "http://h": "/", "http://h?x": "/", "/a?b": "/a", "/a//b://c": "/a//b://c", "*": "*", "/a#b": "/a",
	} {
		equal(t, url, pathOf(url), want)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{name}", func(http.ResponseWriter, *http.Request) {})
	server, e, k := serve(t, mux, RateLimit(1))
	for _, name := range []string{"ann", "bob", "eve"} {
		ask(t, "GET", server.URL+"/users/"+name, nil)
	}
	closed(t, e)
	c := k.read()
	equal(t, "why", c.of("in", "/users/ann").req.head.Why, "limit")
	// Each of the three is within a second of the first but on a machine that stands still.
	if counts := e.Counts(); counts.SampledOut == 0 || counts.Begun+counts.SampledOut != 3 {
		t.Errorf("%+v", counts)
	}
}

func TestErrorsAreCapturedThoughSampledOut(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/fine", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(503)
		w.Write(body[:min(len(body), 5)])
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(500)
		io.Copy(io.Discard, r.Body)
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("x") })
	server, e, k := serve(t, mux, SampleRate(0), AlwaysErrors(true))
	ask(t, "POST", server.URL+"/fine", strings.NewReader("fine"))
	ask(t, "POST", server.URL+"/broken", strings.NewReader("broken"))
	ask(t, "POST", server.URL+"/broken?long", strings.NewReader(strings.Repeat("x", 70_000)))
	ask(t, "POST", server.URL+"/early", strings.NewReader("early"))
	if _, err := http.Post(server.URL+"/panic", "text/plain", nil); err == nil {
		t.Error("a panic gave a response")
	}
	finished(t, e, 4)
	closed(t, e)
	c := k.read()
	equal(t, "counts", e.Counts(), Counts{Begun: 4, Finished: 4, SampledOut: 1})
	broken := c.of("in", "/broken")
	equal(t, "broken", fmt.Sprint(broken.req.head.Why, broken.req.head.Rate, string(broken.req.body), string(broken.res.body), broken.req.tail.said()),
		"error0brokenbroke"+whole)
	long := c.of("in", "?long")
	equal(t, "long", fmt.Sprint(len(long.req.body), long.req.tail.said()), `65536"" true 70000`)
	equal(t, "early", string(c.of("in", "/early").req.body), "early")
	equal(t, "panic", c.of("in", "/panic").res.tail.Error, "handler panicked")
	equal(t, "kept room", e.queue.bytes, 0)
}

func TestAnEmptyBodyOfATypeThatIsLeftOutIsWhole(t *testing.T) {
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		io.Copy(w, r.Body)
	}), SkipBodyTypes("image/*"))
	for path, body := range map[string]string{"/empty": "", "/some": "png"} {
		// What hides its length may be empty too.
		ask(t, "POST", server.URL+path, chunked{strings.NewReader(body)}, "Content-Type", "image/png")
	}
	finished(t, e, 2)
	c := k.read()
	equal(t, "empty", c.of("in", "/empty").req.tail.said()+c.of("in", "/empty").res.tail.said(), whole+whole)
	equal(t, "some", c.of("in", "/some").req.tail.said()+c.of("in", "/some").res.tail.said(), `"" true 3`+`"" true 3`)
}

func TestARequestWhoseClientHungUpBeforeTheResponseIsCapturedThoughSampledOut(t *testing.T) {
	answers := map[string]func(http.ResponseWriter){
		"/silent": func(http.ResponseWriter) {},
		"/fine":   func(w http.ResponseWriter) { io.WriteString(w, "for nobody") },
	}
	reached := make(chan struct{}, 1)
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		reached <- struct{}{}
		<-r.Context().Done()
		answers[r.URL.Path](w)
	}), SampleRate(0), AlwaysErrors(true))
	ended := uint64(0)
	for path := range answers {
		ctx, hangUp := context.WithCancel(context.Background())
		request, err := http.NewRequestWithContext(ctx, "POST", server.URL+path, strings.NewReader("asked"))
		must(t, err)
		go func() {
			<-reached
			hangUp()
		}()
		if _, err := http.DefaultClient.Do(request); err == nil {
			t.Errorf("%s: a response came", path)
		}
		ended++
		finished(t, e, ended)
	}
	c := k.read()
	for path := range answers {
		x := c.of("in", path)
		equal(t, path, x.req.head.Why+string(x.req.body)+x.req.tail.said(), "errorasked"+whole)
	}
	silent := c.of("in", "/silent").res
	equal(t, "silent", fmt.Sprint(silent.head.Status, silent.tail.said()), `<nil>"context canceled" true -`)
	equal(t, "counts", e.Counts(), Counts{Begun: 2, Finished: 2})
}

func TestFailedCallsAreCapturedThoughSampledOut(t *testing.T) {
	e, k := emit(t, SampleRate(0), AlwaysErrors(true))
	client := &http.Client{Transport: e.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		io.ReadAll(r.Body)
		return nil, errors.New("no route")
	}))}
	if _, err := client.Post("http://h.test/x", "text/plain", strings.NewReader("asked")); err == nil {
		t.Error("no error")
	}
	failed := e.Begin(context.Background(), "postgres", "query", "postgres://db").OneWay().Start()
	failed.Error("gone")
	failed.Finish()
	e.Begin(context.Background(), "postgres", "query", "postgres://fine").OneWay().Start().Finish()
	closed(t, e)
	c := k.read()
	x := c.of("out", "h.test/x")
	equal(t, "call", string(x.req.body)+x.req.tail.said()+x.res.tail.said(), "asked"+whole+`"no route" true -`)
	equal(t, "one-way", c.of("out", "//db").req.tail.said(), `"gone" true -`)
	equal(t, "counts", e.Counts(), Counts{Begun: 2, Finished: 2, SampledOut: 1})
}

func TestWhatIsHeldCountsAgainstTheQueue(t *testing.T) {
	e, k := emit(t, SampleRate(0), AlwaysErrors(true), QueueLimit(5000))
	first := e.Begin(context.Background(), "x", "x", "x://1").Start()
	first.RequestBody(make([]byte, 3000))
	first.RequestBody(make([]byte, 3000))
	e.Begin(context.Background(), "x", "x", "x://"+strings.Repeat("2", 3000)).Start().Finish()
	first.RespondCode(500)
	first.Finish()
	closed(t, e)
	equal(t, "first", k.read().of("out", "//1").req.tail.said(), `"queue" true 6000`)
	equal(t, "counts", e.Counts(), Counts{Begun: 1, Finished: 1, Dropped: 1})
	equal(t, "kept room", e.queue.bytes, 0)
}
