package reassemble

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// told captures one plain request with a body of a type, in pieces of a few bytes, and gives what is captured of it.
func told(t *testing.T, contentType, body string, options ...Option) string {
	t.Helper()
	e, k := emit(t, options...)
	c := e.Begin(context.Background(), "x", "x", "x://h").Header("content-type", contentType).Start()
	for rest := body; rest != ""; {
		n := min(len(rest), 7)
		c.RequestBody([]byte(rest[:n]))
		rest = rest[n:]
	}
	c.Finish()
	closed(t, e)
	equal(t, "kept room", e.queue.bytes, 0)
	x := k.read().of("out", "//h")
	return string(x.req.body) + x.req.tail.said()
}

func TestBodiesLoseWhatStandsUnderListedNames(t *testing.T) {
	const secret, redacted = `{"user":"ann","password":"s3cret"}`, `{"user":"ann","password":"[redacted]"}`
	equal(t, "json", told(t, "application/JSON; charset=utf-8", secret), redacted+whole)
	equal(t, "problem", told(t, "application/problem+json", secret), redacted+whole)
	equal(t, "lines", told(t, "application/x-ndjson", secret+"\n"+secret), redacted+"\n"+redacted+whole)
	equal(t, "form", told(t, "application/x-www-form-urlencoded", "a=1&token=s3cret&b"), "a=1&token=[redacted]&b"+whole)
	equal(t, "text is not looked at", told(t, "text/plain", secret), secret+whole)
	equal(t, "off", told(t, "application/json", secret, RedactBodies(false)), secret+whole)
	equal(t, "a name of one's own", told(t, "application/json", `{"Pin":7}`, RedactNames("pin")), `{"Pin":"[redacted]"}`+whole)
	equal(t, "no JSON", told(t, "application/json", "password=s3cret"), `"redact_syntax" true 15`)
	equal(t, "no text", told(t, "application/json", "\"\xff\""), `"redact_syntax" true 3`)
	equal(t, "long", told(t, "application/json", `"`+strings.Repeat("x", 100)+`"`, RedactBuffer(101)), `"redact_buffer" true 102`)
	equal(t, "longer than both limits", told(t, "application/json", strings.Repeat(" ", 3000), RedactBuffer(10), BodyLimit(100)), `"redact_buffer" true 3000`)
	equal(t, "just not", len(told(t, "application/json", `"`+strings.Repeat("x", 100)+`"`, RedactBuffer(102))), 102+len(whole))
	equal(t, "cut", told(t, "application/json", secret, BodyLimit(10)), fmt.Sprintf(`"redact_buffer" true %d`, len(secret)))
	equal(t, "empty", told(t, "application/json", ""), whole)
}

func TestABodyThatEndsEarlyOrIsEncodedIsNotLookedThrough(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/unread", func(_ http.ResponseWriter, r *http.Request) { io.ReadFull(r.Body, make([]byte, 5)) })
	mux.HandleFunc("/encoded", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "x-own")
		io.WriteString(w, "not JSON")
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"session":{"id":7}}`)
	})
	server, e, k := serve(t, mux)
	ask(t, "POST", server.URL+"/unread", strings.NewReader(`{"password":"s3cret"}`), "Content-Type", "application/json")
	ask(t, "POST", server.URL+"/encoded?none", strings.NewReader(""), "Content-Type", "application/json")
	_, seen := ask(t, "GET", server.URL+"/json", nil)
	finished(t, e, 3)
	c := k.read()
	unread := c.of("in", "/unread").req
	equal(t, "unread", string(unread.body)+unread.tail.said(), `"body not read to its end" true 21`)
	encoded := c.of("in", "?none")
	equal(t, "encoded", string(encoded.res.body)+encoded.res.tail.said()+encoded.req.tail.said(), "not JSON"+whole+whole)
	equal(t, "json", string(c.of("in", "/json").res.body), `{"session":"[redacted]"}`)
	equal(t, "the client's is unchanged", seen, `{"session":{"id":7}}`)
}
