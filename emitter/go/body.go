package reassemble

import (
	"io"
	"sync"
)

// bodyReader is a body on its way through a capture. What it gives is the inner body's, at its pace.
type bodyReader struct {
	io.ReadCloser
	capture *capture
	half    half
	// at is how much of the body this reader has given: one that is read again (a request that is sent again) is not captured again.
	at       int64
	captured *position
	// ended is called with what the body ended with: io.EOF, or what went wrong.
	ended func(err error)
}

// position is up to where a body was captured, shared by the readers of one body.
type position struct {
	mu sync.Mutex
	at int64
}

func (b *bodyReader) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if n > 0 {
		b.pass(into[:n])
	}
	if err != nil {
		b.ended(err)
	}
	return n, err
}

// pass captures what no reader of this body has captured.
func (b *bodyReader) pass(piece []byte) {
	b.captured.mu.Lock()
	defer b.captured.mu.Unlock()
	end := b.at + int64(len(piece))
	if known := max(b.captured.at-b.at, 0); known < int64(len(piece)) {
		b.capture.body(b.half, piece[known:])
		b.captured.at = end
	}
	b.at = end
}
