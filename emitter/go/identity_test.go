package reassemble

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestIDsAreUUIDsOfVersion7AndNeverTheSame(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	at := time.UnixMilli(0x0192f0c1a2b3)
	drawn := make(map[string]bool)
	for range 1000 {
		id := drawID(at)
		if !shape.MatchString(id) || !strings.HasPrefix(id, "0192f0c1-a2b3-7") {
			t.Fatal(id)
		}
		drawn[id] = true
	}
	equal(t, "ids", len(drawn), 1000)
}

func TestTraceParentsAreReadStrictly(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	trace, ok := ParseTraceParent(good)
	equal(t, "good", trace.String(), good)
	equal(t, "trace id", trace.TraceID(), "4bf92f3577b34da6a3ce929d0e0e4736")
	child := trace.child()
	if !ok || child == trace || child.TraceID() != trace.TraceID() || !strings.HasSuffix(child.String(), "-01") {
		t.Errorf("child %s", child)
	}
	later, ok := ParseTraceParent("cc" + good[2:] + "-more")
	if _, childOK := ParseTraceParent(later.child().String()); !ok || !childOK {
		t.Error("a later version is not read")
	}
	for _, bad := range []string{
		"", good[:54], good + "-x", strings.ToUpper(good), "ff" + good[2:], "0" + good, strings.Replace(good, "-", "_", 1),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"cc" + good[2:] + "x", "cc" + good[2:] + "-\n",
	} {
		if _, ok := ParseTraceParent(bad); ok {
			t.Errorf("%q is read", bad)
		}
	}
	if made, ok := ParseTraceParent(drawTraceParent().String()); !ok || made.IsZero() {
		t.Error("a new trace is not valid")
	}
}
