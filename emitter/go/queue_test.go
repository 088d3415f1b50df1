package reassemble

import (
	"testing"
	"time"
)

// awakened tells whether the writer was woken, and takes the word of it.
func awakened(q *queue) bool {
	select {
	case <-q.wakeup:
		return true
	default:
		return false
	}
}

func TestALingeringWriterIsWokenForWhatIsUrgentAlone(t *testing.T) {
	q := newQueue(1 << 20)
	q.writer = lingering
	for range urgentBytes / 1024 {
		q.push(message{}, 1024)
	}
	equal(t, "by what it lingers for", awakened(q), false)
	q.push(message{}, 1)
	equal(t, "by what is too much to wait", awakened(q), true)
	q.push(message{}, 1)
	equal(t, "while it is awake", awakened(q), false)
	q = newQueue(1000)
	q.writer = lingering
	q.push(message{}, 251)
	equal(t, "by a quarter of a small queue", awakened(q), true)
	q = newQueue(1000)
	q.writer = lingering
	q.order(reopenOrder{})
	equal(t, "by an order", awakened(q), true)
	q.writer = sleeping
	q.push(message{}, 1)
	equal(t, "by any message while it sleeps", awakened(q), true)
}

func TestNothingIsUrgentOnceAllIsTaken(t *testing.T) {
	// An order may end a batch, or stand in one of its own.
	for before := range 2 * batchMessages {
		q := newQueue(1 << 20)
		for range before {
			q.push(message{}, 1)
		}
		q.order(reopenOrder{})
		taken := 0
		for b, _ := q.take(); b != nil; b, _ = q.take() {
			taken += len(b.messages)
			q.done(b)
		}
		equal(t, "taken", taken, before+1)
		if q.isUrgent() || q.waiting != 0 || q.bytes != 0 {
			t.Fatalf("behind %d messages and an order: %+v", before, q)
		}
	}
}

func TestNoMessageIsSleptThrough(t *testing.T) {
	q := newQueue(1 << 30)
	const sent = 20_000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for seen := 0; seen < sent; {
			b, _ := q.take()
			if b == nil {
				q.wait(0)
				continue
			}
			seen += len(b.messages)
			q.done(b)
		}
	}()
	for n := range sent {
		q.push(message{}, 1)
		if n%5000 == 0 {
			// Long enough for it to fall asleep.
			time.Sleep(3 * linger)
		}
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("messages are left")
	}
}
