package reassemble

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// kept is an output in memory. Each write must be one whole line.
type kept struct {
	t  *testing.T
	mu sync.Mutex
	b  bytes.Buffer
}

func (k *kept) Write(text []byte) (int, error) {
	if bytes.IndexByte(text, '\n') != len(text)-1 {
		k.t.Errorf("a write is not one line: %q", text)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(text)
}

func (k *kept) read() *captures {
	k.mu.Lock()
	defer k.mu.Unlock()
	return readCaptures(k.t, k.b.Bytes())
}

// emit makes an emitter that keeps its lines, and closes it when the test ends.
func emit(t *testing.T, options ...Option) (*Emitter, *kept) {
	t.Helper()
	k := &kept{t: t}
	e, err := New(append([]Option{Service("test"), OutputWriter(k)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, e) })
	return e, k
}

func closed(t *testing.T, e *Emitter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
}

// finished waits until so many captures have ended.
func finished(t *testing.T, e *Emitter, count uint64) {
	t.Helper()
	for deadline := time.Now().Add(patience); e.Counts().Finished < count; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v instead of %d", e.Counts(), count)
		}
	}
}

type record struct {
	Cap1  string          `json:"cap1"`
	Part  string          `json:"part"`
	Seq   int             `json:"seq"`
	Head  json.RawMessage `json:"head"`
	HeadF string          `json:"headf"`
	Text  *string         `json:"text"`
	B64   *string         `json:"b64"`
	CRC   string          `json:"crc"`
	Of    int             `json:"of"`
	Tail  json.RawMessage `json:"tail"`
	TailF string          `json:"tailf"`
	Sig   string          `json:"sig"`
}

type readHead struct {
	TS, Service, Host, Inst  string
	N                        uint64
	Dir, Proto, Method, URL  string
	Headers                  [][2]string
	Peer, Trace, Parent, Why string
	Tags                     map[string]string
	Rate                     float64
	OneWay                   bool
	US                       *uint64
	Status                   any
	Begun, Finished, Dropped uint64
	SampledOut               uint64 `json:"sampled_out"`
}

// header gives the values of a header, joined by `|`.
func (h *readHead) header(name string) string {
	var values []string
	for _, pair := range h.Headers {
		if strings.EqualFold(pair[0], name) {
			values = append(values, pair[1])
		}
	}
	return strings.Join(values, "|")
}

type readTail struct {
	Len       int
	CRC       string
	US        *uint64
	Status    any
	Trailers  [][2]string
	Error     string
	Truncated bool
	FullLen   *int64 `json:"full_len"`
}

// said is what a tail says of how the part ended.
func (t *readTail) said() string {
	full := "-"
	if t.FullLen != nil {
		full = fmt.Sprint(*t.FullLen)
	}
	return fmt.Sprintf("%q %t %s", t.Error, t.Truncated, full)
}

// whole is what a tail says where the body was captured whole.
const whole = `"" false -`

type readPart struct {
	head         readHead
	tail         readTail
	body         []byte
	chunks       int
	headf, tailf string
	ended        bool
}

type exchange struct{ req, res *readPart }

// captures is a log, read strictly.
type captures struct {
	t         *testing.T
	exchanges map[string]*exchange
	metas     []readHead
	longest   int
	unsigned  int
	lines     int
}

func readCaptures(t *testing.T, log []byte) *captures {
	t.Helper()
	c := &captures{t: t, exchanges: make(map[string]*exchange)}
	for text := range bytes.Lines(log) {
		c.longest = max(c.longest, len(text))
		c.lines++
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if r.Sig == "" || r.Head != nil || r.Tail != nil {
			c.unsigned++
		}
		c.add(&r)
	}
	return c
}

func (c *captures) add(r *record) {
	if r.Part == "meta" {
		var head readHead
		text := []byte(r.HeadF)
		if r.Head != nil {
			text = r.Head
		}
		must(c.t, json.Unmarshal(text, &head))
		c.metas = append(c.metas, head)
		return
	}
	e := c.exchanges[r.Cap1]
	if e == nil {
		e = &exchange{}
		c.exchanges[r.Cap1] = e
	}
	at := &e.req
	if r.Part == "res" {
		at = &e.res
	}
	if *at == nil {
		*at = &readPart{}
	}
	p := *at
	if r.Seq != p.chunks || p.ended {
		c.t.Errorf("%s %s: chunk %d where %d is due", r.Cap1, r.Part, r.Seq, p.chunks)
	}
	p.chunks++
	var piece []byte
	if r.Text != nil {
		piece = []byte(*r.Text)
	} else if r.B64 != nil {
		var err error
		piece, err = base64.StdEncoding.DecodeString(*r.B64)
		must(c.t, err)
	}
	if crc := fmt.Sprintf("%08x", crc32.ChecksumIEEE(piece)); len(piece) > 0 && crc != r.CRC {
		c.t.Errorf("%s %s %d: crc is %s, not %s", r.Cap1, r.Part, r.Seq, crc, r.CRC)
	}
	p.body = append(p.body, piece...)
	p.headf += r.HeadF
	p.tailf += r.TailF
	if r.Head != nil {
		must(c.t, json.Unmarshal(r.Head, &p.head))
	}
	if r.Of == 0 {
		return
	}
	p.ended = true
	tail := []byte(p.tailf)
	if r.Tail != nil {
		tail = r.Tail
	}
	must(c.t, json.Unmarshal(tail, &p.tail))
	if p.headf != "" {
		must(c.t, json.Unmarshal([]byte(p.headf), &p.head))
	}
	if crc := fmt.Sprintf("%08x", crc32.ChecksumIEEE(p.body)); r.Of != p.chunks || p.tail.Len != len(p.body) || p.tail.CRC != crc {
		c.t.Errorf("%s %s is not whole: %d of %d chunks, %d of %d bytes", r.Cap1, r.Part, p.chunks, r.Of, len(p.body), p.tail.Len)
	}
}

// of gives the exchange whose request's URL ends so and whose direction is this. Both its parts have ended.
func (c *captures) of(dir, urlEnd string) *exchange {
	c.t.Helper()
	for _, e := range c.exchanges {
		if e.req != nil && e.req.head.Dir == dir && strings.HasSuffix(e.req.head.URL, urlEnd) {
			if !e.req.ended || e.res != nil && !e.res.ended {
				c.t.Errorf("%s %s has not ended", dir, urlEnd)
			}
			return e
		}
	}
	c.t.Fatalf("no capture of %s %s", dir, urlEnd)
	return nil
}

func (c *captures) idOf(wanted *exchange) string {
	for id, e := range c.exchanges {
		if e == wanted {
			return id
		}
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
