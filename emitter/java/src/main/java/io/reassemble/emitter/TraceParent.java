package io.reassemble.emitter;

import java.util.Optional;
import java.util.regex.Pattern;

/** A W3C {@code traceparent}, valid as a whole: {@code 00-<32 hex>-<16 hex>-<2 hex>}. */
public final class TraceParent {
    private static final int LENGTH = 55;
    private static final int MAX_LENGTH = 256;
    private static final Pattern VALID = Pattern.compile(
            "(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\\x20-\\x7e]*)?");

    private final String text;

    private TraceParent(String text) {
        this.text = text;
    }

    /**
     * Reads a header's value.
     *
     * @param text the value; may be null
     * @return the trace; empty where it is none that the standard lets pass
     */
    public static Optional<TraceParent> parse(String text) {
        if (text == null || text.length() > MAX_LENGTH || !VALID.matcher(text).matches()) {
            return Optional.empty();
        }
        // Later versions may be longer; this one is not.
        boolean good = text.length() == LENGTH || !text.startsWith("00");
        return good ? Optional.of(new TraceParent(text)) : Optional.empty();
    }

    /** A new trace, marked as sampled. */
    static TraceParent make() {
        return new TraceParent("00-" + nonZero(16) + '-' + nonZero(8) + "-01");
    }

    /** The same trace with a span of its own, as an outbound call carries it. */
    TraceParent child() {
        return new TraceParent("00-" + traceId() + '-' + nonZero(8) + text.substring(52, LENGTH));
    }

    /** An id of zeros alone means none. */
    private static String nonZero(int bytes) {
        byte[] random = Identity.random(bytes);
        random[bytes - 1] |= allZero(random) ? 1 : 0;
        return Identity.hex(random);
    }

    private static boolean allZero(byte[] bytes) {
        int all = 0;
        for (byte b : bytes) {
            all |= b;
        }
        return all == 0;
    }

    /**
     * The trace's id.
     *
     * @return the 32 hex digits that all of a trace shares
     */
    public String traceId() {
        return text.substring(3, 35);
    }

    /** The header's value. */
    @Override
    public String toString() {
        return text;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof TraceParent trace && trace.text.equals(text);
    }

    @Override
    public int hashCode() {
        return text.hashCode();
    }
}
