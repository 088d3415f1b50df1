package reassemble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAQueryIsCapturedAsItWasTold(t *testing.T) {
	e, k := emit(t)
	trace, _ := ParseTraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	query := e.Begin(context.Background(), "postgres", "query", "postgres://ann:pw@db/shop?token=x").Trace(trace).Parent("c-1").Peer("10.0.0.7:5432").
		Tag("zone", "b").Tag("pool", "main").Header("application", "shop").Start()
	query.RequestBody([]byte("select name "))
	query.RequestBody([]byte("from items"))
	query.Respond("00000", Header{"Set-Cookie", "s=1"})
	query.ResponseBody([]byte(`[["tea"],["cup"]]`))
	query.Finish()
	query.Finish()
	query.ResponseBody([]byte("late"))
	closed(t, e)
	c := k.read()
	x := c.of("out", "postgres://db/shop?token=[redacted]")
	equal(t, "id", c.idOf(x), query.ID())
	equal(t, "request", string(x.req.body), "select name from items")
	equal(t, "response", string(x.res.body), `[["tea"],["cup"]]`)
	equal(t, "tails", x.req.tail.said()+x.res.tail.said(), whole+whole)
	h := x.req.head
	equal(t, "head", fmt.Sprint(h.Service, h.N, h.Proto, h.Method, h.Trace, h.Parent, h.Peer, h.Tags, h.header("application"), h.Rate, h.Why),
		fmt.Sprint("test", 1, "postgres", "query", trace, "c-1", "10.0.0.7:5432", map[string]string{"zone": "b", "pool": "main"}, "shop", 1, "all"))
	equal(t, "status", x.res.head.Status, any("00000"))
	equal(t, "response header", x.res.head.header("set-cookie"), "[redacted]")
	equal(t, "counts", e.Counts(), Counts{Begun: 1, Finished: 1})
	if len(c.metas) != 1 || c.metas[0].Begun != 1 || c.metas[0].Finished != 1 || c.metas[0].Inst != h.Inst {
		t.Errorf("metas: %+v", c.metas)
	}
}

func TestAnErrorAndAOneWayMessageAreTold(t *testing.T) {
	e, k := emit(t)
	event := e.Begin(context.Background(), "kafka", "produce", "kafka://broker/orders").OneWay().Start()
	event.RequestBody([]byte(`{"order":7}`))
	event.Finish()
	query := e.Begin(context.Background(), "postgres", "query", "postgres://db/failed").Start()
	query.RequestBody([]byte("selekt"))
	query.Error(strings.Repeat("é", 600))
	query.Finish()
	job := e.Begin(context.Background(), "job", "run", "job://nightly").Inbound().Start()
	closed(t, e)
	job.Finish()
	c := k.read()
	x := c.of("out", "orders")
	if x.res != nil || !x.req.head.OneWay || string(x.req.body) != `{"order":7}` {
		t.Errorf("%+v", x.req)
	}
	failed := c.of("out", "failed")
	equal(t, "request", failed.req.tail.said(), whole)
	equal(t, "error", failed.res.tail.Error, strings.Repeat("é", 512))
	open := c.of("in", "nightly")
	equal(t, "request", open.req.tail.said(), `"shutdown" true -`)
	equal(t, "response", open.res.tail.said(), `"shutdown" true -`)
}

func TestCallsWithinACaptureBearItsTraceAndNameIt(t *testing.T) {
	e, k := emit(t)
	trace := drawTraceParent()
	job := e.Begin(context.Background(), "job", "run", "job://1").Inbound().Trace(trace).Start()
	ctx := job.Context(context.Background())
	equal(t, "id", CaptureID(ctx), job.ID())
	equal(t, "trace", Trace(ctx), trace)
	e.Begin(ctx, "redis", "GET", "redis://cache/k").Start().Finish()
	job.Finish()
	closed(t, e)
	x := k.read().of("out", "cache/k")
	equal(t, "parent", x.req.head.Parent, job.ID())
	equal(t, "trace", x.req.head.Trace, trace.String())
}

func TestOneBeginStartsSeveralCaptures(t *testing.T) {
	e, k := emit(t)
	begin := e.Begin(context.Background(), "x", "x", "x://1").Header("cookie", "s3cret")
	begin.Start().Finish()
	begin.Start().Finish()
	closed(t, e)
	c := k.read()
	equal(t, "captures", len(c.exchanges), 2)
	equal(t, "header", c.of("out", "//1").req.head.header("cookie"), "[redacted]")
}

func TestManyAtOnceAreAllWrittenWithNumbersWithoutGaps(t *testing.T) {
	e, k := emit(t, QueueLimit(256<<20), LineLimit(700), SigningKey("8d0f3c2e9a7b465180d2b6f4c1e3a597"))
	sizes := []int{0, 1, 500, 4095, 20_000, 70_000, 200_000}
	var wait sync.WaitGroup
	for n := range 140 {
		wait.Go(func() {
			body := make([]byte, sizes[n%len(sizes)])
			random := rand.NewChaCha8([32]byte{byte(n)})
			random.Read(body)
			if n%2 == 0 {
				copy(body, strings.Repeat("\"text\"\n", len(body)/7))
			}
			c := e.Begin(context.Background(), "x", "x", fmt.Sprint("x://h/", n)).Start()
			for rest := body; len(rest) > 0; {
				piece := rest[:min(len(rest), 1+int(random.Uint64()%9000))]
				c.RequestBody(piece)
				rest = rest[len(piece):]
			}
			c.RespondCode(200)
			c.ResponseBody(body)
			clear(body)
			c.Finish()
		})
	}
	wait.Wait()
	closed(t, e)
	c := k.read()
	numbers := make(map[uint64]bool)
	for n := range 140 {
		x := c.of("out", fmt.Sprint("//h/", n))
		equal(t, "length", len(x.req.body), sizes[n%len(sizes)])
		equal(t, "bodies are the same", string(x.req.body) == string(x.res.body), true)
		numbers[x.req.head.N] = x.req.head.N >= 1 && x.req.head.N <= 140
	}
	equal(t, "numbers", len(numbers), 140)
	equal(t, "unsigned lines", c.unsigned, 0)
	if c.longest > 700 {
		t.Errorf("a line of %d bytes", c.longest)
	}
	equal(t, "kept room", e.queue.bytes, 0)
}

func TestABodyOverItsLimitIsTruncated(t *testing.T) {
	e, k := emit(t, BodyLimit(10))
	c := e.Begin(context.Background(), "x", "x", "x://long").Start()
	c.RequestBody([]byte("0123456"))
	c.RequestBody([]byte("789abc"))
	c.RequestBody([]byte("d"))
	c.Respond("ok")
	c.ResponseBody([]byte("0123456789"))
	c.Finish()
	closed(t, e)
	x := k.read().of("out", "long")
	equal(t, "request", string(x.req.body)+x.req.tail.said(), `0123456789"" true 14`)
	equal(t, "response", string(x.res.body)+x.res.tail.said(), "0123456789"+whole)
}

// stuck is an output that takes nothing until it is let go.
type stuck struct {
	kept
	let chan struct{}
}

func (s *stuck) Write(text []byte) (int, error) {
	<-s.let
	return s.kept.Write(text)
}

func TestAFullQueueDropsWholeCapturesAndEndsWhatHasBegun(t *testing.T) {
	s := &stuck{kept{t: t}, make(chan struct{})}
	e, err := New(OutputWriter(s), QueueLimit(20_000))
	must(t, err)
	begun := e.Begin(context.Background(), "x", "x", "x://begun").Start()
	begun.RequestBody([]byte("the start"))
	for range 30 {
		e.Begin(context.Background(), "x", "x", "x://many").Start().Finish()
	}
	begun.RequestBody(make([]byte, 20_000))
	begun.RequestBody([]byte("never after a gap"))
	begun.Respond("ok", Header{"a", strings.Repeat("x", 20_000)})
	begun.ResponseBody([]byte("left out"))
	begun.Finish()
	counts := e.Counts()
	if counts.Dropped == 0 || counts.Begun+counts.Dropped != 31 {
		t.Errorf("%+v", counts)
	}
	close(s.let)
	closed(t, e)
	c := s.read()
	x := c.of("out", "begun")
	equal(t, "request", string(x.req.body)+x.req.tail.said(), `the start"queue" true 20026`)
	equal(t, "response", string(x.res.body)+x.res.tail.said(), `"queue" true 8`)
	equal(t, "captures", uint64(len(c.exchanges)), counts.Begun)
	equal(t, "dropped", c.metas[len(c.metas)-1].Dropped, counts.Dropped)
	equal(t, "kept room", e.queue.bytes, 0)
}

// faulty fails as told.
type faulty func(text []byte) (int, error)

func (f faulty) Write(text []byte) (int, error) { return f(text) }

func TestFaultsOfTheOutputStayThere(t *testing.T) {
	for what, fault := range map[string]faulty{
		"panics": func([]byte) (int, error) { panic("output") },
		"fails":  func([]byte) (int, error) { return 0, os.ErrClosed },
		"lies":   func(text []byte) (int, error) { return 0, nil },
	} {
		t.Run(what, func(t *testing.T) {
			e, err := New(OutputWriter(fault))
			must(t, err)
			e.Begin(context.Background(), "x", "x", "x://1").Start().Finish()
			must(t, e.Flush(context.Background()))
			e.Begin(context.Background(), "x", "x", "x://2").Start().Finish()
			closed(t, e)
			equal(t, "finished", e.Counts().Finished, 0)
		})
	}
}

func TestAnOutputThatHangsHoldsNobodyUp(t *testing.T) {
	s := &stuck{kept{t: t}, make(chan struct{})}
	e, err := New(OutputWriter(s))
	must(t, err)
	e.Begin(context.Background(), "x", "x", "x://1").Start().Finish()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Flush(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := e.Shutdown(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(s.let)
	closed(t, e)
	equal(t, "captures", len(s.read().exchanges), 1)
}

func TestNothingIsCapturedWhereTheEmitterIsOff(t *testing.T) {
	t.Setenv("CAPTURE_OUTPUT", "off")
	off, err := FromEnv()
	must(t, err)
	for _, e := range []*Emitter{off, nil, {}} {
		c := e.Begin(context.Background(), "x", "x", "x").Tag("a", "b").Start()
		c.RequestBody([]byte("x"))
		c.Respond("x")
		c.Error("x")
		c.Finish()
		e.Reopen()
		must(t, e.Flush(context.Background()))
		closed(t, e)
		equal(t, "id", c.ID(), "")
		equal(t, "counts", e.Counts(), Counts{})
	}
}

func TestCountersAreToldWhileThereIsSomethingNewAndNotTwice(t *testing.T) {
	e, k := emit(t, MetaEvery(time.Millisecond))
	e.Begin(context.Background(), "x", "x", "x://1").Start().Finish()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		metas := k.read().metas
		if n := len(metas); n > 0 && metas[n-1].Finished == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing was told: %+v", metas)
		}
	}
	told := len(k.read().metas)
	closed(t, e)
	equal(t, "told again", len(k.read().metas), told)
}
