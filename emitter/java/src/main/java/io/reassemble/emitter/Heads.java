package io.reassemble.emitter;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Heads as JSON, their keys in the order of L-2; what is null is left out. */
final class Heads {
    private static final DateTimeFormatter SECOND = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.");
    /** The second that was spelled last: most are asked for many times. */
    private static volatile Second last = new Second(Long.MIN_VALUE, "");

    private record Second(long second, String text) {}

    private Heads() {}

    /**
     * The head of {@code req} (L-2.2).
     *
     * @param tsMicros microseconds since 1970
     * @param rate as {@link #spelled} gives it
     */
    record Request(
            Long tsMicros, String service, String host, String inst, Long n, String dir, String proto, String method, String url,
            List<Header> headers, String peer, String trace, String parent, Map<String, String> tags, String rate, String why,
            String bodyEncoding, boolean oneway) {
        /** Writes the head in the place of what the buffer held. */
        Bytes json(Bytes json) {
            json.clear().ascii("{");
            ts(json, tsMicros);
            text(json, "service", service);
            text(json, "host", host);
            text(json, "inst", inst);
            if (n != null) {
                json.ascii(",\"n\":").ascii(Long.toUnsignedString(n));
            }
            text(json, "dir", dir);
            text(json, "proto", proto);
            text(json, "method", method);
            text(json, "url", url);
            if (headers != null) {
                json.ascii(",\"headers\":");
                Heads.headers(json, headers);
            }
            text(json, "peer", peer);
            text(json, "trace", trace);
            text(json, "parent", parent);
            if (tags != null && !tags.isEmpty()) {
                putTags(json, tags);
            }
            if (rate != null) {
                json.ascii(",\"rate\":").ascii(rate);
            }
            text(json, "why", why);
            text(json, "body_enc", bodyEncoding);
            if (oneway) {
                json.ascii(",\"oneway\":true");
            }
            return closed(json);
        }
    }

    /**
     * The head of {@code res} (L-2.3).
     *
     * @param tsMicros microseconds since 1970
     * @param us microseconds from the request's start to the response's first byte
     * @param status an {@link Integer} or a {@link String}
     */
    record Response(Long tsMicros, Long us, Object status, List<Header> headers, String bodyEncoding) {
        /** Writes the head in the place of what the buffer held. */
        Bytes json(Bytes json) {
            json.clear().ascii("{");
            ts(json, tsMicros);
            if (us != null) {
                json.ascii(",\"us\":").number(us);
            }
            Heads.status(json, status);
            if (headers != null) {
                json.ascii(",\"headers\":");
                Heads.headers(json, headers);
            }
            text(json, "body_enc", bodyEncoding);
            return closed(json);
        }
    }

    /**
     * The head of {@code meta} (L-2.6).
     *
     * @param tsMicros microseconds since 1970
     */
    record Meta(Long tsMicros, String service, String host, String inst, long begun, long finished, long dropped, long sampledOut) {
        /** Writes the head in the place of what the buffer held. */
        Bytes json(Bytes json) {
            json.clear().ascii("{");
            ts(json, tsMicros);
            text(json, "service", service);
            text(json, "host", host);
            text(json, "inst", inst);
            json.ascii(",\"begun\":").number(begun).ascii(",\"finished\":").number(finished);
            json.ascii(",\"dropped\":").number(dropped).ascii(",\"sampled_out\":").number(sampledOut);
            return closed(json);
        }
    }

    static void status(Bytes json, Object status) {
        if (status instanceof Integer code) {
            json.ascii(",\"status\":").number(code);
        } else if (status instanceof String name) {
            text(json, "status", name);
        }
    }

    static void headers(Bytes json, List<Header> headers) {
        json.ascii("[");
        for (int at = 0; at < headers.size(); at++) {
            Header header = headers.get(at);
            json.ascii(at == 0 ? "[" : ",[").quoted(header.name()).put((byte) ',').quoted(header.value()).put((byte) ']');
        }
        json.ascii("]");
    }

    private static void text(Bytes json, String key, String value) {
        if (value != null && !value.isEmpty()) {
            json.ascii(",\"").ascii(key).ascii("\":").quoted(value);
        }
    }

    private static void ts(Bytes json, Long micros) {
        if (micros == null) {
            return;
        }
        long second = Math.floorDiv(micros, 1_000_000L);
        Second spelled = last;
        if (spelled.second != second) {
            spelled = new Second(second, SECOND.format(LocalDateTime.ofEpochSecond(second, 0, ZoneOffset.UTC)));
            last = spelled;
        }
        json.ascii(",\"ts\":\"").ascii(spelled.text).digits(Math.floorMod(micros, 1_000_000L), 6).ascii("Z\"");
    }

    /** Names in the order of their bytes, which is not that of Java's own characters. */
    private static void putTags(Bytes json, Map<String, String> tags) {
        String[] names = tags.keySet().toArray(new String[0]);
        Arrays.sort(names, (a, b) ->
                Arrays.compareUnsigned(a.getBytes(StandardCharsets.UTF_8), b.getBytes(StandardCharsets.UTF_8)));
        json.ascii(",\"tags\":{");
        for (int at = 0; at < names.length; at++) {
            json.ascii(at == 0 ? "" : ",").quoted(names[at]).ascii(":").quoted(tags.get(names[at]));
        }
        json.ascii("}");
    }

    /** A rate as heads hold it (L-3.3). */
    static String spelled(double rate) {
        BigDecimal rounded = new BigDecimal(rate).setScale(6, RoundingMode.HALF_EVEN);
        return rounded.signum() == 0 ? "0" : rounded.stripTrailingZeros().toPlainString();
    }

    /** Every key was written with a comma in front; the first one's gives way to the brace. */
    private static Bytes closed(Bytes json) {
        if (json.length > 1) {
            System.arraycopy(json.array, 2, json.array, 1, json.length - 2);
            json.length--;
        }
        return json.put((byte) '}');
    }
}
