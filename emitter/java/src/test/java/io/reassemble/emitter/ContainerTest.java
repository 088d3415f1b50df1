package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What every servlet container must show: a real server, a real client, and the lines between them. */
abstract class ContainerTest {
    private static final HttpClient PLAIN = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private static final String TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    Captured.Kept kept;
    int port;

    /** Starts a container with {@link Handlers} under {@code /s/*}; gives its port. */
    abstract int start(Emitter emitter, Handlers handlers) throws Exception;

    abstract void stop() throws Exception;

    void configure(EmitterBuilder builder) {
        builder.bodyLimit(8 << 20).redactBuffer(1 << 20);
    }

    @BeforeEach
    void startServer() throws Exception {
        EmitterBuilder builder = Emitter.builder().service("server");
        configure(builder);
        kept = Captured.keep(builder);
        port = start(kept.emitter, new Handlers(CaptureHttpClient.wrap(PLAIN, kept.emitter)));
    }

    @AfterEach
    void stopServer() throws Exception {
        stop();
        kept.emitter.close();
    }

    HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).timeout(Duration.ofSeconds(20));
    }

    HttpResponse<byte[]> ask(HttpRequest.Builder request) throws Exception {
        return PLAIN.send(request.build(), BodyHandlers.ofByteArray());
    }

    private static byte[] pattern(int length) {
        byte[] bytes = new byte[length];
        for (int at = 0; at < length; at++) {
            bytes[at] = (byte) (at * 31 >> 3);
        }
        return bytes;
    }

    @Test
    void aRequestIsToldAsItCameAndWithoutItsSecrets() throws Exception {
        HttpResponse<byte[]> answer = ask(request("/s/text?q=%20x&token=s3cret").header("authorization", "Bearer s3cret")
                .header("traceparent", TRACE).header("X-Two", "a").header("X-Two", "b"));
        Captured.One one = kept.read(1).byUrl("token=[redacted]");
        assertEquals("http://127.0.0.1:" + port + "/s/text?q=%20x&token=[redacted]", one.url());
        assertEquals(List.of("in", "http/1.1", "GET", TRACE, "all", "server"),
                List.of(one.req.head.get("dir"), one.req.head.get("proto"), one.req.head.get("method"), one.req.head.get("trace"),
                        one.req.head.get("why"), one.req.head.get("service")));
        assertTrue(((String) one.req.head.get("peer")).matches("127\\.0\\.0\\.1:[0-9]+"));
        assertEquals("[redacted]", one.req.header("authorization"));
        assertEquals("[redacted]", one.res.header("set-cookie"));
        assertTrue(one.res.header("content-type").toLowerCase().startsWith("text/plain"));
        assertEquals(2, kept.text().split("\"X-Twice\"", -1).length - 1);
        assertEquals("té😀xt\n", new String(answer.body(), StandardCharsets.UTF_8));
        assertEquals("té😀xt\n", one.res.text());
        assertTrue(one.req.whole && one.res.whole && !one.req.truncated() && !one.res.truncated());
        assertEquals(200, one.status());
        assertFalse(kept.text().contains("s3cret"));
    }

    @Test
    void bodiesOfAllSizesAreCapturedByteForByteWhileManyRun() throws Exception {
        int[] sizes = {0, 1, 100, 4095, 4096, 65_536, 300_000, 3_000_000};
        List<CompletableFuture<HttpResponse<byte[]>>> answers = new ArrayList<>();
        for (int at = 0; at < 24; at++) {
            byte[] body = pattern(sizes[at % sizes.length]);
            HttpRequest.BodyPublisher publisher = at % 2 == 0
                    ? BodyPublishers.ofByteArray(body) : BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
            answers.add(PLAIN.sendAsync(request("/s/echo?n=" + at + "e").header("content-type", "application/octet-stream").POST(publisher)
                    .build(), BodyHandlers.ofByteArray()));
        }
        for (int at = 0; at < 24; at++) {
            assertArrayEquals(pattern(sizes[at % sizes.length]), answers.get(at).get().body());
        }
        Captured captured = kept.read(24);
        for (int at = 0; at < 24; at++) {
            Captured.One one = captured.byUrl("n=" + at + "e");
            for (Captured.Side side : List.of(one.req, one.res)) {
                assertArrayEquals(pattern(sizes[at % sizes.length]), side.body.toByteArray(), "capture " + at);
                assertNull(side.error());
                assertFalse(side.truncated());
            }
        }
        assertTrue(captured.longestLine <= 4096);
        assertEquals(0, kept.emitter.counts().dropped());
    }

    @Test
    void whatIsNotReadIsToldAsSuch() throws Exception {
        ask(request("/s/unread").POST(BodyPublishers.ofString("x".repeat(100))));
        ask(request("/s/half").POST(BodyPublishers.ofString("x".repeat(100))));
        ask(request("/s/form").header("content-type", "application/x-www-form-urlencoded").POST(BodyPublishers.ofString("a=b")));
        ask(request("/s/empty"));
        Captured captured = kept.read(4);
        assertEquals(List.of("body not read", "body not read to its end", "body read as parameters"),
                List.of(captured.byUrl("unread").req.error(), captured.byUrl("half").req.error(), captured.byUrl("form").req.error()));
        assertEquals(100, captured.byUrl("half").req.number("full_len"));
        assertEquals(10, captured.byUrl("half").req.body.size());
        assertEquals("b", captured.byUrl("form").res.text());
        assertNull(captured.byUrl("empty").req.error());
        assertEquals(204, captured.byUrl("empty").status());
    }

    @Test
    void aBodyReadUpToItsLastByteIsWhole() throws Exception {
        byte[] json = "{\"order\":7}".getBytes(StandardCharsets.US_ASCII);
        ask(request("/s/prefix?known").header("content-type", "application/json").POST(BodyPublishers.ofByteArray(json)));
        ask(request("/s/prefix?chunked").header("content-type", "application/json")
                .POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(json))));
        byte[] more = new byte[50_000];
        ask(request("/s/half?more").POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(more))));
        Captured captured = kept.read(3);
        assertEquals("body not read to its end", captured.byUrl("more").req.error());
        for (String url : List.of("known", "chunked")) {
            assertNull(captured.byUrl(url).req.error(), url);
            assertEquals("{\"order\":7}", captured.byUrl(url).req.text());
        }
    }

    @Test
    void headersAndBodiesAreThoseThatWentOut() throws Exception {
        assertEquals("right", new String(ask(request("/s/reset")).body(), StandardCharsets.UTF_8));
        ask(request("/s/text?head").method("HEAD", BodyPublishers.noBody()));
        assertEquals(300_000, ask(request("/s/large")).body().length);
        ask(request("/s/reader").header("content-type", "text/plain;charset=utf-8").POST(BodyPublishers.ofString("é\n")));
        HttpResponse<byte[]> redirect = ask(request("/s/redirect"));
        Captured captured = kept.read(5);
        assertEquals(302, captured.byUrl("redirect").status());
        assertArrayEquals(redirect.body(), captured.byUrl("redirect").res.body.toByteArray());
        assertEquals(redirect.headers().firstValue("location").orElseThrow(), captured.byUrl("redirect").res.header("location"));
        Captured.One reset = captured.byUrl("reset");
        assertEquals("right", reset.res.text());
        assertEquals("1", reset.res.header("x-late"));
        assertEquals(0, captured.byUrl("head").res.body.size());
        assertNull(captured.byUrl("head").res.error());
        assertEquals(300_000, captured.byUrl("large").res.body.size());
        assertEquals("é\n", captured.byUrl("reader").req.text());
    }

    @Test
    void aHandlerThatFailsIsToldAndSoIsItsStatus() throws Exception {
        HttpResponse<byte[]> failed = ask(request("/s/fail"));
        try {
            ask(request("/s/late"));
        } catch (java.io.IOException cutShort) {
            assertEquals(500, failed.statusCode());
        }
        HttpResponse<byte[]> missing = ask(request("/s/error"));
        Captured captured = kept.read(3);
        Captured.One fail = captured.byUrl("/fail");
        assertEquals(500, fail.status());
        assertTrue(((String) fail.res.error()).startsWith("handler failed: "));
        assertFalse(fail.res.text().contains("never seen"));
        Captured.One late = captured.byUrl("/late");
        assertEquals(List.of(200, "seen"), List.of(late.status(), late.res.text()));
        Captured.One error = captured.byUrl("/error");
        assertEquals(404, error.status());
        assertFalse(error.res.text().contains("never seen"));
        if (error.res.error() == null) {
            assertArrayEquals(missing.body(), error.res.body.toByteArray());
        } else {
            assertEquals("error page not seen", error.res.error());
        }
    }

    @Test
    void asyncAndNonBlockingAnswersKeepWorking() throws Exception {
        assertEquals("data: 0\n\ndata: 1\n\ndata: 2\n\n", new String(ask(request("/s/async")).body(), StandardCharsets.UTF_8));
        assertEquals("té😀xt\n", new String(ask(request("/s/dispatch")).body(), StandardCharsets.UTF_8));
        byte[] body = pattern(200_000);
        HttpResponse<byte[]> echoed = ask(request("/s/nonblocking")
                .POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))));
        assertEquals("200000 true", new String(echoed.body(), StandardCharsets.UTF_8));
        Captured captured = kept.read(3);
        assertEquals("data: 0\n\ndata: 1\n\ndata: 2\n\n", captured.byUrl("async").res.text());
        assertEquals("té😀xt\n", captured.byUrl("dispatch").res.text());
        assertArrayEquals(body, captured.byUrl("nonblocking").req.body.toByteArray());
        assertEquals("200000 true", captured.byUrl("nonblocking").res.text());
        for (Captured.One one : captured.captures) {
            assertNull(one.req.error());
            assertNull(one.res.error());
        }
    }

    @Test
    void aClientThatHangsUpEndsTheCapture() throws Exception {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.getOutputStream().write("GET /s/endless HTTP/1.1\r\nHost: h\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            assertTrue(socket.getInputStream().read() > 0);
        }
        Captured.One one = kept.read(1).byUrl("endless");
        assertTrue(one.res.truncated() && ((String) one.res.error()).startsWith("write failed"), String.valueOf(one.res.error()));
        assertEquals(200, one.status());
    }

    @Test
    void whatAFilterLeavesOutStaysSoWithItsErrorPage() throws Exception {
        stopServer();
        kept = Captured.keep(Emitter.builder().service("server").skipPaths("/s/error", "/s/async", "/s/dispatch").skipMethods("PUT"));
        port = start(kept.emitter, new Handlers(PLAIN));
        for (String path : List.of("/s/error", "/s/async", "/s/dispatch")) {
            ask(request(path));
        }
        ask(request("/s/text").PUT(BodyPublishers.noBody()));
        ask(request("/s/text?taken"));
        assertEquals("taken", kept.read(1).byUrl("/s/text").url().split("\\?")[1]);
        assertEquals(new Counts(1, 1, 0, 0, 0), kept.emitter.counts());
    }

    @Test
    void errorsAreCapturedAlwaysWhereThatIsSet() throws Exception {
        stopServer();
        Captured.Kept sampled = Captured.keep(Emitter.builder().service("server").sampleRate(0).errors(CaptureErrors.ALWAYS));
        kept = sampled;
        port = start(sampled.emitter, new Handlers(PLAIN));
        ask(request("/s/text"));
        ask(request("/s/error"));
        ask(request("/s/fail").POST(BodyPublishers.ofString("not read")));
        Captured captured = kept.read(1);
        assertEquals(1, captured.captures.size());
        assertEquals(List.of("error", 500), List.of(captured.byUrl("/fail").req.head.get("why"), captured.byUrl("/fail").status()));
        assertEquals(2, kept.emitter.counts().sampledOut());
    }

    @Test
    void aClientThatHangsUpBeforeTheResponseIsAnErrorWhateverTheHandlerMakesOfIt() throws Exception {
        stopServer();
        kept = Captured.keep(Emitter.builder().service("server").sampleRate(0).errors(CaptureErrors.ALWAYS));
        port = start(kept.emitter, new Handlers(PLAIN));
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.getOutputStream().write("POST /s/gone HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nbegun".getBytes(StandardCharsets.US_ASCII));
            // The server is told at once.
            socket.setSoLinger(true, 0);
        }
        Captured.One gone = kept.read(1).byUrl("gone");
        assertEquals(List.of("error", "begun"), List.of(gone.req.head.get("why"), gone.req.text()));
        assertTrue(gone.req.truncated() && gone.res.whole);
    }

    @Test
    void aTypeThatTheContainerKeepsApartIsAHeaderToo() throws Exception {
        HttpResponse<byte[]> answer = ask(request("/s/echo").header("content-type", "text/csv").POST(BodyPublishers.ofString("a,b")));
        assertEquals("text/csv", answer.headers().firstValue("content-type").orElseThrow());
        Captured.One one = kept.read(1).byUrl("echo");
        assertEquals(List.of("text/csv", "text/csv"), List.of(one.req.header("content-type"), one.res.header("content-type")));
    }

    @Test
    void whatAHandlerAsksSharesItsTraceAndNamesItAsParent() throws Exception {
        assertEquals("té😀xt\n", new String(ask(request("/s/outbound").header("traceparent", TRACE)).body(), StandardCharsets.UTF_8));
        Captured captured = kept.read(3);
        Captured.One in = captured.byUrl("/s/outbound");
        List<Captured.One> texts = captured.captures.stream().filter(one -> one.url().contains("for=outbound")).toList();
        Captured.One out = texts.stream().filter(one -> one.req.head.get("dir").equals("out")).findFirst().orElseThrow();
        Captured.One served = texts.stream().filter(one -> one.req.head.get("dir").equals("in")).findFirst().orElseThrow();
        assertEquals(in.id, out.req.head.get("parent"));
        assertNull(served.req.head.get("parent"));
        String sent = (String) out.req.head.get("trace");
        assertEquals(TRACE.substring(0, 35), sent.substring(0, 35));
        assertFalse(sent.equals(TRACE));
        assertEquals(sent, served.req.head.get("trace"));
        assertEquals(sent, out.req.header("traceparent"));
        assertEquals("té😀xt\n", out.res.text());
    }
}
