package io.reassemble.emitter;

import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Lines read as a reader would: captures with their parts, bodies joined. */
final class Captured {
    static final Duration PATIENCE = Duration.ofSeconds(30);

    /** One part. */
    static final class Side {
        Map<String, Object> head = Map.of();
        Map<String, Object> tail = Map.of();
        final ByteArrayOutputStream body = new ByteArrayOutputStream();
        private final StringBuilder headf = new StringBuilder();
        private final StringBuilder tailf = new StringBuilder();
        boolean whole;

        String text() {
            return body.toString(StandardCharsets.UTF_8);
        }

        String header(String name) {
            for (Object item : Json.list(head.getOrDefault("headers", List.of()))) {
                List<Object> pair = Json.list(item);
                if (name.equalsIgnoreCase((String) pair.get(0))) {
                    return (String) pair.get(1);
                }
            }
            return null;
        }

        Object error() {
            return tail.get("error");
        }

        boolean truncated() {
            return Boolean.TRUE.equals(tail.get("truncated"));
        }

        long number(String key) {
            return ((BigDecimal) tail.get(key)).longValueExact();
        }
    }

    /** One capture. */
    static final class One {
        String id;
        final Side req = new Side();
        final Side res = new Side();

        String url() {
            return (String) req.head.get("url");
        }

        int status() {
            return ((BigDecimal) res.head.get("status")).intValueExact();
        }
    }

    final List<One> captures;
    final List<Map<String, Object>> metas = new ArrayList<>();
    int longestLine;

    private Captured(String text) {
        Map<String, One> byId = new LinkedHashMap<>();
        for (String line : text.split("\n")) {
            if (!line.isEmpty()) {
                longestLine = Math.max(longestLine, line.getBytes(StandardCharsets.UTF_8).length + 1);
                take(Json.object(Json.read(line)), byId);
            }
        }
        captures = List.copyOf(byId.values());
    }

    static Captured of(byte[] lines) {
        return new Captured(new String(lines, StandardCharsets.UTF_8));
    }

    private void take(Map<String, Object> record, Map<String, One> byId) {
        if (record.get("part").equals("meta")) {
            metas.add(Json.object(record.get("head")));
            return;
        }
        One one = byId.computeIfAbsent((String) record.get("cap1"), id -> new One());
        one.id = (String) record.get("cap1");
        Side side = record.get("part").equals("req") ? one.req : one.res;
        if (record.containsKey("head")) {
            side.head = Json.object(record.get("head"));
        }
        side.headf.append(record.getOrDefault("headf", ""));
        side.tailf.append(record.getOrDefault("tailf", ""));
        if (record.containsKey("text")) {
            side.body.writeBytes(((String) record.get("text")).getBytes(StandardCharsets.UTF_8));
        } else if (record.containsKey("b64")) {
            side.body.writeBytes(Base64.getDecoder().decode((String) record.get("b64")));
        }
        if (record.containsKey("tail")) {
            side.tail = Json.object(record.get("tail"));
        }
        if (record.containsKey("of")) {
            side.whole = true;
            side.head = side.headf.isEmpty() ? side.head : Json.object(Json.read(side.headf.toString()));
            side.tail = side.tailf.isEmpty() ? side.tail : Json.object(Json.read(side.tailf.toString()));
        }
    }

    One byUrl(String part) {
        List<One> found = captures.stream().filter(one -> one.url() != null && one.url().contains(part)).toList();
        if (found.size() != 1) {
            throw new AssertionError(found.size() + " captures of " + part + " among " + captures.stream().map(One::url).toList());
        }
        return found.get(0);
    }

    /** An emitter whose lines are kept, and an end to wait for. */
    static final class Kept {
        private final ByteArrayOutputStream lines = new ByteArrayOutputStream();
        Emitter emitter;

        Output output() {
            return Output.stream(new OutputStream() {
                @Override
                public void write(int one) {
                    throw new AssertionError("a line is written in one call");
                }

                @Override
                public void write(byte[] bytes, int from, int count) {
                    synchronized (lines) {
                        lines.write(bytes, from, count);
                    }
                }
            });
        }

        /** All captures, once so many have ended. */
        Captured read(long finished) throws InterruptedException {
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            while (emitter.counts().finished() < finished) {
                if (System.nanoTime() > deadline) {
                    throw new AssertionError(emitter.counts() + " instead of " + finished + ": " + text());
                }
                Thread.sleep(5);
            }
            return now();
        }

        Captured now() {
            synchronized (lines) {
                return of(lines.toByteArray());
            }
        }

        String text() {
            synchronized (lines) {
                return lines.toString(StandardCharsets.UTF_8);
            }
        }
    }

    static Kept keep(EmitterBuilder builder) {
        Kept kept = new Kept();
        kept.emitter = builder.output(kept.output()).build();
        return kept;
    }
}
