package line

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxErrorBytes is the longest error that is written; a longer one is cut at a character's edge.
const MaxErrorBytes = 1024

// Pair is a header, a trailer or a tag.
type Pair struct{ Name, Value string }

// Number is a number that may be absent. The zero value is absent.
type Number struct {
	value uint64
	set   bool
}

// Of is a number that is there.
func Of(value uint64) Number { return Number{value, true} }

// Status is how a request ended: a code for HTTP, a text elsewhere. The zero value is absent.
type Status struct {
	Code int
	Text string
}

// RequestHead is the head of a `req` part. What is zero is left out.
type RequestHead struct {
	Time                time.Time
	Service, Host, Inst string
	N                   Number
	Dir, Proto, Method  string
	URL                 string
	// Headers is nil where the protocol has none; an empty list is written.
	Headers []Pair
	// Unordered says that the framework shows no order of headers: they are sorted by name.
	Unordered           bool
	Peer, Trace, Parent string
	Tags                []Pair
	// Rate is the sample rate in force, from 0 to 1; nil is absent.
	Rate         *float64
	Why, BodyEnc string
	OneWay       bool
}

// ResponseHead is the head of a `res` part.
type ResponseHead struct {
	Time    time.Time
	US      Number
	Status  Status
	Headers []Pair
	// Unordered says that the framework shows no order of headers: they are sorted by name.
	Unordered bool
	BodyEnc   string
}

// Tail is what is known when a part ends, without `len` and `crc`.
type Tail struct {
	US        Number
	Status    Status
	Trailers  []Pair
	Error     string
	Truncated bool
	FullLen   Number
}

// MetaHead is the head of a `meta` record.
type MetaHead struct {
	Time                                 time.Time
	Service, Host, Inst                  string
	Begun, Finished, Dropped, SampledOut uint64
}

// Head is a part's head.
type Head interface {
	// json gives the head's canonical text, in into's memory where it suffices.
	json(into []byte) []byte
}

func (h *RequestHead) json(into []byte) []byte {
	if h.Unordered {
		SortPairs(h.Headers)
	}
	o := object(into[:0])
	o = o.time(h.Time).text("service", h.Service).text("host", h.Host).text("inst", h.Inst).number("n", h.N)
	o = o.text("dir", h.Dir).text("proto", h.Proto).text("method", h.Method).text("url", h.URL)
	o = o.pairs("headers", h.Headers).text("peer", h.Peer).text("trace", h.Trace).text("parent", h.Parent)
	if len(h.Tags) > 0 {
		o = o.tags(h.Tags)
	}
	if h.Rate != nil {
		o = appendRate(o.key("rate"), *h.Rate)
	}
	return o.text("why", h.Why).text("body_enc", h.BodyEnc).flag("oneway", h.OneWay).end()
}

func (h *ResponseHead) json(into []byte) []byte {
	if h.Unordered {
		SortPairs(h.Headers)
	}
	o := object(into[:0])
	return o.time(h.Time).number("us", h.US).status(h.Status).pairs("headers", h.Headers).text("body_enc", h.BodyEnc).end()
}

func (h *MetaHead) json(into []byte) []byte {
	o := object(into[:0])
	o = o.time(h.Time).text("service", h.Service).text("host", h.Host).text("inst", h.Inst)
	o = o.number("begun", Of(h.Begun)).number("finished", Of(h.Finished))
	return o.number("dropped", Of(h.Dropped)).number("sampled_out", Of(h.SampledOut)).end()
}

func (t *Tail) json(into []byte, length uint64, crc uint32) []byte {
	o := object(into[:0]).number("len", Of(length))
	o = append(o.key("crc"), '"')
	o = append(appendCRC(o, crc), '"')
	o = o.number("us", t.US).status(t.Status)
	if len(t.Trailers) > 0 {
		o = o.pairs("trailers", t.Trailers)
	}
	return o.text("error", cutError(t.Error)).flag("truncated", t.Truncated).number("full_len", t.FullLen).end()
}

func cutError(text string) string {
	if len(text) <= MaxErrorBytes {
		return text
	}
	end := MaxErrorBytes
	for end > MaxErrorBytes-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// object is JSON text of an object under way: keys in the order of the calls, absent values left out.
type object []byte

func (o object) key(name string) object {
	open := byte(',')
	if len(o) == 0 {
		open = '{'
	}
	o = append(o, open, '"')
	o = append(o, name...)
	return append(o, '"', ':')
}

func (o object) text(name, value string) object {
	if value == "" {
		return o
	}
	return AppendString(o.key(name), value)
}

func (o object) time(at time.Time) object {
	if at.IsZero() {
		return o
	}
	return at.UTC().AppendFormat(o.key("ts"), `"2006-01-02T15:04:05.000000Z"`)
}

func (o object) number(name string, value Number) object {
	if !value.set {
		return o
	}
	return strconv.AppendUint(o.key(name), value.value, 10)
}

func (o object) flag(name string, set bool) object {
	if !set {
		return o
	}
	return append(o.key(name), "true"...)
}

func (o object) status(status Status) object {
	if status.Text == "" && status.Code != 0 {
		return strconv.AppendInt(o.key("status"), int64(status.Code), 10)
	}
	return o.text("status", status.Text)
}

func (o object) pairs(name string, pairs []Pair) object {
	if pairs == nil {
		return o
	}
	o = append(o.key(name), '[')
	for at, pair := range pairs {
		if at > 0 {
			o = append(o, ',')
		}
		o = append(AppendString(append(o, '['), pair.Name), ',')
		o = append(appendHeaderValue(o, pair.Value), ']')
	}
	return append(o, ']')
}

func (o object) tags(tags []Pair) object {
	sorted := slices.Clone(tags)
	SortPairs(sorted)
	o = o.key("tags")
	open := byte('{')
	for at, tag := range sorted {
		// Of a name that was given twice the last value stands.
		if at+1 < len(sorted) && sorted[at+1].Name == tag.Name {
			continue
		}
		o = append(AppendString(append(o, open), tag.Name), ':')
		o = AppendString(o, tag.Value)
		open = ','
	}
	return append(o, '}')
}

func (o object) end() []byte {
	if len(o) == 0 {
		o = append(o, '{')
	}
	return append(o, '}')
}

// SortPairs sorts by name and leaves repeats in their order.
func SortPairs(pairs []Pair) {
	slices.SortStableFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
}

func appendRate(out []byte, rate float64) []byte {
	text := strconv.FormatFloat(rate, 'f', 6, 64)
	return append(out, strings.TrimSuffix(strings.TrimRight(text, "0"), ".")...)
}

func appendCRC(out []byte, crc uint32) []byte {
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], crc)
	return hex.AppendEncode(out, bytes[:])
}
