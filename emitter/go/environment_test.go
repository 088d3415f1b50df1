package reassemble

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secretText = "8d0f3c2e9a7b465180d2b6f4c1e3a597"

// configured gives what variables set, by name and value.
func configured(t *testing.T, variables ...string) (*config, error) {
	t.Helper()
	for at := 0; at < len(variables); at += 2 {
		t.Setenv(variables[at], variables[at+1])
	}
	return newConfig([]Option{Env()})
}

func TestVariablesSetWhatTheyName(t *testing.T) {
	c, err := configured(t, "OTEL_SERVICE_NAME", "other", "CAPTURE_SERVICE", "shop", "CAPTURE_OUTPUT", "/var/log/x", "CAPTURE_LINE_LIMIT", "1KiB",
		"CAPTURE_BODY_LIMIT", "8MiB", "CAPTURE_QUEUE_LIMIT", "64 KiB", "CAPTURE_SAMPLE_RATE", "0.25", "CAPTURE_SAMPLE_BY", "id",
		"CAPTURE_RATE_LIMIT", "0.5", "CAPTURE_ERRORS", "always", "CAPTURE_SKIP_METHODS", "options", "CAPTURE_SKIP_PATHS", "/health, /assets/*,",
		"CAPTURE_ONLY_BODY_TYPES", "Text/*", "CAPTURE_REDACT_HEADERS", "x-pin", "CAPTURE_KEEP_HEADERS", "Cookie", "CAPTURE_REDACT_NAMES", "pin",
		"CAPTURE_KEEP_NAMES", "author", "CAPTURE_REDACT_BODIES", "off", "CAPTURE_REDACT_BUFFER", "1GiB", "CAPTURE_SIGNING_KEY", secretText+" ")
	must(t, err)
	equal(t, "numbers", fmt.Sprint(c.service, c.output, c.lineLimit, c.bodyLimit, c.queueLimit, c.rate, c.sampleBy, c.rateLimit, c.alwaysErrors),
		"shop/var/log/x1024 8388608 65536 0.25 1 0.5 true")
	equal(t, "lists", fmt.Sprint(c.methods.skip, c.paths.skip, c.bodyTypes.only), "[OPTIONS] [/health /assets/*] [text/*]")
	equal(t, "redaction", fmt.Sprint(c.redactBodies, c.redactBuffer, c.redactor.Header("X-Pin", "1"), c.redactor.Header("cookie", "2"),
		c.redactor.URL("?pin=3&author=4")), "false 1073741824[redacted]2?pin=[redacted]&author=4")
	equal(t, "secret", c.secret, secretText)
}

func TestWhatIsAppliedLaterWinsAndEmptyIsUnset(t *testing.T) {
	t.Setenv("CAPTURE_SAMPLE_RATE", "0.25")
	t.Setenv("CAPTURE_SAMPLE_BY", "")
	t.Setenv("OTEL_SERVICE_NAME", "otel")
	c, err := newConfig([]Option{SampleRate(0.5), Env()})
	must(t, err)
	equal(t, "the environment last", fmt.Sprint(c.service, c.rate), "otel0.25")
	c, err = newConfig([]Option{Service("call"), Env(), SampleRate(0.5)})
	must(t, err)
	equal(t, "a call last", fmt.Sprint(c.service, c.rate), "call0.5")
	c, err = newConfig(nil)
	must(t, err)
	if c.service == "" || !strings.HasPrefix(c.service, "go") && !strings.Contains(c.service, "reassemble") {
		t.Errorf("the program's name: %q", c.service)
	}
}

func TestWrongValuesAreNamed(t *testing.T) {
	for _, wrong := range [][2]string{
		{"CAPTURE_OUTPUT", "fd:x"}, {"CAPTURE_LINE_LIMIT", "511"}, {"CAPTURE_LINE_LIMIT", "262145"}, {"CAPTURE_BODY_LIMIT", "8MB"},
		{"CAPTURE_BODY_LIMIT", "-1"}, {"CAPTURE_QUEUE_LIMIT", "99999999999GiB"}, {"CAPTURE_SAMPLE_RATE", "2"}, {"CAPTURE_SAMPLE_RATE", "NaN"},
		{"CAPTURE_SAMPLE_BY", "path"}, {"CAPTURE_RATE_LIMIT", "0"}, {"CAPTURE_RATE_LIMIT", "Inf"}, {"CAPTURE_ERRORS", "never"},
		{"CAPTURE_REDACT_BODIES", "yes"}, {"CAPTURE_REDACT_BUFFER", "x"},
	} {
		t.Run(wrong[0]+"="+wrong[1], func(t *testing.T) {
			_, err := configured(t, wrong[0], wrong[1])
			var fault *SettingError
			if !errors.As(err, &fault) {
				t.Fatalf("%v", err)
			}
			equal(t, "named", fault.Name+"="+fault.Value, wrong[0]+"="+wrong[1])
		})
	}
	_, err := configured(t, "CAPTURE_BODY_LIMIT", "8MB")
	equal(t, "text", err.Error(), `CAPTURE_BODY_LIMIT="8MB" is not a number of bytes (4096, 64KiB, 8MiB, 1GiB)`)
	for _, option := range []Option{
		LineLimit(511), BodyLimit(-1), SampleRate(1.5), SampleBy(7), RateLimit(0), MetaEvery(0), SigningKey("short"), Output("fd:-1"),
		Output("/no/such/folder/x"), Output("fd:987654"),
	} {
		if e, err := New(option); err == nil {
			t.Error("a wrong setting is taken")
			closed(t, e)
		}
	}
}

func TestASigningKeyComesFromAVariableOrAFileAndIsNeverShown(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	c, err := configured(t, secretFileVariable, file("good", secretText+"\n"))
	must(t, err)
	equal(t, "secret", c.secret, secretText)
	short := file("short", "hunter2\n")
	for said, path := range map[string]string{
		short + " holds no secret": short, " holds no secret": file("long", strings.Repeat("x", 1<<20)),
		"can't be read": filepath.Join(folder, "none"),
	} {
		_, err := configured(t, secretFileVariable, path)
		if err == nil || !strings.Contains(err.Error(), said) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v instead of %q", err, said)
		}
	}
	_, err = configured(t, secretVariable, secretText, secretFileVariable, short)
	equal(t, "both", fmt.Sprint(err), "CAPTURE_SIGNING_KEY and CAPTURE_SIGNING_KEY_FILE are both set; set one of them")
}
