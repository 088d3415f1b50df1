package io.reassemble.emitter;

import java.util.List;

/**
 * What is known when a part ends (L-2.4); what is null is left out.
 *
 * @param us microseconds from the request's start to this end
 * @param status an {@link Integer} or a {@link String}, where it is known only now
 * @param fullLength the body's length in bytes, where it was cut
 */
record Tail(Long us, Object status, List<Header> trailers, String error, boolean truncated, Long fullLength) {
    static final int MAX_ERROR_BYTES = 1024;
    private static final byte[] US = Bytes.of(",\"us\":");

    /** Adds the keys behind {@code len} and {@code crc}. */
    void write(Bytes json) {
        if (us != null) {
            json.put(US).number(us);
        }
        Heads.status(json, status);
        if (trailers != null) {
            json.ascii(",\"trailers\":");
            Heads.headers(json, trailers);
        }
        if (error != null && !error.isEmpty()) {
            json.ascii(",\"error\":").quoted(cut(error));
        }
        if (truncated) {
            json.ascii(",\"truncated\":true");
            if (fullLength != null) {
                json.ascii(",\"full_len\":").number(fullLength);
            }
        }
    }

    /** As much of an error as a tail may hold, cut at a character's edge. */
    static String cut(String error) {
        int bytes = 0;
        for (int at = 0; at < error.length(); ) {
            int point = error.codePointAt(at);
            // A lone surrogate is written as U+FFFD, of three bytes as well.
            bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
            if (bytes > MAX_ERROR_BYTES) {
                return error.substring(0, at);
            }
            at += Character.charCount(point);
        }
        return error;
    }
}
