package reassemble

import (
	"strings"
	"sync"
	"time"
)

const (
	// maxEndpoints is how many endpoints have a bucket of their own; later ones share one.
	maxEndpoints = 1024
	// longSegment is from where on a path's segment counts as a value: the longest that does not, in characters.
	longSegment = 32
)

// rateLimit is C-2.2's: a bucket for each endpoint.
type rateLimit struct {
	perSecond float64
	mu        sync.Mutex
	buckets   map[string]*bucket
	shared    *bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newRateLimit(perSecond float64) *rateLimit {
	return &rateLimit{perSecond: perSecond, buckets: make(map[string]*bucket)}
}

// takes tells whether the endpoint's bucket had a capture left, and takes it.
func (l *rateLimit) takes(endpoint string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := max(1, l.perSecond)
	b := l.buckets[endpoint]
	if b == nil {
		if len(l.buckets) < maxEndpoints {
			// The endpoint may be a part of a request's long target, which must not be kept alive.
			b = &bucket{most, now}
			l.buckets[strings.Clone(endpoint)] = b
		} else {
			if l.shared == nil {
				l.shared = &bucket{most, now}
			}
			b = l.shared
		}
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left = min(most, b.left+passed*l.perSecond)
		b.at = now
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// endpointOf names an endpoint where no framework tells the route: segments that hold a digit or are long become `*`.
func endpointOf(method, path string) string {
	var out strings.Builder
	out.WriteString(method)
	out.WriteByte(' ')
	for at, segment := range strings.Split(path, "/") {
		if at > 0 {
			out.WriteByte('/')
		}
		if strings.ContainsAny(segment, "0123456789") || len(segment) > longSegment && len([]rune(segment)) > longSegment {
			segment = "*"
		}
		out.WriteString(segment)
	}
	return out.String()
}
