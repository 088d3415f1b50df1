package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.util.Optional;

/** A W3C {@code traceparent}, valid as a whole: {@code 00-<32 hex>-<16 hex>-<2 hex>}. */
public final class TraceParent {
    private static final int LENGTH = 55;
    private static final int MAX_LENGTH = 256;
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
        return isValid(text) ? Optional.of(new TraceParent(text)) : Optional.empty();
    }

    private static boolean isValid(String text) {
        if (text == null || text.length() < LENGTH || text.length() > MAX_LENGTH || text.startsWith("ff")) {
            return false;
        }
        boolean separated = text.charAt(2) == '-' && text.charAt(35) == '-' && text.charAt(52) == '-';
        if (!separated || !isHex(text, 0, 2) || !isId(text, 3, 35) || !isId(text, 36, 52) || !isHex(text, 53, LENGTH)) {
            return false;
        }
        if (text.length() == LENGTH) {
            return true;
        }
        // Later versions may be longer; this one is not.
        if (text.startsWith("00") || text.charAt(LENGTH) != '-') {
            return false;
        }
        for (int at = LENGTH; at < text.length(); at++) {
            if (text.charAt(at) < 0x20 || text.charAt(at) > 0x7E) {
                return false;
            }
        }
        return true;
    }

    private static boolean isHex(String text, int from, int to) {
        for (int at = from; at < to; at++) {
            char c = text.charAt(at);
            if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
                return false;
            }
        }
        return true;
    }

    /** An id of zeros alone means none. */
    private static boolean isId(String text, int from, int to) {
        int at = from;
        while (at < to && text.charAt(at) == '0') {
            at++;
        }
        return at < to && isHex(text, from, to);
    }

    /** A new trace, marked as sampled. */
    static TraceParent make() {
        byte[] random = Identity.random(24);
        notZero(random, 16);
        notZero(random, 24);
        byte[] made = "00-00000000000000000000000000000000-0000000000000000-01".getBytes(StandardCharsets.ISO_8859_1);
        Identity.putHex(random, 0, 16, made, 3);
        Identity.putHex(random, 16, 24, made, 36);
        return new TraceParent(new String(made, StandardCharsets.ISO_8859_1));
    }

    /** The same trace with a span of its own, as an outbound call carries it. */
    TraceParent child() {
        byte[] random = Identity.random(8);
        notZero(random, 8);
        return new TraceParent("00-" + traceId() + '-' + Identity.hex(random) + text.substring(52, LENGTH));
    }

    /** Sees to it that the eight bytes that end there are not all zero, and so neither is the id of which they are the end. */
    private static void notZero(byte[] random, int end) {
        int all = 0;
        for (int at = end - 8; at < end; at++) {
            all |= random[at];
        }
        random[end - 1] |= all == 0 ? 1 : 0;
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
