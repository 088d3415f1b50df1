package io.reassemble.emitter;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;

/** What requests' threads and the writer share, and the decision on each capture. */
final class Shared {
    final Settings settings;
    final CaptureQueue queue;
    final AtomicLong begun = new AtomicLong();
    /** Captures of which both parts have ended, and were cut into lines. */
    final AtomicLong ended = new AtomicLong();
    final LongAdder finished = new LongAdder();
    final LongAdder dropped = new LongAdder();
    final LongAdder sampledOut = new LongAdder();
    final LongAdder lostLines = new LongAdder();
    /** Nobody reads the output any more, so that nothing need be captured. */
    volatile boolean outputGone;

    Shared(Settings settings, long queueLimit) {
        this.settings = settings;
        queue = new CaptureQueue(queueLimit);
    }

    Counts counts() {
        return new Counts(begun.get(), finished.sum(), dropped.sum(), sampledOut.sum(), lostLines.sum());
    }

    /**
     * Decides on a capture: sampling, the rate limit, the queue's room.
     *
     * @param start what is said of it
     * @param id its id, drawn for it
     * @return the capture under way; null where there is none
     */
    Live admit(Begin start, String id, long tsMicros) {
        boolean byTrace = start.trace != null && settings.sampleBy() == SampleBy.TRACE;
        boolean taken = Identity.isSampled(byTrace ? start.trace.traceId() : id, settings.sampleRate());
        if (taken && settings.rateLimit() != null) {
            taken = settings.rateLimit().takes(start.method, start.path(), System.nanoTime());
        }
        // A one-way request has no response that could tell.
        boolean isHeld = !taken && settings.errors() == CaptureErrors.ALWAYS && !start.oneway;
        if (!taken && !isHeld) {
            count(sampledOut);
            return null;
        }
        Live live = new Live(this, id, tsMicros, System.nanoTime(), isHeld);
        Message.Begin message = start.message(live, why());
        if (outputGone || queue.isClosed() || !queue.reserve(message.cost() + Live.CLOSING_BYTES)) {
            count(dropped);
            return null;
        }
        if (!isHeld) {
            live.n = begun.incrementAndGet();
        }
        live.pushReserved(message);
        return live;
    }

    /** Counts a capture that the writer does not come to know of. */
    void count(LongAdder counter) {
        counter.increment();
        queue.counted();
    }

    private String why() {
        return settings.rateLimit() != null ? "limit" : settings.sampleRate() < 1 ? "sample" : "all";
    }
}
