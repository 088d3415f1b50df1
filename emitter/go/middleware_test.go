package reassemble

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve starts a server whose handler is captured.
func serve(t *testing.T, handler http.Handler, options ...Option) (*httptest.Server, *Emitter, *kept) {
	t.Helper()
	e, k := emit(t, options...)
	server := httptest.NewUnstartedServer(e.Middleware(handler))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return server, e, k
}

func ask(t *testing.T, method, url string, body io.Reader, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, body)
	must(t, err)
	for at := 0; at < len(headers); at += 2 {
		request.Header.Add(headers[at], headers[at+1])
	}
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer, string(text)
}

func pattern(length, seed int) []byte {
	out := make([]byte, length)
	for at := range out {
		out[at] = byte((at*31 + seed*7) >> 3)
	}
	return out
}

// chunked hides a reader's length.
type chunked struct{ io.Reader }

func TestBodiesOfAllSizesAreCapturedWhileManyRun(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		io.Copy(w, r.Body)
	})
	server, e, k := serve(t, echo, BodyLimit(8<<20), QueueLimit(256<<20))
	sizes := []int{0, 1, 2, 100, 4095, 4096, 4097, 65_536, 300_000, 3_000_000}
	var wait sync.WaitGroup
	room := make(chan struct{}, 8)
	for n := range 60 {
		wait.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			body := pattern(sizes[n%len(sizes)], n)
			var from io.Reader = bytes.NewReader(body)
			if n%2 == 1 {
				from = chunked{from}
			}
			_, got := ask(t, "POST", fmt.Sprint(server.URL, "/echo/", n), from)
			equal(t, "the client's body is unchanged", got == string(body), true)
		})
	}
	wait.Wait()
	finished(t, e, 60)
	c := k.read()
	for n := range 60 {
		x := c.of("in", fmt.Sprint("/echo/", n))
		body := pattern(sizes[n%len(sizes)], n)
		equal(t, "request", bytes.Equal(x.req.body, body), true)
		equal(t, "response", bytes.Equal(x.res.body, body), true)
		equal(t, "tails", x.req.tail.said()+x.res.tail.said(), whole+whole)
	}
	if c.longest > 4096 {
		t.Errorf("a line of %d bytes", c.longest)
	}
}

func TestARequestIsToldAsItCameAndWithoutItsSecrets(t *testing.T) {
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["x-lower"] = []string{"2", "1"}
		w.Header().Set("Set-Cookie", "s=1")
		w.WriteHeader(201)
		io.WriteString(w, "text")
	}))
	trace := drawTraceParent().String()
	ask(t, "GET", server.URL+"/a%2Fb?q=%20x&token=s3cret", nil,
		"Authorization", "Bearer s3cret", "Traceparent", trace, "X-Latin", "caf\xe9", "B", "2", "B", "1")
	finished(t, e, 1)
	x := k.read().of("in", "token=[redacted]")
	h := x.req.head
	equal(t, "url", h.URL, server.URL+"/a%2Fb?q=%20x&token=[redacted]")
	equal(t, "head", h.Dir+h.Proto+h.Method+h.Trace+h.Why, "inhttp/1.1GET"+trace+"all")
	equal(t, "headers", h.header("authorization")+h.header("x-latin")+h.header("b")+h.header("host"),
		"[redacted]café2|1"+strings.TrimPrefix(server.URL, "http://"))
	for at := 1; at < len(h.Headers); at++ {
		if h.Headers[at-1][0] > h.Headers[at][0] {
			t.Errorf("headers are not sorted: %v", h.Headers)
		}
	}
	if !strings.HasPrefix(h.Peer, "127.0.0.1:") {
		t.Errorf("peer %q", h.Peer)
	}
	equal(t, "response", fmt.Sprint(x.res.head.Status, x.res.head.header("set-cookie"), x.res.head.header("x-lower"), string(x.res.body)),
		"201[redacted]2|1text")
	equal(t, "tails", x.req.tail.said()+x.res.tail.said(), whole+whole)
}

func TestStatusesWithoutABodyAndHeadRequestsEndClean(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	mux.HandleFunc("/forbidden", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(204)
		io.WriteString(w, "not sent")
	})
	mux.HandleFunc("/same", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) })
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "sorry", 500) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, strings.Repeat("x", 1000))
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(202)
	})
	server, e, k := serve(t, mux)
	for _, path := range []string{"/empty", "/forbidden", "/same", "/nothing", "/broken", "/early", "/none"} {
		ask(t, "GET", server.URL+path, nil)
	}
	ask(t, "HEAD", server.URL+"/file", nil)
	finished(t, e, 8)
	c := k.read()
	for path, want := range map[string]string{
		"/empty": "204 0", "/forbidden": "204 0", "/same": "304 0", "/nothing": "200 0", "/broken": "500 6", "/early": "202 0", "/none": "404 19", "/file": "200 0",
	} {
		x := c.of("in", path)
		equal(t, path, fmt.Sprint(x.res.head.Status, " ", len(x.res.body), x.res.tail.said()), want+whole)
		equal(t, path, x.req.tail.said(), whole)
	}
}

func TestABodyThatTheHandlerDoesNotReadIsTold(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ignored", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/some", func(_ http.ResponseWriter, r *http.Request) { io.ReadFull(r.Body, make([]byte, 10)) })
	server, e, k := serve(t, mux)
	body := func() io.Reader { return strings.NewReader(strings.Repeat("a", 30)) }
	ask(t, "POST", server.URL+"/ignored", body())
	ask(t, "POST", server.URL+"/some", body())
	ask(t, "POST", server.URL+"/some?chunked", chunked{body()})
	ask(t, "POST", server.URL+"/some?whole", strings.NewReader("0123456789"))
	finished(t, e, 4)
	c := k.read()
	equal(t, "ignored", c.of("in", "/ignored").req.tail.said(), `"body not read" true 30`)
	equal(t, "some", c.of("in", "/some").req.tail.said(), `"body not read to its end" true 30`)
	equal(t, "chunked", c.of("in", "?chunked").req.tail.said(), `"body not read to its end" true -`)
	equal(t, "as many bytes as declared", c.of("in", "?whole").req.tail.said(), whole)
}

func TestPanicsPassThroughAndAreTold(t *testing.T) {
	seen := make(chan any, 3)
	mux := http.NewServeMux()
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("s3cret") })
	mux.HandleFunc("/abort", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	e, k := emit(t)
	captured := e.Middleware(mux)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			seen <- fault
			panic(http.ErrAbortHandler)
		}()
		captured.ServeHTTP(w, r)
	}))
	defer server.Close()
	for _, path := range []string{"/panic", "/abort"} {
		answer, err := http.Get(server.URL + path)
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the client saw a whole response", path)
		}
	}
	equal(t, "the panic", <-seen, any("s3cret"))
	equal(t, "the abort", <-seen, any(http.ErrAbortHandler))
	finished(t, e, 2)
	c := k.read()
	failed := c.of("in", "/panic").res
	equal(t, "panic", fmt.Sprint(failed.head.Status, failed.tail.said()), `<nil>"handler panicked" true -`)
	aborted := c.of("in", "/abort").res
	equal(t, "abort", fmt.Sprint(aborted.head.Status, string(aborted.body), aborted.tail.said()), `200some"handler panicked" true -`)
}

func TestAClientThatHangsUpLeavesATruncatedCapture(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	server, e, k := serve(t, mux)
	answer, err := http.Get(server.URL + "/endless")
	must(t, err)
	io.ReadFull(answer.Body, make([]byte, 10))
	answer.Body.Close()
	for path, text := range map[string]string{"/slow": "", "/upload": "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nstart"} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		must(t, err)
		if text == "" {
			text = "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n"
		}
		io.WriteString(conn, text)
		for e.Counts().Begun < 2 {
			time.Sleep(time.Millisecond)
		}
		conn.Close()
	}
	finished(t, e, 3)
	c := k.read()
	endless, slow, upload := c.of("in", "/endless").res, c.of("in", "/slow").res, c.of("in", "/upload").req
	if endless.tail.Error == "" || !endless.tail.Truncated || len(endless.body) == 0 {
		t.Errorf("%+v", endless.tail)
	}
	equal(t, "slow", fmt.Sprint(slow.head.Status, slow.tail.said()), `<nil>"context canceled" true -`)
	equal(t, "upload", string(upload.body)+upload.tail.said(), `start"unexpected EOF" true 100`)
}

func TestStreamsPassAtTheirPace(t *testing.T) {
	next := make(chan struct{})
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			io.WriteString(w, "data: x\n\n")
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	answer, err := http.Get(server.URL + "/events")
	must(t, err)
	for range 3 {
		event := make([]byte, 9)
		_, err := io.ReadFull(answer.Body, event)
		must(t, err)
		equal(t, "event", string(event), "data: x\n\n")
		next <- struct{}{}
	}
	answer.Body.Close()
	finished(t, e, 1)
	equal(t, "body", string(k.read().of("in", "/events").res.body), strings.Repeat("data: x\n\n", 3))
}

func TestTrailersAndTheStatusOfGRPCAreTold(t *testing.T) {
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc+proto")
		w.Header().Set("Trailer", "Grpc-Status, B")
		io.WriteString(w, "message")
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set(http.TrailerPrefix+"A", "late")
		w.Header().Set(http.TrailerPrefix+"X-Api-Key", "s3cret")
	}))
	request, err := http.NewRequest("POST", server.URL+"/pkg.Svc/Call", chunked{strings.NewReader("asked")})
	must(t, err)
	request.Header.Set("Content-Type", "application/grpc")
	request.Trailer = http.Header{"Sum": {"7"}}
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	equal(t, "the client's trailers", answer.Trailer.Get("Grpc-Status")+answer.Trailer.Get("A"), "5late")
	finished(t, e, 1)
	x := k.read().of("in", "/pkg.Svc/Call")
	equal(t, "request", x.req.head.Proto+fmt.Sprint(x.req.tail.Trailers), "grpc[[Sum 7]]")
	equal(t, "response", fmt.Sprint(x.res.head.Status, x.res.tail.Status, x.res.tail.Trailers), "<nil>NOT_FOUND[[A late] [Grpc-Status 5] [X-Api-Key [redacted]]]")
}

func TestAHijackedConnectionIsLeftAlone(t *testing.T) {
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.CopyN(conn, buffered, 5)
	}))
	outside, o := emit(t)
	client := &http.Client{Transport: outside.Transport(nil)}
	request, err := http.NewRequest("GET", server.URL+"/socket", nil)
	must(t, err)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "echo")
	answer, err := client.Do(request)
	must(t, err)
	socket, ok := answer.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatal("the body of the switch can't be written to")
	}
	io.WriteString(socket, "hello")
	echoed, err := bufio.NewReader(socket).ReadString('o')
	must(t, err)
	socket.Close()
	equal(t, "echo", echoed, "hello")
	finished(t, outside, 1)
	out := o.read().of("out", "/socket")
	server.Close()
	closed(t, e)
	equal(t, "captures without the response's head", len(k.read().exchanges), 0)
	equal(t, "counts", e.Counts(), Counts{})
	equal(t, "kept room", e.queue.bytes, 0)
	equal(t, "out", fmt.Sprint(out.req.tail.said(), out.res.head.Status, string(out.res.body), out.res.tail.said()), whole+"101"+whole)
}

func TestWhatIsHijackedWithoutASwitchIsTold(t *testing.T) {
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		conn.Close()
	}))
	_, body := ask(t, "GET", server.URL+"/own", nil)
	equal(t, "body", body, "ok")
	finished(t, e, 1)
	x := k.read().of("in", "/own")
	equal(t, "tails", fmt.Sprint(x.req.tail.said(), x.res.head.Status, x.res.tail.said()), whole+"<nil>"+`"hijacked" true -`)
}

func TestARequestForASwitchThatIsAnsweredOtherwiseIsCaptured(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/refused", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no sockets here", 400) })
	mux.HandleFunc("/broken", func(http.ResponseWriter, *http.Request) { panic("x") })
	server, e, k := serve(t, mux)
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket"}
	ask(t, "GET", server.URL+"/refused", nil, upgrade...)
	request, err := http.NewRequest("GET", server.URL+"/broken", nil)
	must(t, err)
	request.Header.Set("Upgrade", "websocket")
	if _, err := http.DefaultClient.Do(request); err == nil {
		t.Error("a panic gave a response")
	}
	finished(t, e, 2)
	c := k.read()
	x := c.of("in", "/refused")
	equal(t, "refused", fmt.Sprint(x.req.head.Why, x.res.head.Status, string(x.res.body), x.req.tail.said(), x.res.tail.said()), "all400no sockets here\n"+whole+whole)
	equal(t, "broken", c.of("in", "/broken").req.head.Why+c.of("in", "/broken").res.tail.Error, "allhandler panicked")
}

func TestASwitchThatIsToldBeforeTheHijackEndsClean(t *testing.T) {
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "bye")
		conn.Close()
	}))
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	must(t, err)
	defer conn.Close()
	io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	text, err := io.ReadAll(conn)
	must(t, err)
	if !strings.HasPrefix(string(text), "HTTP/1.1 101 ") || !strings.HasSuffix(string(text), "\r\n\r\nbye") {
		t.Errorf("the client read %q", text)
	}
	finished(t, e, 1)
	x := k.read().of("in", "/socket")
	equal(t, "response", fmt.Sprint(x.res.head.Status, string(x.res.body), x.res.tail.said()), "101"+whole)
}

func TestOptionalInterfacesAreThoseOfTheServer(t *testing.T) {
	asked := make(chan string, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, flushes := w.(http.Flusher)
		_, hijacks := w.(http.Hijacker)
		_, pushes := w.(http.Pusher)
		_, reads := w.(io.ReaderFrom)
		_ = w.(http.CloseNotifier).CloseNotify()
		deadline := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
		asked <- fmt.Sprint(flushes, hijacks, pushes, reads, deadline)
	})
	e, k := emit(t)
	server := httptest.NewUnstartedServer(e.Middleware(handler))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	answer, err := server.Client().Get(server.URL + "/2")
	must(t, err)
	answer.Body.Close()
	equal(t, "of HTTP/2", <-asked, "true false true true <nil>")
	one := server.Client()
	transport := one.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	answer, err = (&http.Client{Transport: transport}).Get(server.URL + "/1")
	must(t, err)
	answer.Body.Close()
	equal(t, "of HTTP/1", <-asked, "true true false true <nil>")
	e.Middleware(handler).ServeHTTP(struct{ http.ResponseWriter }{httptest.NewRecorder()}, httptest.NewRequest("GET", "/0", nil))
	equal(t, "of a plain writer", <-asked, "false false false true feature not supported")
	finished(t, e, 3)
	c := k.read()
	equal(t, "protocols", c.of("in", "/2").req.head.Proto+c.of("in", "/1").req.head.Proto, "h2http/1.1")
	equal(t, "url", c.of("in", "/2").req.head.URL, server.URL+"/2")
}

func TestAFileIsServedWholeWhetherCapturedOrNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.bin")
	must(t, os.WriteFile(path, pattern(300_000, 1), 0o600))
	server, e, k := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/video" {
			w.Header().Set("Content-Type", "Video/MP4; x=1")
		}
		http.ServeFile(w, r, path)
	}), SkipBodyTypes("video/*"))
	for _, url := range []string{"/file", "/video"} {
		_, body := ask(t, "GET", server.URL+url, nil)
		equal(t, url, body == string(pattern(300_000, 1)), true)
	}
	finished(t, e, 2)
	c := k.read()
	equal(t, "file", string(c.of("in", "/file").res.body) == string(pattern(300_000, 1)), true)
	equal(t, "video", string(c.of("in", "/video").res.body)+c.of("in", "/video").res.tail.said(), `"" true 300000`)
}

func TestWhatARouterOrFormNotesReachesTheServer(t *testing.T) {
	var file string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload/{id}", func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
			return
		}
		part, _, err := r.FormFile("f")
		if err != nil {
			t.Error(err)
			return
		}
		file = part.(*os.File).Name()
		part.Close()
	})
	e, _ := emit(t)
	captured := e.Middleware(mux)
	patterns := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		captured.ServeHTTP(w, r)
		patterns <- r.Pattern
	}))
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	to, err := parts.CreateFormFile("f", "f.txt")
	must(t, err)
	to.Write(make([]byte, 11<<20))
	parts.Close()
	ask(t, "POST", server.URL+"/upload/7", &form, "Content-Type", parts.FormDataContentType())
	server.Close()
	equal(t, "pattern", <-patterns, "POST /upload/{id}")
	if _, err := os.Stat(file); file == "" || !os.IsNotExist(err) {
		t.Errorf("%q was not removed: %v", file, err)
	}
}

func TestFiltersLeaveOutWithoutCounting(t *testing.T) {
	trace := make(chan TraceParent, 10)
	server, e, k := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { trace <- Trace(r.Context()) }),
		OnlyPaths("/api/*"), SkipPaths("/api/health"), SkipMethods("options"))
	for _, path := range []string{"/api/a", "/api/health", "/other", "/api/healthy?x=/api"} {
		ask(t, "GET", server.URL+path, nil)
	}
	ask(t, "OPTIONS", server.URL+"/api/o", nil)
	for range 5 {
		if (<-trace).IsZero() {
			t.Error("a request without a trace")
		}
	}
	finished(t, e, 2)
	c := k.read()
	c.of("in", "/api/a")
	c.of("in", "/api/healthy?x=/api")
	equal(t, "counts", e.Counts(), Counts{Begun: 2, Finished: 2})
}

func TestTheSchemeOfClientsCanBeSet(t *testing.T) {
	server, e, k := serve(t, http.NotFoundHandler(), Scheme("https"))
	ask(t, "GET", server.URL+"/x", nil)
	finished(t, e, 1)
	equal(t, "url", k.read().of("in", "/x").req.head.URL, "https"+strings.TrimPrefix(server.URL, "http")+"/x")
}

func TestAContextThatEndsAloneDoesNotBreakAResponse(t *testing.T) {
	e, k := emit(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	recorder := httptest.NewRecorder()
	handler := e.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "whole")
	}))
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, "GET", "/x", nil))
	finished(t, e, 1)
	equal(t, "tail", k.read().of("in", "/x").res.tail.said(), whole)
}
