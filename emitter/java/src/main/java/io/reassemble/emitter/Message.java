package io.reassemble.emitter;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/** What requests' threads hand to the writer's. {@link #cost} is what it takes of the queue's limit, in bytes. */
sealed interface Message {
    /** What a message takes beside its texts. */
    int OVERHEAD = 96;

    long cost();

    /** Has the writer do what this message says. */
    void handledBy(LineThread writer);

    /** A capture begins. What it says is as the app said it: redaction is the writer's. */
    record Begin(
            Live live, long tsMicros, String dir, String proto, String method, String url, List<Header> headers, String peer, String trace,
            String parent, Map<String, String> tags, String why, boolean oneway, long cost) implements Message {
        @Override
        public void handledBy(LineThread writer) {
            writer.begin(this);
        }

        Begin because(String other) {
            return new Begin(live, tsMicros, dir, proto, method, url, headers, peer, trace, parent, tags, other, oneway, cost);
        }
    }

    /** The response begins. */
    record Respond(Live live, long tsMicros, long us, Object status, List<Header> headers, long cost) implements Message {
        @Override
        public void handledBy(LineThread writer) {
            writer.respond(this);
        }
    }

    /** A piece of a body: the first bytes of an array that is the message's own. */
    record Piece(Live live, boolean response, byte[] bytes, int length) implements Message {
        @Override
        public long cost() {
            return cost(bytes);
        }

        @Override
        public void handledBy(LineThread writer) {
            writer.body(live, response, bytes, length);
        }

        static long cost(byte[] bytes) {
            return OVERHEAD + bytes.length;
        }
    }

    /** A part ends, with what is left of its body: the first bytes of an array that is the message's own, or null. */
    record End(Live live, boolean response, byte[] bytes, int length, Tail tail, long cost) implements Message {
        @Override
        public void handledBy(LineThread writer) {
            writer.end(this);
        }
    }

    /**
     * All before it is to be written.
     *
     * @param drained whether what parts hold back stands before it too
     */
    record Flush(CountDownLatch done, boolean drained) implements Message {
        @Override
        public void handledBy(LineThread writer) {
            writer.flush(this);
        }

        @Override
        public long cost() {
            return 0;
        }
    }

    /** The output is to be opened again. */
    record Reopen() implements Message {
        @Override
        public void handledBy(LineThread writer) {
            writer.reopen();
        }

        @Override
        public long cost() {
            return 0;
        }
    }
}
