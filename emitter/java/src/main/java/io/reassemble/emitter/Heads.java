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
    private static volatile Second last = new Second(Long.MIN_VALUE, new byte[0]);

    private record Second(long second, byte[] text) {}

    private static final byte[][] PROCESS = keys("service", "host", "inst");
    private static final byte[][] CALL = keys("dir", "proto", "method", "url");
    private static final byte[][] LINKS = keys("peer", "trace", "parent");
    private static final byte[][] WHY = keys("why", "body_enc");
    private static final byte[][] BODY_ENC = keys("body_enc");
    private static final byte[] N = keys("n")[0];
    private static final byte[] US = keys("us")[0];
    private static final byte[] RATE = keys("rate")[0];
    private static final byte[] STATUS = keys("status")[0];
    private static final byte[] HEADERS = keys("headers")[0];
    private static final byte[] FIRST_PAIR = Bytes.of("[");
    private static final byte[] NEXT_PAIR = Bytes.of(",[");
    private static final byte[] ZULU = Bytes.of("Z\"");

    private Heads() {}

    private static byte[][] keys(String... names) {
        byte[][] keys = new byte[names.length][];
        for (int at = 0; at < names.length; at++) {
            keys[at] = Bytes.of(",\"" + names[at] + "\":");
        }
        return keys;
    }

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
            ts(json, tsMicros);
            strings(json, PROCESS, service, host, inst, null);
            if (n != null) {
                json.put(N).number(n);
            }
            strings(json, CALL, dir, proto, method, url);
            if (headers != null) {
                json.put(HEADERS);
                Heads.headers(json, headers);
            }
            strings(json, LINKS, peer, trace, parent, null);
            if (tags != null && !tags.isEmpty()) {
                putTags(json, tags);
            }
            if (rate != null) {
                json.put(RATE).ascii(rate);
            }
            strings(json, WHY, why, bodyEncoding, null, null);
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
            ts(json, tsMicros);
            if (us != null) {
                json.put(US).number(us);
            }
            Heads.status(json, status);
            if (headers != null) {
                json.put(HEADERS);
                Heads.headers(json, headers);
            }
            strings(json, BODY_ENC, bodyEncoding, null, null, null);
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
            ts(json, tsMicros);
            strings(json, PROCESS, service, host, inst, null);
            json.ascii(",\"begun\":").number(begun).ascii(",\"finished\":").number(finished);
            json.ascii(",\"dropped\":").number(dropped).ascii(",\"sampled_out\":").number(sampledOut);
            return closed(json);
        }
    }

    static void status(Bytes json, Object status) {
        if (status instanceof Integer code) {
            json.put(STATUS).number(code);
        } else if (status instanceof String name && !name.isEmpty()) {
            json.put(STATUS).quoted(name);
        }
    }

    static void headers(Bytes json, List<Header> headers) {
        int count = headers.size();
        json.put((byte) '[');
        for (int at = 0; at < count; at++) {
            Header header = headers.get(at);
            json.put(at == 0 ? FIRST_PAIR : NEXT_PAIR);
            json.quoted(header.name()).put((byte) ',');
            json.quoted(header.value()).put((byte) ']');
        }
        json.put((byte) ']');
    }

    /** Writes those of four values that are there, each behind its key. */
    private static void strings(Bytes json, byte[][] keys, String first, String second, String third, String fourth) {
        String value = first;
        for (int at = 0; at < 4; at++) {
            if (value != null && !value.isEmpty()) {
                json.put(keys[at]).quoted(value);
            }
            value = at == 0 ? second : at == 1 ? third : fourth;
        }
    }

    /** Begins a head. */
    private static void ts(Bytes json, Long micros) {
        json.clear().put((byte) '{');
        if (micros == null) {
            return;
        }
        long second = Math.floorDiv(micros, 1_000_000L);
        Second spelled = last;
        if (spelled.second != second) {
            spelled = new Second(second, Bytes.of(",\"ts\":\"" + SECOND.format(LocalDateTime.ofEpochSecond(second, 0, ZoneOffset.UTC))));
            last = spelled;
        }
        json.put(spelled.text).digits(Math.floorMod(micros, 1_000_000L), 6).put(ZULU);
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
