package reassemble

import (
	"strings"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
	"github.com/reassemble/reassemble/emitter/go/internal/redact"
)

// secretiveBody is a body that may hold secrets under listed names (C-3.2): it is held until its end, up to a limit.
type secretiveBody struct {
	isForm bool
	limit  int64
	held   []byte
	// long says that it is over the limit, and nothing of it is held.
	long bool
}

// begin tells whether a body with such headers is looked through, and makes ready for it.
func (b *secretiveBody) begin(headers []line.Pair, limit int64) bool {
	contentType := ""
	for _, header := range headers {
		switch {
		case strings.EqualFold(header.Name, "content-type") && contentType == "":
			contentType = mediaType(header.Value)
		case strings.EqualFold(header.Name, "content-encoding") && header.Value != "" && !strings.EqualFold(header.Value, "identity"):
			return false
		}
	}
	isForm := contentType == "application/x-www-form-urlencoded"
	if !isForm && contentType != "application/json" && contentType != "application/x-ndjson" && !strings.HasSuffix(contentType, "+json") {
		return false
	}
	*b = secretiveBody{isForm: isForm, limit: limit, held: b.held[:0]}
	return true
}

// take holds the next piece and tells how many bytes more are held, or less.
func (b *secretiveBody) take(piece []byte) int64 {
	before := int64(len(b.held))
	switch {
	case b.long:
	case before+int64(len(piece)) > b.limit:
		b.long, b.held = true, nil
	default:
		b.held = append(b.held, piece...)
	}
	return int64(len(b.held)) - before
}

// finish gives what may be captured of the body, and says in its tail where it is left out.
func (b *secretiveBody) finish(redactor *redact.Redactor, tail *line.Tail) []byte {
	switch {
	case b.long || tail.Truncated && len(b.held) > 0:
		leaveOut(tail, "redact_buffer")
		return nil
	case b.isForm:
		return redactor.Form(b.held)
	}
	body, ok := redactor.JSON(b.held)
	if !ok {
		leaveOut(tail, "redact_syntax")
		return nil
	}
	return body
}

// leaveOut says why nothing of a body is there, unless the part ends with an error of its own.
func leaveOut(tail *line.Tail, why string) {
	if tail.Error == "" {
		tail.Error = why
	}
	tail.Truncated = true
}
