package io.reassemble.emitter;

import java.util.List;

/** What the writer knows of a capture: its parts under way, and the bodies that are looked through once they are whole. */
final class Cutting {
    /** One part. */
    static final class Side {
        private final PartWriter writer;
        private final Settings settings;
        private final BodyRedactor redaction;
        /** What came of a body that is looked through. */
        private Bytes held;
        /** How much of the body came, and whether that is too much to be held. */
        private long came;
        private boolean overflown;
        private long heldCost;

        Side(PartWriter writer, Settings settings, List<Header> headers) {
            this.writer = writer;
            this.settings = settings;
            redaction = settings.redactBodies() ? BodyRedactor.of(headers) : BodyRedactor.NONE;
        }

        /** Takes a piece, whose array is the caller's no more; gives how much of its cost stays with the queue because it is held. */
        long body(byte[] bytes, int length, long cost) {
            if (redaction == BodyRedactor.NONE) {
                writer.body(bytes, 0, length);
                return 0;
            }
            came += length;
            if (overflown || came > settings.redactBuffer()) {
                overflown = true;
                held = null;
                return 0;
            }
            if (held == null) {
                held = new Bytes(bytes, length);
            } else {
                held.put(bytes, 0, length);
            }
            heldCost += cost;
            return cost;
        }

        /** Ends the part; gives the cost of what was held. */
        long end(Tail tail) {
            writer.end(redaction == BodyRedactor.NONE ? tail : redacted(tail));
            return heldCost;
        }

        PartWriter writer() {
            return writer;
        }

        private Tail redacted(Tail tail) {
            if (came == 0) {
                // An empty body is itself, and so is one that was left out before it came here.
                return tail;
            }
            if (tail.truncated()) {
                return leftOut(tail, "redact_buffer", tail.fullLength());
            }
            if (overflown) {
                return leftOut(tail, "redact_buffer", came);
            }
            Bytes told = redaction.redact(settings.redactor(), held);
            if (told == null) {
                return leftOut(tail, "redact_syntax", came);
            }
            writer.body(told.array, 0, told.length);
            return tail;
        }

        /** An error of the part's own says more than that its body could not be looked through. */
        private static Tail leftOut(Tail tail, String error, Long fullLength) {
            boolean own = tail.error() != null && !tail.error().isEmpty();
            return new Tail(tail.us(), tail.status(), tail.trailers(), own ? tail.error() : error, true, fullLength);
        }
    }

    Side request;
    Side response;
    /** The response has yet to begin. */
    boolean awaited;
    /** A line of it was lost. */
    boolean torn;

    boolean hasEnded() {
        return request == null && response == null && !awaited;
    }
}
