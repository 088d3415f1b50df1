// Package vectors runs the specification's vectors through this emitter's line writer and redaction.
package vectors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
	"github.com/reassemble/reassemble/emitter/go/internal/redact"
)

// Feeds are the ways in which a vector's body can arrive: as given, as one arrival, and byte by byte.
var Feeds = []string{"given", "whole", "bytes"}

type emitVector struct {
	Limit    int             `json:"limit"`
	Key      string          `json:"key"`
	ID       string          `json:"id"`
	Part     string          `json:"part"`
	Head     json.RawMessage `json:"head"`
	Arrivals []arrival       `json:"arrivals"`
	Tail     *tail           `json:"tail"`
}

type arrival struct {
	Text  *string `json:"text"`
	B64   []byte  `json:"b64"`
	Times int     `json:"times"`
}

type head struct {
	TS        *time.Time        `json:"ts"`
	Service   string            `json:"service"`
	Host      string            `json:"host"`
	Inst      string            `json:"inst"`
	N         *uint64           `json:"n"`
	Dir       string            `json:"dir"`
	Proto     string            `json:"proto"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   []pair            `json:"headers"`
	Peer      string            `json:"peer"`
	Trace     string            `json:"trace"`
	Parent    string            `json:"parent"`
	Tags      map[string]string `json:"tags"`
	Rate      *float64          `json:"rate"`
	Why       string            `json:"why"`
	BodyEnc   string            `json:"body_enc"`
	OneWay    bool              `json:"oneway"`
	US        *uint64           `json:"us"`
	Status    status            `json:"status"`
	Begun     uint64            `json:"begun"`
	Finished  uint64            `json:"finished"`
	Dropped   uint64            `json:"dropped"`
	SampleOut uint64            `json:"sampled_out"`
}

type tail struct {
	US        *uint64 `json:"us"`
	Status    status  `json:"status"`
	Trailers  []pair  `json:"trailers"`
	Error     string  `json:"error"`
	Truncated bool    `json:"truncated"`
	FullLen   *uint64 `json:"full_len"`
}

// status is a number or a text.
type status line.Status

func (s *status) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, &s.Text)
	}
	return json.Unmarshal(text, &s.Code)
}

// pair is a header; its value is a text, or bytes where they are not UTF-8.
type pair line.Pair

func (p *pair) UnmarshalJSON(text []byte) error {
	var parts [2]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return err
	}
	if err := json.Unmarshal(parts[0], &p.Name); err != nil {
		return err
	}
	if parts[1][0] == '"' {
		return json.Unmarshal(parts[1], &p.Value)
	}
	var value struct {
		B64 []byte `json:"b64"`
	}
	err := json.Unmarshal(parts[1], &value)
	p.Value = string(value.B64)
	return err
}

// Emit gives all lines that the writer makes of a vector of formats/spec/vectors/emit, fed as feed says.
func Emit(vector []byte, feed string) (string, error) {
	var v emitVector
	if err := json.Unmarshal(vector, &v); err != nil {
		return "", fmt.Errorf("vector: %w", err)
	}
	var h head
	strict := json.NewDecoder(bytes.NewReader(v.Head))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&h); err != nil {
		return "", fmt.Errorf("head: %w", err)
	}
	var signer *line.Signer
	if v.Key != "" {
		signer = line.NewSigner(v.Key)
	}
	if v.Part == line.Meta {
		return string(line.AppendMeta(nil, v.ID, h.meta(), v.Limit, signer)), nil
	}
	var begun line.Head
	switch v.Part {
	case line.Request:
		begun = h.request()
	case line.Response:
		begun = h.response()
	default:
		return "", fmt.Errorf("part %q is none of req, res and meta", v.Part)
	}
	arrivals, err := v.arrivals(feed)
	if err != nil {
		return "", err
	}
	part := line.NewPart(v.ID, v.Part, begun, v.Limit, signer)
	var out []byte
	for _, body := range arrivals {
		out = part.Body(out, body)
	}
	return string(part.Finish(out, v.Tail.line())), nil
}

func (v *emitVector) arrivals(feed string) ([][]byte, error) {
	var given [][]byte
	for _, a := range v.Arrivals {
		body := a.B64
		if a.Text != nil {
			body = []byte(*a.Text)
		}
		for range max(a.Times, 1) {
			given = append(given, body)
		}
	}
	switch feed {
	case "given":
		return given, nil
	case "whole":
		return [][]byte{slices.Concat(given...)}, nil
	case "bytes":
		return slices.Collect(slices.Chunk(slices.Concat(given...), 1)), nil
	default:
		return nil, fmt.Errorf("feed %q is none of %v", feed, Feeds)
	}
}

func (h *head) at() time.Time {
	if h.TS == nil {
		return time.Time{}
	}
	return *h.TS
}

func (h *head) request() *line.RequestHead {
	tags := make([]line.Pair, 0, len(h.Tags))
	for name, value := range h.Tags {
		tags = append(tags, line.Pair{Name: name, Value: value})
	}
	return &line.RequestHead{
		Time: h.at(), Service: h.Service, Host: h.Host, Inst: h.Inst, N: number(h.N), Dir: h.Dir, Proto: h.Proto, Method: h.Method,
		URL: h.URL, Headers: pairs(h.Headers), Peer: h.Peer, Trace: h.Trace, Parent: h.Parent, Tags: tags, Rate: h.Rate, Why: h.Why,
		BodyEnc: h.BodyEnc, OneWay: h.OneWay,
	}
}

func (h *head) response() *line.ResponseHead {
	return &line.ResponseHead{
		Time: h.at(), US: number(h.US), Status: line.Status(h.Status), Headers: pairs(h.Headers), BodyEnc: h.BodyEnc,
	}
}

func (h *head) meta() *line.MetaHead {
	return &line.MetaHead{
		Time: h.at(), Service: h.Service, Host: h.Host, Inst: h.Inst, Begun: h.Begun, Finished: h.Finished, Dropped: h.Dropped,
		SampledOut: h.SampleOut,
	}
}

func (t *tail) line() *line.Tail {
	if t == nil {
		return &line.Tail{}
	}
	return &line.Tail{
		US: number(t.US), Status: line.Status(t.Status), Trailers: pairs(t.Trailers), Error: t.Error, Truncated: t.Truncated,
		FullLen: number(t.FullLen),
	}
}

func number(value *uint64) line.Number {
	if value == nil {
		return line.Number{}
	}
	return line.Of(*value)
}

func pairs(from []pair) []line.Pair {
	if from == nil {
		return nil
	}
	to := make([]line.Pair, 0, len(from))
	for _, p := range from {
		to = append(to, line.Pair(p))
	}
	return to
}

type redactCase struct {
	Kind          string   `json:"kind"`
	Name          string   `json:"name"`
	Value         string   `json:"value"`
	Input         string   `json:"input"`
	RedactHeaders []string `json:"redact_headers"`
	KeepHeaders   []string `json:"keep_headers"`
	RedactNames   []string `json:"redact_names"`
	KeepNames     []string `json:"keep_names"`
}

// Redact gives what may be captured of a case of formats/spec/vectors/redact; nil where it is left out.
func Redact(redactCaseJSON []byte) (*string, error) {
	var c redactCase
	if err := json.Unmarshal(redactCaseJSON, &c); err != nil {
		return nil, fmt.Errorf("case: %w", err)
	}
	r := redact.New()
	for _, list := range []struct {
		items []string
		add   func(string)
	}{
		{c.RedactHeaders, r.AddHeader}, {c.KeepHeaders, r.KeepHeader}, {c.RedactNames, r.AddName}, {c.KeepNames, r.KeepName},
	} {
		for _, item := range list.items {
			list.add(item)
		}
	}
	var output string
	switch c.Kind {
	case "header":
		output = r.Header(c.Name, c.Value)
	case "url":
		output = r.URL(c.Input)
	case "form":
		output = string(r.Form([]byte(c.Input)))
	case "json":
		redacted, ok := r.JSON([]byte(c.Input))
		if !ok {
			return nil, nil
		}
		output = string(redacted)
	default:
		return nil, fmt.Errorf("kind %q is none of header, url, json and form", c.Kind)
	}
	return &output, nil
}
