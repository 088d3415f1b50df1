package redact

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// words are what random documents are made of: half of them are JSON in some places.
var words = []string{
	"{", "}", "[", "]", ",", ":", `"a"`, `"pwd"`, `"p\u0077d"`, `"x\"`, "0", "01", "-1.5e+3", "1.", "true", "null", "nul", " ", "\n", `"é"`, "\xff", `{"a":1}`,
	`{"pwd":[1,{"b":2}]}`, `[{"token":"x"}]`, `"{\"pwd\":1}"`, `"\n[{\"a\":\"{\\\"pwd\\\":1}\"}]"`,
}

func TestWhatIsTakenForJSONIsJSONAndStaysIt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := New()
	valid := 0
	for range 200_000 {
		var text strings.Builder
		for range 1 + random.IntN(7) {
			text.WriteString(words[random.IntN(len(words))])
		}
		body := []byte(text.String())
		redacted, ok := r.withoutSecrets(bytes.Clone(body), 0)
		if json.Valid(body) && utf8.Valid(body) {
			valid++
			if !ok || !json.Valid(redacted) {
				t.Fatalf("%q became %q, %t", body, redacted, ok)
			}
		}
		if !ok {
			continue
		}
		again, ok := r.withoutSecrets(bytes.Clone(redacted), 0)
		if !ok || !bytes.Equal(again, redacted) {
			t.Fatalf("%q became %q, and again %q", body, redacted, again)
		}
		if quick, ok := r.JSON(bytes.Clone(body)); !ok || !bytes.Equal(quick, redacted) {
			t.Fatalf("%q became %q where names are looked for first, and %q where it is read", body, quick, redacted)
		}
		values := json.NewDecoder(bytes.NewReader(body))
		values.UseNumber()
		for values.More() {
			var value any
			if err := values.Decode(&value); err != nil {
				t.Fatalf("%q was taken for JSON: %v", body, err)
			}
		}
	}
	if valid < 1000 {
		t.Errorf("only %d valid documents", valid)
	}
}

func TestDepthIsBoundedAlsoUnderAListedName(t *testing.T) {
	r := New()
	nested := func(depth int) []byte {
		return []byte(`{"pwd":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + "}")
	}
	if redacted, ok := r.JSON(nested(maxDepth)); !ok || string(redacted) != `{"pwd":"[redacted]"}` {
		t.Errorf("%s, %t", redacted, ok)
	}
	if _, ok := r.JSON(nested(maxDepth + 1)); ok {
		t.Error("too deep and taken")
	}
	if _, ok := r.JSON(append([]byte(`{"pwd":`), bytes.Repeat([]byte("["), 10_000_000)...)); ok {
		t.Error("endless and taken")
	}
}
