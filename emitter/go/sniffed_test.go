package reassemble

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// flushed writes pieces, and flushes after each.
func flushed(w http.ResponseWriter, pieces ...string) {
	for _, piece := range pieces {
		io.WriteString(w, piece)
		w.(http.Flusher).Flush()
	}
}

func TestTheContentTypeThatTheServerFindsIsCaptured(t *testing.T) {
	long := strings.Repeat("<p>", 1000)
	answers := map[string]http.HandlerFunc{
		"html": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"long": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>"+long) },
		"pieces": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("<ht"))
			w.Write([]byte("ml>"))
			io.WriteString(w, long)
		},
		"flushed": func(w http.ResponseWriter, _ *http.Request) { flushed(w, "<ht", "ml>") },
		"empty":   func(w http.ResponseWriter, _ *http.Request) { flushed(w, "", "<html>") },
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); io.WriteString(w, "%PDF-") },
		"no body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "<html>")
		},
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, "<html>")
		},
		"own": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			io.WriteString(w, "<html>")
		},
		"too late": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			w.Header().Set("Content-Type", "a/b")
			io.WriteString(w, "x")
		},
		"copied": func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, strings.NewReader("%PDF-"+long)) },
		"copied on": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "%P")
			io.Copy(w, strings.NewReader("DF-"+long))
		},
		"picture": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "GIF89a"); io.WriteString(w, long) },
	}
	for _, isHTTP2 := range []bool{false, true} {
		e, k := emit(t, SkipBodyTypes("image/*"))
		server := httptest.NewUnstartedServer(e.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answers[r.URL.Query().Get("as")](w, r)
		})))
		server.EnableHTTP2 = isHTTP2
		server.StartTLS()
		defer server.Close()
		seen := make(map[string]string)
		for name := range answers {
			for _, method := range []string{"GET", "HEAD"} {
				url := fmt.Sprintf("/%s?as=%s", method, strings.ReplaceAll(name, " ", "%20"))
				request, err := http.NewRequest(method, server.URL+url, nil)
				must(t, err)
				answer, err := server.Client().Do(request)
				must(t, err)
				body, err := io.ReadAll(answer.Body)
				must(t, err)
				answer.Body.Close()
				seen[url] = answer.Header.Get("Content-Type") + string(body)
			}
		}
		finished(t, e, uint64(len(seen)))
		c := k.read()
		for url, want := range seen {
			x := c.of("in", url).res
			captured := x.head.header("content-type") + string(x.body)
			if url == "/GET?as=picture" {
				equal(t, url, captured+x.tail.said(), `image/gif"" true 3006`)
				continue
			}
			equal(t, fmt.Sprint(url, " of HTTP/2: ", isHTTP2), captured+x.tail.said(), want+whole)
		}
		equal(t, "found", seen["/GET?as=pieces"], "text/html; charset=utf-8<html>"+long)
	}
}
