package reassemble

import "context"

type contextKey struct{}

// link is what code that handles a request knows of it: what it asks of others bears the trace and names the capture.
type link struct {
	trace TraceParent
	// id is empty where the request is not captured.
	id string
}

func withLink(ctx context.Context, l link) context.Context {
	return context.WithValue(ctx, contextKey{}, l)
}

func linkOf(ctx context.Context) link {
	l, _ := ctx.Value(contextKey{}).(link)
	return l
}

// CaptureID gives the id of the capture within which the code runs; empty where there is none.
func CaptureID(ctx context.Context) string { return linkOf(ctx).id }

// Trace gives the trace within which the code runs; the zero value where there is none.
func Trace(ctx context.Context) TraceParent { return linkOf(ctx).trace }

// WithTrace gives a context whose captures belong to a trace and, where parent is not empty, name the capture of this id as what caused them:
// for work that a message or job brings along.
func WithTrace(ctx context.Context, trace TraceParent, parent string) context.Context {
	return withLink(ctx, link{trace, parent})
}
