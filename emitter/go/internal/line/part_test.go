package line

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// written gives a part's lines where its body arrives in pieces of such sizes.
func written(body []byte, limit int, signer *Signer, size func() int) []byte {
	head := &ResponseHead{Status: Status{Code: 200}, Headers: []Pair{{"é", strings.Repeat("x", 300)}}}
	part := NewPart("c-1", Response, head, limit, signer)
	var out []byte
	for len(body) > 0 {
		n := min(size(), len(body))
		out = part.Body(out, body[:n])
		body = body[n:]
	}
	return part.Finish(out, &Tail{US: Of(7), Error: strings.Repeat("\"", 100)})
}

func TestLinesDependOnTheBodyAloneAndSayItWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	signer := NewSigner(strings.Repeat("k", 32))
	kinds := []string{"plain text ", "\"\\\n", "é😀", "\x00\xff", "{\"a\":\"b\"},"}
	for n := range 300 {
		var body []byte
		for range random.IntN(400) {
			body = append(body, kinds[random.IntN(1+n%len(kinds))]...)
		}
		body = body[:random.IntN(len(body)+1)]
		limit := MinLimit + random.IntN(2000)
		var s *Signer
		if n%3 == 0 {
			s = signer
		}
		whole := written(body, limit, s, func() int { return len(body) })
		pieces := written(body, limit, s, func() int { return 1 + random.IntN(900) })
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("limit %d, %d bytes: other lines where they come in pieces", limit, len(body))
		}
		if joined := joined(t, whole, limit); !bytes.Equal(joined, body) {
			t.Fatalf("limit %d: %d bytes became %d", limit, len(body), len(joined))
		}
	}
}

func TestAPartInAnothersMemoryIsAsOneInItsOwn(t *testing.T) {
	head := &ResponseHead{Status: Status{Text: strings.Repeat("\"", 400)}}
	part := NewPart("c-1", Request, &RequestHead{URL: strings.Repeat("x", 3000)}, MinLimit, NewSigner(strings.Repeat("k", 32)))
	part.Finish(part.Body(nil, bytes.Repeat([]byte{0xff}, 5000)), &Tail{Error: strings.Repeat("e", 900)})
	part.Reset("c-2", Response, head, MinLimit, nil)
	body := bytes.Repeat([]byte("text"), 300)
	again := part.Finish(part.Body(nil, body), &Tail{Error: "e"})
	own := NewPart("c-2", Response, head, MinLimit, nil)
	if want := own.Finish(own.Body(nil, body), &Tail{Error: "e"}); !bytes.Equal(again, want) {
		t.Errorf("got\n%s\nwant\n%s", again, want)
	}
}

func joined(t *testing.T, lines []byte, limit int) (body []byte) {
	t.Helper()
	seq := 0
	for text := range bytes.Lines(lines) {
		var record struct {
			Seq, Of   int
			Text, CRC string
			B64       []byte
		}
		if err := json.Unmarshal(text, &record); err != nil || len(text) > limit || record.Seq != seq {
			t.Fatalf("%v, %d bytes: %s", err, len(text), text)
		}
		piece := append([]byte(record.Text), record.B64...)
		if len(piece) > 0 && record.CRC != fmt.Sprintf("%08x", crc32.ChecksumIEEE(piece)) {
			t.Fatalf("wrong crc: %s", text)
		}
		body = append(body, piece...)
		seq++
		if record.Of != 0 && record.Of != seq {
			t.Fatalf("of %d behind %d lines", record.Of, seq)
		}
	}
	return body
}

func TestHeadsAreCanonicalWhateverTheAppSays(t *testing.T) {
	rate := 1.0 / 3
	head := RequestHead{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600)), Method: "a\xffb", Headers: []Pair{}, Rate: &rate,
		Tags: []Pair{{"b", "1"}, {"a", "2"}, {"b", "3"}},
	}
	const want = `{"ts":"2026-01-02T02:04:05.000006Z","method":"a` + "\uFFFD" + `b","headers":[],"tags":{"a":"2","b":"3"},"rate":0.333333}`
	if got := string(head.json(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	response := ResponseHead{Headers: []Pair{{"B", "1"}, {"A", "3"}, {"B", "0"}, {"A", "2"}}, Unordered: true}
	if got := string(response.json(nil)); got != `{"headers":[["A","3"],["A","2"],["B","1"],["B","0"]]}` {
		t.Errorf("got %s", got)
	}
	if got := string((&ResponseHead{}).json(nil)); got != "{}" {
		t.Errorf("got %s", got)
	}
}

func TestSecretsAreChecked(t *testing.T) {
	for secret, want := range map[string]error{
		strings.Repeat("x", 32): nil, strings.Repeat("x", 1024): nil, strings.Repeat("x", 31): ErrSecretShort,
		strings.Repeat("x", 1025): ErrSecretLong, strings.Repeat("x", 32) + " ": ErrSecretCharacters, strings.Repeat("é", 32): ErrSecretCharacters,
	} {
		if err := CheckSecret(secret); err != want {
			t.Errorf("%d bytes: %v, want %v", len(secret), err, want)
		}
	}
}

func TestTheSmallestPartsAreOneLine(t *testing.T) {
	out := NewPart("c", Request, &RequestHead{}, MinLimit, nil).Finish(nil, &Tail{})
	if !bytes.HasSuffix(out, []byte(`,"head":{},"of":1,"tail":{"len":0,"crc":"00000000"}}`+"\n")) {
		t.Errorf("%s", out)
	}
	part := NewPart("c", Request, &RequestHead{}, MinLimit, nil)
	out = part.Finish(part.Body(nil, []byte{0xff}), &Tail{})
	if !bytes.Contains(out, []byte(`"b64":"`+base64.StdEncoding.EncodeToString([]byte{0xff})+`"`)) {
		t.Errorf("%s", out)
	}
}
