package reassemble

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

const (
	secretVariable     = "CAPTURE_SIGNING_KEY"
	secretFileVariable = "CAPTURE_SIGNING_KEY_FILE"
)

// Env applies what the environment sets: the variables of the README's table. A variable that is empty is as if it were unset. Of a value that
// a variable can't have New tells in a SettingError.
func Env() Option {
	return func(c *config) error {
		for _, v := range variables {
			value := os.Getenv(v.name)
			if value == "" {
				continue
			}
			option, err := v.read(v.name, value)
			if err == nil {
				err = option(c)
			}
			if err != nil {
				return err
			}
		}
		if c.service == "" {
			c.service = os.Getenv("OTEL_SERVICE_NAME")
		}
		return secretFromEnv(c)
	}
}

type variable struct {
	name string
	read func(name, value string) (Option, error)
}

var variables = []variable{
	{"CAPTURE_SERVICE", asText(Service)},
	{"CAPTURE_OUTPUT", readOutput},
	{"CAPTURE_LINE_LIMIT", readLineLimit},
	{"CAPTURE_BODY_LIMIT", asBytes(BodyLimit)},
	{"CAPTURE_QUEUE_LIMIT", asBytes(QueueLimit)},
	{"CAPTURE_SAMPLE_RATE", asNumber("a share from 0 to 1", func(n float64) bool { return n >= 0 && n <= 1 }, SampleRate)},
	{"CAPTURE_SAMPLE_BY", asWord(map[string]Option{"trace": SampleBy(ByTrace), "id": SampleBy(ByID)}, "`trace` or `id`")},
	{"CAPTURE_RATE_LIMIT", asNumber("captures a second, a number above 0", func(n float64) bool { return n > 0 && !math.IsInf(n, 0) }, RateLimit)},
	{"CAPTURE_ERRORS", asWord(map[string]Option{"sampled": AlwaysErrors(false), "always": AlwaysErrors(true)}, "`sampled` or `always`")},
	{"CAPTURE_ONLY_METHODS", asList(OnlyMethods)},
	{"CAPTURE_SKIP_METHODS", asList(SkipMethods)},
	{"CAPTURE_ONLY_PATHS", asList(OnlyPaths)},
	{"CAPTURE_SKIP_PATHS", asList(SkipPaths)},
	{"CAPTURE_ONLY_BODY_TYPES", asList(OnlyBodyTypes)},
	{"CAPTURE_SKIP_BODY_TYPES", asList(SkipBodyTypes)},
	{"CAPTURE_REDACT_HEADERS", asList(RedactHeaders)},
	{"CAPTURE_KEEP_HEADERS", asList(KeepHeaders)},
	{"CAPTURE_REDACT_NAMES", asList(RedactNames)},
	{"CAPTURE_KEEP_NAMES", asList(KeepNames)},
	{"CAPTURE_REDACT_BODIES", asWord(map[string]Option{"on": RedactBodies(true), "off": RedactBodies(false)}, "`on` or `off`")},
	{"CAPTURE_REDACT_BUFFER", asBytes(RedactBuffer)},
}

func asText(set func(string) Option) func(name, value string) (Option, error) {
	return func(_, value string) (Option, error) { return set(value), nil }
}

func readOutput(name, value string) (Option, error) {
	if _, isDescriptor, err := descriptorOf(value); isDescriptor && err != nil {
		return nil, &SettingError{name, value, "`stdout`, `stderr`, `off`, `fd:N` of an open descriptor, or a file's path"}
	}
	return Output(value), nil
}

func readLineLimit(name, value string) (Option, error) {
	n, err := parseBytes(name, value)
	if err != nil {
		return nil, err
	}
	return lineLimit(name, value, n), nil
}

func asBytes(set func(int64) Option) func(name, value string) (Option, error) {
	return func(name, value string) (Option, error) {
		n, err := parseBytes(name, value)
		if err != nil {
			return nil, err
		}
		return set(n), nil
	}
}

func asNumber(expected string, fits func(float64) bool, set func(float64) Option) func(name, value string) (Option, error) {
	return func(name, value string) (Option, error) {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !fits(n) {
			return nil, &SettingError{name, value, expected}
		}
		return set(n), nil
	}
}

func asWord(options map[string]Option, expected string) func(name, value string) (Option, error) {
	return func(name, value string) (Option, error) {
		option, ok := options[value]
		if !ok {
			return nil, &SettingError{name, value, expected}
		}
		return option, nil
	}
}

func asList(add func(...string) Option) func(name, value string) (Option, error) {
	return func(_, value string) (Option, error) {
		var items []string
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return add(items...), nil
	}
}

// parseBytes reads a number of bytes, plain or in KiB, MiB or GiB.
func parseBytes(name, value string) (int64, error) {
	digits, unit := value, int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if before, found := strings.CutSuffix(value, suffix); found {
			digits, unit = strings.TrimRight(before, " "), bytes
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, &SettingError{name, value, "a number of bytes (4096, 64KiB, 8MiB, 1GiB)"}
	}
	return int64(n) * unit, nil
}

func secretFromEnv(c *config) error {
	secret, path := os.Getenv(secretVariable), os.Getenv(secretFileVariable)
	switch {
	case secret != "" && path != "":
		return errors.New(secretVariable + " and " + secretFileVariable + " are both set; set one of them")
	case secret != "":
		return signingKey(secretVariable, strings.TrimSpace(secret))(c)
	case path != "":
		text, err := readSecret(path)
		if err != nil {
			return fmt.Errorf("the secret to sign with can't be read from %s=%q: %w", secretFileVariable, path, err)
		}
		return signingKey(path, strings.TrimSpace(text))(c)
	}
	return nil
}

// readSecret reads a file's text, as far as a secret may reach and a little more: whatever file is named, it costs no memory.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 2*line.MaxSecretBytes))
	return string(text), err
}
