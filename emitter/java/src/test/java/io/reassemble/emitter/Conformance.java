package io.reassemble.emitter;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Answers vectors: reads JSON lines on standard input, and writes one JSON line for each.
 *
 * <p>{@code {"emit": VECTOR, "feed": "given" | "whole" | "bytes"}} gives {@code {"lines": …}}; {@code {"redact": CASE}} gives {@code {"output": …}}.
 */
final class Conformance {
    private Conformance() {}

    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.print(answer(Json.object(Json.read(line))) + "\n");
            out.flush();
        }
    }

    private static String answer(Map<String, Object> question) {
        if (question.containsKey("emit")) {
            byte[] lines = lines(Json.object(question.get("emit")), (String) question.get("feed"));
            return "{\"lines\":" + Json.quoted(new String(lines, StandardCharsets.UTF_8)) + "}";
        }
        String output = redacted(Json.object(question.get("redact")));
        return "{\"output\":" + (output == null ? "null" : Json.quoted(output)) + "}";
    }

    /** The lines of an emit vector. */
    static byte[] lines(Map<String, Object> vector, String feed) {
        Bytes out = new Bytes(4096);
        String part = (String) vector.get("part");
        String secret = (String) vector.get("key");
        SigningKey key = secret == null ? null : SigningKey.of(secret, "the vector");
        PartWriter.Kind kind = switch (part) {
            case "req" -> PartWriter.Kind.REQUEST;
            case "res" -> PartWriter.Kind.RESPONSE;
            default -> PartWriter.Kind.META;
        };
        PartWriter writer = new PartWriter(out, number(vector.get("limit")).intValueExact(), key).open((String) vector.get("id"), kind);
        writer.head(head(part, Json.object(vector.get("head"))));
        if (part.equals("meta")) {
            writer.endMeta();
            return out.copy();
        }
        for (byte[] arrival : arrivals(vector, feed)) {
            writer.body(arrival, 0, arrival.length);
        }
        Map<String, Object> tail = Json.object(vector.get("tail"));
        writer.end(new Tail(
                longOf(tail, "us"), status(tail), headers(tail, "trailers"), (String) tail.get("error"),
                Boolean.TRUE.equals(tail.get("truncated")), longOf(tail, "full_len")));
        return out.copy();
    }

    private static List<byte[]> arrivals(Map<String, Object> vector, String feed) {
        List<byte[]> given = new ArrayList<>();
        for (Object item : Json.list(vector.getOrDefault("arrivals", List.of()))) {
            Map<String, Object> arrival = Json.object(item);
            byte[] bytes = arrival.containsKey("text")
                    ? ((String) arrival.get("text")).getBytes(StandardCharsets.UTF_8)
                    : Base64.getDecoder().decode((String) arrival.get("b64"));
            int times = arrival.containsKey("times") ? number(arrival.get("times")).intValueExact() : 1;
            for (int time = 0; time < times; time++) {
                given.add(bytes);
            }
        }
        if (feed.equals("given")) {
            return given;
        }
        ByteArrayOutputStream whole = new ByteArrayOutputStream();
        given.forEach(whole::writeBytes);
        if (feed.equals("whole")) {
            return List.of(whole.toByteArray());
        }
        List<byte[]> single = new ArrayList<>();
        for (byte b : whole.toByteArray()) {
            single.add(new byte[] {b});
        }
        return single;
    }

    private static Bytes head(String part, Map<String, Object> head) {
        Object ts = head.get("ts");
        Long micros = ts == null ? null : micros(Instant.parse((String) ts));
        String service = (String) head.get("service");
        String host = (String) head.get("host");
        String inst = (String) head.get("inst");
        String encoding = (String) head.get("body_enc");
        return switch (part) {
            case "req" -> new Heads.Request(
                    micros, service, host, inst, longOf(head, "n"), (String) head.get("dir"), (String) head.get("proto"),
                    (String) head.get("method"), (String) head.get("url"), headers(head, "headers"), (String) head.get("peer"),
                    (String) head.get("trace"), (String) head.get("parent"), tags(head), rate(head), (String) head.get("why"), encoding,
                    Boolean.TRUE.equals(head.get("oneway"))).json(new Bytes(512));
            case "res" -> new Heads.Response(micros, longOf(head, "us"), status(head), headers(head, "headers"), encoding).json(new Bytes(512));
            default -> new Heads.Meta(
                    micros, service, host, inst, longOf(head, "begun"), longOf(head, "finished"), longOf(head, "dropped"),
                    longOf(head, "sampled_out")).json(new Bytes(512));
        };
    }

    private static long micros(Instant instant) {
        return instant.getEpochSecond() * 1_000_000 + instant.getNano() / 1000;
    }

    private static BigDecimal number(Object value) {
        return (BigDecimal) value;
    }

    /** A number of up to 64 bits, unsigned where it is so large. */
    private static Long longOf(Map<String, Object> object, String key) {
        return object.containsKey(key) ? number(object.get(key)).toBigIntegerExact().longValue() : null;
    }

    private static String rate(Map<String, Object> head) {
        return head.containsKey("rate") ? Heads.spelled(number(head.get("rate")).doubleValue()) : null;
    }

    private static Object status(Map<String, Object> object) {
        Object status = object.get("status");
        return status instanceof BigDecimal code ? (Object) code.intValueExact() : status;
    }

    private static Map<String, String> tags(Map<String, Object> head) {
        Map<String, String> tags = new TreeMap<>();
        Json.object(head.getOrDefault("tags", Map.of())).forEach((name, value) -> tags.put(name, (String) value));
        return tags;
    }

    private static List<Header> headers(Map<String, Object> object, String key) {
        if (!object.containsKey(key)) {
            return null;
        }
        List<Header> headers = new ArrayList<>();
        for (Object item : Json.list(object.get(key))) {
            List<Object> pair = Json.list(item);
            String name = (String) pair.get(0);
            if (pair.get(1) instanceof String value) {
                headers.add(new Header(name, value));
            } else {
                byte[] bytes = Base64.getDecoder().decode((String) Json.object(pair.get(1)).get("b64"));
                headers.add(Header.ofLatin1(name, new String(bytes, StandardCharsets.ISO_8859_1)));
            }
        }
        return headers;
    }

    /** What may be told of a redaction case's input; null where it is left out. */
    static String redacted(Map<String, Object> given) {
        Redactor redactor = new Redactor();
        strings(given, "redact_headers").forEach(redactor::addHeader);
        strings(given, "keep_headers").forEach(redactor::keepHeader);
        strings(given, "redact_names").forEach(redactor::addName);
        strings(given, "keep_names").forEach(redactor::keepName);
        String input = (String) given.get("input");
        return switch ((String) given.get("kind")) {
            case "header" -> redactor.headers(List.of(new Header((String) given.get("name"), (String) given.get("value")))).get(0).value();
            case "url" -> redactor.url(input);
            case "json" -> body(BodyRedactor.JSON, redactor, input);
            default -> body(BodyRedactor.FORM, redactor, input);
        };
    }

    private static String body(BodyRedactor kind, Redactor redactor, String input) {
        byte[] bytes = input.getBytes(StandardCharsets.UTF_8);
        Bytes told = kind.redact(redactor, new Bytes(bytes.length).put(bytes));
        return told == null ? null : new String(told.array, 0, told.length, StandardCharsets.UTF_8);
    }

    private static List<String> strings(Map<String, Object> object, String key) {
        return Json.list(object.getOrDefault(key, List.of())).stream().map(String.class::cast).toList();
    }
}
