// Command conformance runs the specification's vectors for who checks all emitters alike.
//
// It reads JSON lines on standard input and answers each with one on standard output:
//
//	{"emit": VECTOR, "feed": "given"|"whole"|"bytes"}  →  {"lines": "…"}
//	{"redact": CASE}                                   →  {"output": "…" or null}
//
// A line that is neither is answered with {"error": "…"}.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/reassemble/reassemble/emitter/go/internal/vectors"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	answers := json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for {
		text, err := lines.ReadBytes('\n')
		if len(text) > 1 {
			if fault := answers.Encode(answer(text)); fault != nil {
				return fault
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func answer(text []byte) map[string]any {
	var asked struct {
		Emit   json.RawMessage `json:"emit"`
		Feed   string          `json:"feed"`
		Redact json.RawMessage `json:"redact"`
	}
	err := json.Unmarshal(text, &asked)
	switch {
	case err != nil:
	case asked.Emit != nil:
		var lines string
		if lines, err = vectors.Emit(asked.Emit, asked.Feed); err == nil {
			return map[string]any{"lines": lines}
		}
	case asked.Redact != nil:
		var output *string
		if output, err = vectors.Redact(asked.Redact); err == nil {
			return map[string]any{"output": output}
		}
	default:
		err = errors.New("neither emit nor redact is there")
	}
	return map[string]any{"error": err.Error()}
}
