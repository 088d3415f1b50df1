package reassemble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
	"github.com/reassemble/reassemble/emitter/go/internal/redact"
)

const (
	// defaultBodyLimit is up to where the reader stores bodies inside their exchange; few API bodies are larger.
	defaultBodyLimit = 1 << 20
	// defaultQueueLimit is a second of what a busy service says, at the speed of a slow output.
	defaultQueueLimit = 32 << 20
	// defaultRedactBuffer is how much of a body is looked through for names.
	defaultRedactBuffer = 64 << 10
	// defaultMetaEvery is how often counters are told at most.
	defaultMetaEvery = time.Minute
)

// SampleKey is what captures are sampled by.
type SampleKey int

const (
	// ByTrace samples by the trace's id, where there is one: all services decide alike, so that a trace is captured as a whole or not at all.
	ByTrace SampleKey = iota
	// ByID samples by the capture's id: for the edge, where clients choose their traceparent and could thereby choose what is captured.
	ByID
)

// Option is a setting of an emitter. Of two that set the same the later wins; lists grow.
type Option func(*config) error

// SettingError says that a setting's value is none that it can have.
type SettingError struct {
	// Name is the environment variable, or the option.
	Name string
	// Value is what it was set to.
	Value string
	// Expected says what it can be.
	Expected string
}

// Error names the setting, its value and what it can be.
func (e *SettingError) Error() string {
	return fmt.Sprintf("%s=%q is not %s", e.Name, e.Value, e.Expected)
}

type config struct {
	service      string
	output       string
	writer       io.Writer
	lineLimit    int
	bodyLimit    int64
	queueLimit   int64
	rate         float64
	sampleBy     SampleKey
	rateLimit    float64
	alwaysErrors bool
	methods      filter
	paths        filter
	bodyTypes    filter
	redactor     *redact.Redactor
	redactBodies bool
	redactBuffer int64
	secret       string
	metaEvery    time.Duration
	scheme       string
}

func newConfig(options []Option) (*config, error) {
	c := &config{
		output: "stdout", lineLimit: line.DefaultLimit, bodyLimit: defaultBodyLimit, queueLimit: defaultQueueLimit, rate: 1,
		redactor: redact.New(), redactBodies: true, redactBuffer: defaultRedactBuffer, metaEvery: defaultMetaEvery,
	}
	for _, option := range options {
		if err := option(c); err != nil {
			return nil, err
		}
	}
	if c.service == "" {
		c.service = programName()
	}
	return c, nil
}

func programName() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	name := filepath.Base(path)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// Service sets the service's name; without it the program's.
func Service(name string) Option {
	return func(c *config) error {
		c.service = name
		return nil
	}
}

// Output sets where lines go: `stdout` (which is the default), `stderr`, `off` (nothing is captured and nothing runs), `fd:N` (an open
// descriptor, which is not closed), or a file's path, which is appended to and created with mode 0600. New fails where it can't be opened.
func Output(to string) Option {
	return func(c *config) error {
		c.output, c.writer = to, nil
		return nil
	}
}

// OutputWriter sends lines to a writer, which gets each in one call of Write, from one goroutine.
func OutputWriter(to io.Writer) Option {
	return func(c *config) error {
		c.writer = to
		return nil
	}
}

// LineLimit sets the longest line in bytes, its newline included: from 512 to 262144; 4096 unless set, up to which a write to a pipe is one piece.
func LineLimit(bytes int) Option { return lineLimit("LineLimit", fmt.Sprint(bytes), int64(bytes)) }

func lineLimit(name, value string, bytes int64) Option {
	return func(c *config) error {
		if bytes < line.MinLimit || bytes > line.MaxLimit {
			return &SettingError{name, value, "a number of bytes from 512 to 262144"}
		}
		c.lineLimit = int(bytes)
		return nil
	}
}

// BodyLimit sets how many bytes of each body are captured; 1 MiB unless set. What is longer is marked as truncated, with its full length.
func BodyLimit(bytes int64) Option {
	return sizeOption("BodyLimit", bytes, func(c *config) { c.bodyLimit = bytes })
}

// QueueLimit sets how many bytes may wait to be written; 32 MiB unless set. Beyond, captures are dropped and counted.
func QueueLimit(bytes int64) Option {
	return sizeOption("QueueLimit", bytes, func(c *config) { c.queueLimit = bytes })
}

// RedactBuffer sets how many bytes of a body are looked through for names; 64 KiB unless set. A longer one of a type that is looked through is
// left out.
func RedactBuffer(bytes int64) Option {
	return sizeOption("RedactBuffer", bytes, func(c *config) { c.redactBuffer = bytes })
}

func sizeOption(name string, bytes int64, set func(*config)) Option {
	return func(c *config) error {
		if bytes < 0 {
			return &SettingError{name, fmt.Sprint(bytes), "a number of bytes"}
		}
		set(c)
		return nil
	}
}

// SampleRate sets the share of captures that are taken, from 0 to 1; all unless set.
func SampleRate(rate float64) Option {
	return func(c *config) error {
		if !(rate >= 0 && rate <= 1) {
			return &SettingError{"SampleRate", fmt.Sprint(rate), "a share from 0 to 1"}
		}
		c.rate = rate
		return nil
	}
}

// SampleBy sets what captures are sampled by; ByTrace unless set.
func SampleBy(key SampleKey) Option {
	return func(c *config) error {
		if key != ByTrace && key != ByID {
			return &SettingError{"SampleBy", fmt.Sprint(int(key)), "ByTrace or ByID"}
		}
		c.sampleBy = key
		return nil
	}
}

// RateLimit sets how many captures a second are taken of each endpoint, a number above 0; no limit unless set.
func RateLimit(perSecond float64) Option {
	return func(c *config) error {
		if !(perSecond > 0) {
			return &SettingError{"RateLimit", fmt.Sprint(perSecond), "a number above 0"}
		}
		c.rateLimit = perSecond
		return nil
	}
}

// AlwaysErrors captures what ends with a status of 500 or higher, or fails before its response, where sampling or the rate limit leave it out;
// off unless set.
func AlwaysErrors(on bool) Option {
	return func(c *config) error {
		c.alwaysErrors = on
		return nil
	}
}

// OnlyMethods captures these HTTP methods, in any case; others, unless added too, are not captured.
func OnlyMethods(methods ...string) Option {
	return listOption(methods, func(c *config, item string) { c.methods.only = append(c.methods.only, strings.ToUpper(item)) })
}

// SkipMethods does not capture these HTTP methods, in any case.
func SkipMethods(methods ...string) Option {
	return listOption(methods, func(c *config, item string) { c.methods.skip = append(c.methods.skip, strings.ToUpper(item)) })
}

// OnlyPaths captures these HTTP paths, or with `*` at an item's end all that begin so; others, unless added too, are not captured.
func OnlyPaths(paths ...string) Option {
	return listOption(paths, func(c *config, item string) { c.paths.only = append(c.paths.only, item) })
}

// SkipPaths does not capture these HTTP paths, or with `*` at an item's end any that begins so: `/health`, `/assets/*`.
func SkipPaths(paths ...string) Option {
	return listOption(paths, func(c *config, item string) { c.paths.skip = append(c.paths.skip, item) })
}

// OnlyBodyTypes captures bodies of these content types, or with `*` at an item's end of all that begin so; of others, unless added too, only
// heads and tails.
func OnlyBodyTypes(types ...string) Option {
	return listOption(types, func(c *config, item string) { c.bodyTypes.only = append(c.bodyTypes.only, strings.ToLower(item)) })
}

// SkipBodyTypes captures no bodies of these content types, or with `*` at an item's end of any that begins so: `video/*`.
func SkipBodyTypes(types ...string) Option {
	return listOption(types, func(c *config, item string) { c.bodyTypes.skip = append(c.bodyTypes.skip, strings.ToLower(item)) })
}

// RedactHeaders adds to the list of headers whose values are not captured.
func RedactHeaders(names ...string) Option {
	return listOption(names, func(c *config, item string) { c.redactor.AddHeader(item) })
}

// KeepHeaders takes headers from that list.
func KeepHeaders(names ...string) Option {
	return listOption(names, func(c *config, item string) { c.redactor.KeepHeader(item) })
}

// RedactNames adds to the list of names in query strings, forms and JSON whose values are not captured; `*` at an end stands for any characters.
func RedactNames(patterns ...string) Option {
	return listOption(patterns, func(c *config, item string) { c.redactor.AddName(item) })
}

// KeepNames exempts names, or all of a pattern, even where another pattern lists them: KeepNames("author").
func KeepNames(patterns ...string) Option {
	return listOption(patterns, func(c *config, item string) { c.redactor.KeepName(item) })
}

func listOption(list []string, add func(*config, string)) Option {
	return func(c *config) error {
		for _, item := range list {
			add(c, item)
		}
		return nil
	}
}

// RedactBodies sets whether bodies of JSON and forms are looked through for names; they are unless set.
func RedactBodies(on bool) Option {
	return func(c *config) error {
		c.redactBodies = on
		return nil
	}
}

// SigningKey signs every line with a secret of 32 to 1024 printable ASCII characters without white space; unsigned unless set. A reader that has the
// same secret in its key file then takes no others.
func SigningKey(secret string) Option { return signingKey("SigningKey", secret) }

func signingKey(from, secret string) Option {
	return func(c *config) error {
		if err := line.CheckSecret(secret); err != nil {
			return fmt.Errorf("%s holds no secret to sign with: %w", from, err)
		}
		c.secret = secret
		return nil
	}
}

// MetaEvery sets how often counters are told at most, while there is something to tell; a minute unless set.
func MetaEvery(interval time.Duration) Option {
	return func(c *config) error {
		if interval <= 0 {
			return errors.New("MetaEvery needs an interval above 0")
		}
		c.metaEvery = interval
		return nil
	}
}

// Scheme sets the scheme by which clients reach the servers of this process, `http` or `https`: for those behind a proxy that ends TLS. Unless
// set it is that of the connection.
func Scheme(scheme string) Option {
	return func(c *config) error {
		c.scheme = scheme
		return nil
	}
}
