package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Captures by calls, from the app's side to the lines. */
class PlainTest {
    private static EmitterBuilder builder() {
        return Emitter.builder().service("test");
    }

    @Test
    void aQueryAndAOneWayMessageAreCaptured() {
        Captured.Kept kept = Captured.keep(builder());
        Capture query = kept.emitter.begin("postgres", "query", "postgres://ann:pw@db/shop").tag("pool", "main").tag("a", "é").start();
        query.requestBody("select name from items");
        query.respond("00000");
        query.responseBody("[[\"tea\"],[\"cup\"]]");
        query.finish();
        Capture event = kept.emitter.begin("kafka", "produce", "kafka://broker/orders").oneway().start();
        event.requestBody("{\"order\":7}");
        event.finish();
        kept.emitter.close();
        Captured captured = kept.now();
        Captured.One shop = captured.byUrl("postgres://db/shop");
        assertEquals(query.id().orElseThrow(), shop.id);
        assertEquals(Map.of("a", "é", "pool", "main"), shop.req.head.get("tags"));
        assertEquals(List.of("test", "out", "postgres", "query", "all"),
                List.of(shop.req.head.get("service"), shop.req.head.get("dir"), shop.req.head.get("proto"), shop.req.head.get("method"),
                        shop.req.head.get("why")));
        assertEquals("select name from items", shop.req.text());
        assertEquals("00000", shop.res.head.get("status"));
        assertEquals("[[\"tea\"],[\"cup\"]]", shop.res.text());
        assertNull(shop.res.error());
        Captured.One orders = captured.byUrl("orders");
        assertTrue(orders.req.whole && !orders.res.whole);
        assertEquals(true, orders.req.head.get("oneway"));
        assertEquals(new BigDecimal(2), captured.metas.get(captured.metas.size() - 1).get("finished"));
        assertEquals(new Counts(2, 2, 0, 0, 0), kept.emitter.counts());
    }

    @Test
    void bodiesComeOutAsTheyWentInHoweverTheyArrive() {
        Captured.Kept kept = Captured.keep(builder().bodyLimit(8 << 20));
        byte[] body = new byte[3_000_000];
        for (int at = 0; at < body.length; at++) {
            body[at] = (byte) (at < 1_000_000 ? 'a' + at % 26 : at * 31 >> 3);
        }
        for (int step : new int[] {7, 4095, 4096, 70_000, body.length}) {
            Capture capture = kept.emitter.begin("x", "put", "x://" + step).start();
            for (int at = 0; at < body.length; at += step) {
                capture.request().body(body, at, Math.min(step, body.length - at));
            }
            capture.finish();
        }
        kept.emitter.shutdown(Captured.PATIENCE);
        Captured captured = kept.now();
        assertEquals(5, captured.captures.size());
        for (Captured.One one : captured.captures) {
            assertArrayEquals(body, one.req.body.toByteArray(), one.url());
            assertFalse(one.req.truncated());
        }
        assertTrue(captured.longestLine <= 4096);
    }

    @Test
    void whatIsNotFinishedSaysSo() {
        Captured.Kept kept = Captured.keep(builder());
        try (Capture dropped = kept.emitter.begin("x", "a", "x://dropped").start()) {
            dropped.requestBody("ab");
        }
        Capture failed = kept.emitter.begin("x", "a", "x://failed").start();
        failed.error("é".repeat(600));
        failed.finish();
        kept.emitter.begin("x", "a", "x://open").start().requestBody("x");
        kept.emitter.close();
        Captured captured = kept.now();
        assertEquals("cancelled", captured.byUrl("dropped").res.error());
        assertTrue(captured.byUrl("dropped").req.truncated());
        assertEquals("é".repeat(512), captured.byUrl("failed").res.error());
        assertNull(captured.byUrl("failed").req.error());
        assertEquals("shutdown", captured.byUrl("open").req.error());
        assertTrue(captured.byUrl("open").res.whole);
        assertTrue(kept.emitter.begin("x", "a", "x://late").start().id().isEmpty());
        assertEquals(1, kept.emitter.counts().dropped());
    }

    @Test
    void aBodyOverItsLimitIsCutAndTellsItsLength() {
        Captured.Kept kept = Captured.keep(builder().bodyLimit(10));
        Capture capture = kept.emitter.begin("x", "a", "x://a").start();
        capture.requestBody("0123456789ab");
        capture.respond(200);
        capture.responseBody("0123456789");
        capture.finish();
        kept.emitter.close();
        Captured.One one = kept.now().byUrl("x://a");
        assertEquals("0123456789", one.req.text());
        assertEquals(12, one.req.number("full_len"));
        assertFalse(one.res.truncated());
    }

    @Test
    void aBodyWhoseTypeIsLeftOutHasHeadAndTailAlone() throws Exception {
        Captured.Kept kept = Captured.keep(builder().skipBodyTypes("application/json"));
        for (String body : new String[] {"{\"a\":1}", ""}) {
            Capture capture = kept.emitter.begin("http/1.1", "GET", "x://of" + body.length()).start();
            capture.respond(200);
            capture.response().filterBody(List.of(new Header("Content-Type", "Application/JSON; charset=utf-8")));
            capture.responseBody(body);
            capture.finish();
        }
        kept.emitter.close();
        Captured.Side left = kept.now().byUrl("of7").res;
        assertEquals(List.of("", true, 7L), List.of(left.text(), left.truncated(), left.number("full_len")));
        assertFalse(kept.now().byUrl("of0").res.truncated());
    }

    @Test
    void aFullQueueDropsWholeCapturesAndEndsBegunOnes() throws InterruptedException {
        CountDownLatch blocked = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        java.io.ByteArrayOutputStream lines = new java.io.ByteArrayOutputStream();
        Emitter emitter = builder().queueLimit(20_000).output(Output.stream(new OutputStream() {
            @Override
            public void write(int one) {
                lines.write(one);
            }

            @Override
            public void write(byte[] bytes, int from, int count) {
                blocked.countDown();
                try {
                    go.await();
                } catch (InterruptedException fault) {
                    throw new AssertionError(fault);
                }
                lines.write(bytes, from, count);
            }
        })).build();
        emitter.begin("x", "a", "x://first").oneway().start().finish();
        blocked.await();
        Capture begun = emitter.begin("x", "a", "x://begun").start();
        begun.requestBody(new byte[9000]);
        begun.requestBody(new byte[9000]);
        begun.requestBody("never behind a gap");
        begun.respond(200, List.of(new Header("a", "b".repeat(20_000))));
        begun.finish();
        while (emitter.begin("x", "a", "x://more/" + "m".repeat(500)).oneway().start().id().isPresent()) {
            assertTrue(emitter.counts().begun() < 100);
        }
        go.countDown();
        emitter.close();
        Captured.One one = Captured.of(lines.toByteArray()).byUrl("begun");
        assertEquals(9000, one.req.body.size());
        assertEquals(List.of("queue", true), List.of(one.req.error(), one.req.truncated()));
        assertEquals(18_018, one.req.number("full_len"));
        assertEquals(List.of("queue", 200), List.of(one.res.error(), one.status()));
        assertEquals(1, emitter.counts().dropped());
        assertEquals(emitter.counts().begun(), emitter.counts().finished());
    }

    @Test
    void allRoomIsGivenBack() throws InterruptedException {
        Captured.Kept kept = Captured.keep(builder().queueLimit(40_000).sampleRate(0.5).sampleBy(SampleBy.ID).errors(CaptureErrors.ALWAYS));
        for (int at = 0; at < 500; at++) {
            Capture capture = kept.emitter.begin("http/1.1", "POST", "http://h/a").header("content-type", "application/json").start();
            capture.requestBody("{\"password\":\"" + "x".repeat(at * 10) + "\"}");
            if (at % 3 == 0) {
                capture.respond(at % 2 == 0 ? 200 : 500, List.of(new Header("content-type", "application/json")));
                capture.responseBody("[" + "1,".repeat(at) + "1]");
            }
            capture.finish();
            assertTrue(kept.emitter.flush(Captured.PATIENCE));
        }
        assertEquals(0, kept.emitter.counts().dropped());
        assertTrue(kept.emitter.shared().queue.reserve(40_000), "room was lost");
        assertFalse(kept.emitter.shared().queue.reserve(1), "more room than there was");
        kept.emitter.close();
    }

    @Test
    void samplingLeavesOutAndErrorsAreKeptAlways() {
        Captured.Kept kept = Captured.keep(builder().sampleRate(0).errors(CaptureErrors.ALWAYS));
        for (int status : new int[] {200, 499, 500, 0}) {
            Capture capture = kept.emitter.begin("http/1.1", "GET", "http://h/" + status).start();
            capture.requestBody("r".repeat(70_000));
            if (status > 0) {
                capture.respond(status);
                capture.responseBody("answer");
            } else {
                capture.error("reset");
            }
            capture.finish();
        }
        kept.emitter.begin("x", "a", "x://oneway").oneway().start().finish();
        kept.emitter.close();
        Captured captured = kept.now();
        assertEquals(List.of("http://h/500", "http://h/0"), captured.captures.stream().map(Captured.One::url).toList());
        Captured.One error = captured.byUrl("500");
        assertEquals(List.of("error", new BigDecimal(0), new BigDecimal(1)),
                List.of(error.req.head.get("why"), error.req.head.get("rate"), error.req.head.get("n")));
        assertEquals(65_536, error.req.body.size());
        assertEquals(70_000, error.req.number("full_len"));
        assertEquals("answer", error.res.text());
        assertEquals("reset", captured.byUrl("/0").res.error());
        assertEquals(new Counts(2, 2, 0, 3, 0), kept.emitter.counts());
    }

    @Test
    void aHeldCaptureThatNoResponseComesToIsAnErrorHoweverItEnds() {
        Captured.Kept kept = Captured.keep(builder().sampleRate(0).errors(CaptureErrors.ALWAYS));
        kept.emitter.begin("x", "a", "x://finished").start().finish();
        kept.emitter.begin("x", "a", "x://closed").start().close();
        kept.emitter.close();
        assertEquals(List.of("x://finished", "x://closed"), kept.now().captures.stream().map(Captured.One::url).toList());
        assertEquals(new Counts(2, 2, 0, 0, 0), kept.emitter.counts());
    }

    @Test
    void aCaptureThatThereIsNoRoomToHoldIsDropped() {
        Captured.Kept kept = Captured.keep(builder().queueLimit(20_000).sampleRate(0).errors(CaptureErrors.ALWAYS));
        Capture held = kept.emitter.begin("x", "a", "x://" + "h".repeat(15_000)).start();
        assertTrue(kept.emitter.begin("x", "a", "x://" + "n".repeat(15_000)).start().id().isEmpty());
        assertEquals(new Counts(0, 0, 1, 0, 0), kept.emitter.counts());
        held.respond(200);
        held.finish();
        assertEquals(new Counts(0, 0, 1, 1, 0), kept.emitter.counts());
        kept.emitter.close();
    }

    @Test
    void whatOnlyACountTellsIsToldWhileTheWriterSleeps() throws Exception {
        Captured.Kept kept = Captured.keep(builder().sampleRate(0).metaEvery(Duration.ofMillis(1)));
        // Longer than the writer looks again by itself.
        Thread.sleep(1000);
        kept.emitter.begin("x", "a", "x://a").start().finish();
        while (kept.now().metas.isEmpty()) {
            Thread.sleep(5);
        }
        assertEquals(BigDecimal.ONE, kept.now().metas.get(0).get("sampled_out"));
        kept.emitter.close();
    }

    @Test
    void samplingByTraceTakesWholeTraces() {
        Captured.Kept kept = Captured.keep(builder().sampleRate(0.5));
        for (int at = 0; at < 100; at++) {
            TraceParent trace = TraceParent.make();
            for (int call = 0; call < 2; call++) {
                kept.emitter.begin("x", "a", "x://" + call).trace(call == 0 ? trace : trace.child()).oneway().start().finish();
            }
            long begun = kept.emitter.counts().begun();
            assertEquals(0, begun % 2);
        }
        assertTrue(kept.emitter.counts().begun() > 0 && kept.emitter.counts().sampledOut() > 0);
        kept.emitter.close();
        assertEquals("sample", kept.now().captures.get(0).req.head.get("why"));
    }

    @Test
    void aRateLimitIsOfEachEndpoint() {
        RateLimit limit = new RateLimit(2);
        long second = 1_000_000_000L;
        boolean[] taken = new boolean[6];
        for (int at = 0; at < 3; at++) {
            taken[at] = limit.takes("GET", "/orders/" + at, 5);
        }
        taken[3] = limit.takes("POST", "/orders/1", 5);
        taken[4] = limit.takes("GET", "/orders/77", 5 + second / 2);
        taken[5] = limit.takes("GET", "/orders/77", 5 + second / 2);
        assertEquals("[true, true, false, true, true, false]", Arrays.toString(taken));
        assertEquals("/a/*/b*", RateLimit.route("/a/x7/b*"));
        assertEquals("/*/" + "a".repeat(32) + "/", RateLimit.route("/" + "a".repeat(33) + "/" + "a".repeat(32) + "/"));
    }

    @Test
    void endpointsBeyondTheirNumberShareOneBucket() {
        RateLimit limit = new RateLimit(1);
        for (int at = 0; at < 1024; at++) {
            assertTrue(limit.takes("GET", "/" + letters(at), 5));
        }
        assertTrue(limit.takes("GET", "/other", 5));
        assertFalse(limit.takes("GET", "/another", 5));
    }

    /** A number without digits. */
    private static String letters(int number) {
        return Integer.toString(number).chars().mapToObj(digit -> String.valueOf((char) (digit - '0' + 'a'))).reduce("", String::concat);
    }

    @Test
    void bodiesOfJsonAndFormsLoseTheirSecrets() {
        Captured.Kept kept = Captured.keep(builder().redactBuffer(100));
        String[][] cases = {
            {"application/json; charset=utf-8", "{\"password\":\"x\",\"a\":1}", "{\"password\":\"[redacted]\",\"a\":1}", ""},
            {"application/problem+json", "{\"token\":\"x\"}", "{\"token\":\"[redacted]\"}", ""},
            {"application/x-www-form-urlencoded", "password=x&a=1", "password=[redacted]&a=1", ""},
            {"application/json", "{\"password\":", "", "redact_syntax"},
            {"application/json", "\"" + "x".repeat(100) + "\"", "", "redact_buffer"},
            {"text/plain", "password=x", "password=x", ""},
        };
        for (int at = 0; at < cases.length; at++) {
            Capture capture = kept.emitter.begin("http/1.1", "POST", "x://case" + at + "/").header("Content-Type", cases[at][0]).start();
            for (char c : cases[at][1].toCharArray()) {
                capture.requestBody(String.valueOf(c));
            }
            capture.finish();
        }
        Capture early = kept.emitter.begin("http/1.1", "POST", "x://early/").header("content-type", "application/json").start();
        early.requestBody("{\"password\":\"x");
        early.close();
        Capture gzip = kept.emitter.begin("http/1.1", "POST", "x://gzip/").header("content-type", "application/json")
                .header("content-encoding", "gzip").start();
        gzip.requestBody("not looked at");
        gzip.finish();
        kept.emitter.close();
        for (int at = 0; at < cases.length; at++) {
            Captured.Side req = kept.now().byUrl("case" + at + "/").req;
            assertEquals(cases[at][2], req.text());
            assertEquals(cases[at][3].isEmpty() ? null : cases[at][3], req.error());
            assertEquals(!cases[at][3].isEmpty(), req.truncated());
            if (req.truncated()) {
                assertEquals(cases[at][1].length(), req.number("full_len"));
            }
        }
        assertEquals(List.of("", "cancelled"), List.of(kept.now().byUrl("early").req.text(), kept.now().byUrl("early").req.error()));
        assertEquals("not looked at", kept.now().byUrl("gzip").req.text());
    }

    @Test
    void namesAreFoundHoweverTheyAreSpelled() {
        Redactor redactor = new Redactor();
        for (String[] one : new String[][] {
            {"{\"pAssWord\":1}", "{\"pAssWord\":\"[redacted]\"}"}, {"{\"p\\u0061ssword\":1}", "{\"p\\u0061ssword\":\"[redacted]\"}"},
            {"{\"passwor\":1}", "{\"passwor\":1}"}, {"no JSON", "no JSON"}, {"{\"a\\/b\":1}", "{\"a\\/b\":1}"}}) {
            assertEquals(one[1], redacted(redactor, one[0]));
        }
        assertEquals("http://h/?p=1&%70wd=[redacted]", redactor.url("http://h/?p=1&%70wd=2"));
        redactor.addName("a/b");
        assertEquals("{\"a\\/b\":\"[redacted]\"}", redacted(redactor, "{\"a\\/b\":1}"));
        redactor.addName("*");
        assertEquals("{\"x\":\"[redacted]\"}", redacted(redactor, "{\"x\":1}"));
        assertEquals("http://h/?p=[redacted]", redactor.url("http://h/?p=1"));
    }

    private static String redacted(Redactor redactor, String json) {
        byte[] bytes = json.getBytes(java.nio.charset.StandardCharsets.UTF_8);
        Bytes told = BodyRedactor.JSON.redact(redactor, new Bytes(bytes, bytes.length));
        return new String(told.array, 0, told.length, java.nio.charset.StandardCharsets.UTF_8);
    }

    @Test
    void aFileIsAppendedToForItsOwnerAloneAndOpenedAgain(@TempDir Path folder) throws Exception {
        Path log = folder.resolve("app.log");
        Emitter emitter = builder().output(Output.file(log)).signingKey("k".repeat(32)).build();
        emitter.begin("x", "a", "x://one").oneway().start().finish();
        assertTrue(emitter.flush(Captured.PATIENCE));
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(log)));
        Files.move(log, folder.resolve("old.log"));
        emitter.reopen();
        emitter.begin("x", "a", "x://two").oneway().start().finish();
        emitter.close();
        assertEquals("x://one", Captured.of(Files.readAllBytes(folder.resolve("old.log"))).captures.get(0).url());
        assertEquals("x://two", Captured.of(Files.readAllBytes(log)).captures.get(0).url());
        assertTrue(Files.readString(log).lines().allMatch(line -> line.contains(",\"sig\":\"")));
    }

    @Test
    void anOutputThatFailsLosesItsLinesAndNothingElse() {
        Emitter emitter = builder().output(Output.stream(new OutputStream() {
            @Override
            public void write(int one) throws IOException {
                throw new IOException("Broken pipe");
            }
        })).build();
        emitter.begin("x", "a", "x://a").oneway().start().finish();
        emitter.close();
        assertEquals(new Counts(1, 0, 0, 0, 2), emitter.counts());
    }

    @Test
    void anOutputOfTheAppsOwnThatIsBrokenCostsItsLinesAlone() {
        Emitter emitter = builder().output(Output.stream(new OutputStream() {
            @Override
            public void write(int one) {
                throw new StackOverflowError();
            }
        })).build();
        emitter.begin("x", "a", "x://a").oneway().start().finish();
        assertTrue(emitter.shutdown(Captured.PATIENCE));
        assertEquals(new Counts(1, 0, 0, 0, 2), emitter.counts());
    }

    @Test
    void countsAreToldWhileThereIsSomethingNewAndAtTheEnd() throws Exception {
        Captured.Kept kept = Captured.keep(builder().metaEvery(Duration.ofMillis(1)));
        kept.emitter.begin("x", "a", "x://a").oneway().start().finish();
        while (kept.now().metas.isEmpty() || !kept.now().metas.get(kept.now().metas.size() - 1).get("finished").equals(BigDecimal.ONE)) {
            Thread.sleep(5);
        }
        int told = kept.now().metas.size();
        assertTrue(kept.emitter.flush(Captured.PATIENCE) && kept.emitter.flush(Captured.PATIENCE));
        assertEquals(told, kept.now().metas.size());
        kept.emitter.begin("x", "a", "x://b").oneway().start().finish();
        kept.emitter.close();
        List<Map<String, Object>> metas = kept.now().metas;
        assertEquals(List.of(new BigDecimal(2), new BigDecimal(2), BigDecimal.ZERO),
                List.of(metas.get(metas.size() - 1).get("begun"), metas.get(metas.size() - 1).get("finished"),
                        metas.get(metas.size() - 1).get("dropped")));
    }

    @Test
    void whateverManyThreadsDoEveryCaptureEndsAndAllRoomComesBack() throws Exception {
        long limit = 300_000;
        Captured.Kept kept = Captured.keep(builder().queueLimit(limit).sampleRate(0.7).sampleBy(SampleBy.ID).errors(CaptureErrors.ALWAYS));
        List<Thread> threads = new ArrayList<>();
        for (int thread = 0; thread < 6; thread++) {
            Random random = new Random(thread);
            threads.add(new Thread(() -> {
                for (int at = 0; at < 150; at++) {
                    Capture capture = kept.emitter.begin("http/1.1", "POST", "http://h/").start();
                    for (int piece = random.nextInt(6); piece > 0; piece--) {
                        capture.requestBody("q".repeat(random.nextInt(9000)));
                    }
                    if (random.nextInt(5) > 0) {
                        capture.respond(random.nextBoolean() ? 200 : 503, List.of(new Header("a", "b".repeat(random.nextInt(2000)))));
                        capture.responseBody("s".repeat(random.nextInt(20_000)));
                    }
                    if (random.nextInt(4) > 0) {
                        capture.finish();
                    } else {
                        capture.close();
                    }
                }
            }));
        }
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        assertTrue(kept.emitter.flush(Captured.PATIENCE));
        Counts counts = kept.emitter.counts();
        assertEquals(900, counts.begun() + counts.dropped() + counts.sampledOut());
        assertEquals(counts.begun(), counts.finished());
        assertTrue(kept.emitter.shared().queue.reserve(limit), "room was lost");
        assertFalse(kept.emitter.shared().queue.reserve(1), "more room than there was");
        List<Captured.One> captures = kept.now().captures;
        assertEquals(counts.begun(), captures.size());
        for (Captured.One one : captures) {
            for (Captured.Side side : List.of(one.req, one.res)) {
                assertTrue(side.whole);
                assertEquals(side.body.size(), side.number("len"));
                assertTrue(side.text().matches("[qs]*"));
                assertEquals(side.error() != null || side.tail.containsKey("full_len"), side.truncated());
            }
        }
    }

    @Test
    void nothingRunsWhereNothingIsCaptured() throws InterruptedException {
        Emitter emitter = Emitter.builder().env(Map.of("CAPTURE_OUTPUT", "off")).build();
        Capture capture = emitter.begin("x", "a", "x://a").start();
        capture.requestBody("a");
        capture.respond(200);
        capture.finish();
        assertTrue(capture.id().isEmpty() && emitter.flush(Captured.PATIENCE) && emitter.shutdown(Captured.PATIENCE));
        assertEquals(new Counts(0, 0, 0, 0, 0), emitter.counts());
    }
}
