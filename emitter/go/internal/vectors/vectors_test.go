package vectors

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const folder = "../../../../formats/spec/vectors"

func TestEveryEmitVectorMakesItsExactLines(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(folder, "emit", "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, name := range names {
		vector := read(t, name)
		expected := string(read(t, strings.TrimSuffix(name, ".json")+".lines"))
		for _, feed := range Feeds {
			t.Run(filepath.Base(name)+"/"+feed, func(t *testing.T) {
				lines, err := Emit(vector, feed)
				if err != nil {
					t.Fatal(err)
				}
				if lines != expected {
					t.Errorf("got\n%.2000s\nwant\n%.2000s", lines, expected)
				}
			})
		}
	}
}

func TestEveryRedactionVectorIsRedactedSo(t *testing.T) {
	var cases []json.RawMessage
	if err := json.Unmarshal(read(t, filepath.Join(folder, "redact", "vectors.json")), &cases); err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, text := range cases {
		var expected struct {
			What, Kind string
			Output     *string
		}
		if err := json.Unmarshal(text, &expected); err != nil {
			t.Fatal(err)
		}
		t.Run(expected.Kind+": "+expected.What, func(t *testing.T) {
			output, err := Redact(text)
			switch {
			case err != nil:
				t.Fatal(err)
			case (output == nil) != (expected.Output == nil):
				t.Errorf("left out: %t, want %t", output == nil, expected.Output == nil)
			case output != nil && *output != *expected.Output:
				t.Errorf("got %s, want %s", *output, *expected.Output)
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
