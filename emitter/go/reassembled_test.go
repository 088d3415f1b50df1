package reassemble

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stored is what of a stored exchange is looked at.
type stored struct {
	ID, Service, Dir, Proto, Trace, Parent, Why string
	Complete                                    bool
	Problems                                    []string
	Request, Response                           struct {
		Method, URL string
		Status      any
		Headers     [][2]string
		Body        struct {
			Len       int
			Type      string
			Text, B64 *string
			Truncated bool
			FullLen   int `json:"full_len"`
		}
	}
}

// reassembled gives what the reader that REASSEMBLE names makes of a log, by direction and the URL's path.
func reassembled(t *testing.T, log string, flags ...string) map[string]stored {
	t.Helper()
	reader := os.Getenv("REASSEMBLE")
	if reader == "" {
		t.Skip("REASSEMBLE names no reader")
	}
	folder := t.TempDir()
	command := exec.Command(reader, append([]string{log, "--to", folder, "--compression", "none"}, flags...)...)
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	all := make(map[string]stored)
	must(t, filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".ndjson" {
			return err
		}
		text, err := os.ReadFile(path)
		for line := range bytes.Lines(text) {
			var x stored
			must(t, json.Unmarshal(line, &x))
			all[x.Dir+" "+pathOf(x.Request.URL)] = x
		}
		return err
	}))
	return all
}

func bodyOf(t *testing.T, text, b64 *string) string {
	t.Helper()
	if b64 != nil {
		body, err := base64.StdEncoding.DecodeString(*b64)
		must(t, err)
		return string(body)
	}
	if text == nil {
		return "no body"
	}
	return *text
}

func TestTheReaderPairsWhatAServiceAndItsClientPrint(t *testing.T) {
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed=%t", signed), func(t *testing.T) {
			folder := t.TempDir()
			log := filepath.Join(folder, "app.log")
			options, flags := []Option{Service("shop"), Output(log)}, []string(nil)
			if signed {
				keys := filepath.Join(folder, "keys")
				must(t, os.WriteFile(keys, []byte("2026-11 "+secretText+" shop\n"), 0o600))
				options, flags = append(options, SigningKey(secretText)), []string{"--key-file", keys}
			}
			e, err := New(options...)
			must(t, err)
			client := &http.Client{Transport: e.Transport(nil)}
			mux := http.NewServeMux()
			mux.HandleFunc("/back", func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Write(body)
			})
			var server *httptest.Server
			mux.HandleFunc("/front", func(w http.ResponseWriter, r *http.Request) {
				out, _ := http.NewRequestWithContext(r.Context(), "POST", server.URL+"/back", r.Body)
				answer, err := client.Do(out)
				if err != nil {
					t.Error(err)
					return
				}
				defer answer.Body.Close()
				w.Header().Set("Content-Type", "application/json")
				io.Copy(io.Discard, answer.Body)
				io.WriteString(w, `{"token":"s3cret","a":1}`)
			})
			server = httptest.NewServer(e.Middleware(mux))
			defer server.Close()
			body := string(pattern(100_000, 3))
			ask(t, "POST", server.URL+"/front?password=x", strings.NewReader(body))
			server.Close()
			closed(t, e)
			all := reassembled(t, log, flags...)
			equal(t, "exchanges", len(all), 3)
			front, out, back := all["in /front"], all["out /back"], all["in /back"]
			for name, x := range all {
				equal(t, name, fmt.Sprint(x.Complete, x.Problems, x.Service, x.Proto, x.Why, x.Response.Status), "true []shophttp/1.1all200")
				equal(t, name+" request", bodyOf(t, x.Request.Body.Text, x.Request.Body.B64) == body, true)
			}
			equal(t, "out's parent", out.Parent, front.ID)
			equal(t, "one trace", out.Trace, back.Trace)
			equal(t, "url", front.Request.URL, server.URL+"/front?password=[redacted]")
			equal(t, "redacted", bodyOf(t, front.Response.Body.Text, front.Response.Body.B64), `{"token":"[redacted]","a":1}`)
			equal(t, "echoed", bodyOf(t, back.Response.Body.Text, back.Response.Body.B64) == body, true)
		})
	}
}
