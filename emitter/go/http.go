package reassemble

import (
	"context"
	"net/http"
	"strings"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

const traceHeader = "Traceparent"

// grpcStatus names gRPC's status codes, by number.
var grpcStatus = map[string]string{
	"0": "OK", "1": "CANCELLED", "2": "UNKNOWN", "3": "INVALID_ARGUMENT", "4": "DEADLINE_EXCEEDED", "5": "NOT_FOUND", "6": "ALREADY_EXISTS",
	"7": "PERMISSION_DENIED", "8": "RESOURCE_EXHAUSTED", "9": "FAILED_PRECONDITION", "10": "ABORTED", "11": "OUT_OF_RANGE", "12": "UNIMPLEMENTED",
	"13": "INTERNAL", "14": "UNAVAILABLE", "15": "DATA_LOSS", "16": "UNAUTHENTICATED",
}

// letsHTTP is C-2.1's filter of methods and paths.
func (e *Emitter) letsHTTP(method, url string) bool {
	return e.config.methods.letsMethod(method) && (e.config.paths.isOpen() || e.config.paths.lets(pathOf(url)))
}

// filterBody leaves a body out where bodies of its content type are.
func (c *capture) filterBody(h half, contentType string) {
	if c != nil && !c.emitter.config.bodyTypes.letsContentType(contentType) {
		c.skipBody(h)
	}
}

// flatten copies headers, for the app may change the map. The order of names is the writer's to make.
func flatten(headers http.Header, more ...line.Pair) []line.Pair {
	pairs := make([]line.Pair, 0, len(headers)+len(more)+2)
	pairs = append(pairs, more...)
	for name, values := range headers {
		for _, value := range values {
			pairs = append(pairs, line.Pair{Name: name, Value: value})
		}
	}
	return pairs
}

// trailerPairs are trailers in the order of their names; nil where there are none.
func trailerPairs(trailers http.Header) []line.Pair {
	if len(trailers) == 0 {
		return nil
	}
	pairs := flatten(trailers)
	line.SortPairs(pairs)
	return pairs
}

// protocol is the protocol as heads spell it.
func protocol(major, minor int, headers http.Header) string {
	switch {
	case isGRPC(headers):
		return "grpc"
	case major == 2:
		return "h2"
	case major == 3:
		return "h3"
	case major == 1 && minor == 0:
		return "http/1.0"
	default:
		return "http/1.1"
	}
}

func isGRPC(headers http.Header) bool {
	return strings.HasPrefix(headers.Get("Content-Type"), "application/grpc")
}

// responseHead is a response's head. gRPC's own status comes with its trailers, unless there is no body.
func responseHead(code int, headers http.Header) *line.ResponseHead {
	status := line.Status{Code: code}
	if code == http.StatusOK && isGRPC(headers) {
		status = grpcStatusOf(headers)
	}
	return &line.ResponseHead{Status: status, Headers: flatten(headers), Unordered: true}
}

// endHTTP ends the response with its trailers.
func (c *capture) endHTTP(trailers http.Header) {
	if status := grpcStatusOf(trailers); status != (line.Status{}) {
		c.endStatus(status)
	}
	c.end(response, trailerPairs(trailers))
}

func grpcStatusOf(headers http.Header) line.Status {
	code := headers.Get("Grpc-Status")
	if name := grpcStatus[code]; name != "" {
		return line.Status{Text: name}
	}
	return line.Status{Text: code}
}

// hasNoBody tells whether a response has none on the wire, whatever its headers declare.
func hasNoBody(method string, code int) bool {
	return method == http.MethodHead || code < 200 || code == http.StatusNoContent || code == http.StatusNotModified
}

// traceOf reads the trace that a request bears.
func traceOf(headers http.Header) (TraceParent, bool) {
	return ParseTraceParent(headers.Get(traceHeader))
}

// outboundTrace is the trace that an outbound request bears, or is to bear: a child of the context's, or a new one.
func outboundTrace(ctx context.Context, headers http.Header) TraceParent {
	if trace, ok := traceOf(headers); ok {
		return trace
	}
	if l := linkOf(ctx); !l.trace.IsZero() {
		return l.trace.child()
	}
	return drawTraceParent()
}
