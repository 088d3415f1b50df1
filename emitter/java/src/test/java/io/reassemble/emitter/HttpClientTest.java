package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.Queue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.web.client.RestClient;

/** The wrapping client against a real server. */
class HttpClientTest {
    private final Queue<String> traces = new ConcurrentLinkedQueue<>();
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private HttpServer server;
    private Captured.Kept kept;
    private HttpClient client;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", this::serve);
        server.start();
        kept = Captured.keep(Emitter.builder().service("client").bodyLimit(8 << 20).skipPaths("/skipped"));
        client = CaptureHttpClient.wrap(
                HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).version(HttpClient.Version.HTTP_1_1).build(), kept.emitter);
    }

    @AfterEach
    void stop() {
        server.stop(0);
        threads.shutdownNow();
        kept.emitter.close();
    }

    private void serve(HttpExchange exchange) throws IOException {
        traces.add(String.valueOf(exchange.getRequestHeaders().getFirst("traceparent")));
        byte[] body = exchange.getRequestBody().readAllBytes();
        switch (exchange.getRequestURI().getPath()) {
            case "/moved" -> {
                exchange.getResponseHeaders().add("Location", "/echo");
                exchange.sendResponseHeaders(307, -1);
            }
            case "/empty" -> exchange.sendResponseHeaders(204, -1);
            case "/head" -> {
                exchange.getResponseHeaders().add("Content-Length", "5000");
                exchange.sendResponseHeaders(200, -1);
            }
            case "/cut" -> {
                exchange.sendResponseHeaders(200, 1000);
                exchange.getResponseBody().write(new byte[10]);
                exchange.getResponseBody().flush();
            }
            case "/large" -> {
                exchange.sendResponseHeaders(200, 0);
                exchange.getResponseBody().write(new byte[4_000_000]);
            }
            default -> {
                exchange.getResponseHeaders().add("Set-Cookie", "s=1");
                exchange.sendResponseHeaders(200, 0);
                exchange.getResponseBody().write(body);
            }
        }
        exchange.close();
    }

    private HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create("http://localhost:" + server.getAddress().getPort() + path));
    }

    @Test
    void whatIsAskedAndAnsweredIsCapturedByteForByte() throws Exception {
        int[] sizes = {0, 1, 5000, 300_000, 2_000_000};
        List<CompletableFuture<HttpResponse<byte[]>>> answers = new ArrayList<>();
        for (int at = 0; at < 10; at++) {
            byte[] body = new byte[sizes[at % 5]];
            java.util.Arrays.fill(body, (byte) at);
            HttpRequest.BodyPublisher publisher = at < 5
                    ? BodyPublishers.ofByteArray(body) : BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
            answers.add(client.sendAsync(request("/echo/" + at + "?token=x").header("Authorization", "s3cret").POST(publisher).build(),
                    BodyHandlers.ofByteArray()));
        }
        for (int at = 0; at < 10; at++) {
            assertEquals(sizes[at % 5], answers.get(at).get().body().length);
        }
        Captured captured = kept.read(10);
        for (int at = 0; at < 10; at++) {
            Captured.One one = captured.byUrl("/echo/" + at + "?token=[redacted]");
            assertArrayEquals(answers.get(at).get().body(), one.req.body.toByteArray());
            assertArrayEquals(answers.get(at).get().body(), one.res.body.toByteArray());
            assertEquals(List.of("out", "http/1.1", "POST", "[redacted]"),
                    List.of(one.req.head.get("dir"), one.req.head.get("proto"), one.req.head.get("method"), one.req.header("authorization")));
            assertEquals("[redacted]", one.res.header("set-cookie"));
            assertNull(one.req.error());
            assertNull(one.res.error());
            assertTrue(traces.contains((String) one.req.head.get("trace")));
        }
        assertFalse(kept.text().contains("s3cret"));
    }

    @Test
    void aTraceparentOfTheAppsOwnStays() throws Exception {
        String trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        client.send(request("/echo").header("traceparent", trace).build(), BodyHandlers.discarding());
        client.send(request("/skipped").build(), BodyHandlers.discarding());
        assertEquals(List.of(trace, "null"), List.copyOf(traces));
        assertEquals(trace, kept.read(1).byUrl("/echo").req.head.get("trace"));
    }

    @Test
    void clientsOfSpringWorkOnTopOfIt() throws Exception {
        RestClient rest = RestClient.builder().requestFactory(new JdkClientHttpRequestFactory(client)).build();
        String answer = rest.post().uri(request("/echo").build().uri()).body("from Spring").retrieve().body(String.class);
        assertEquals("from Spring", answer);
        Captured.One one = kept.read(1).byUrl("/echo");
        assertEquals(List.of("from Spring", "from Spring"), List.of(one.req.text(), one.res.text()));
        assertNull(one.res.error());
        assertNull(one.req.error());
    }

    @Test
    void answersWithoutABodyEndClean() throws Exception {
        client.send(request("/empty").build(), BodyHandlers.ofString());
        client.send(request("/head").method("HEAD", BodyPublishers.noBody()).build(), BodyHandlers.ofString());
        assertEquals("moved", client.send(request("/moved").POST(BodyPublishers.ofString("moved")).build(), BodyHandlers.ofString()).body());
        Captured captured = kept.read(3);
        for (Captured.One one : captured.captures) {
            assertNull(one.res.error());
            assertNull(one.req.error());
            assertEquals(one.url().endsWith("/empty") ? 204 : 200, one.status());
        }
        assertEquals(List.of("moved", "moved"), List.of(captured.byUrl("/moved").req.text(), captured.byUrl("/moved").res.text()));
        assertEquals("5000", captured.byUrl("/head").res.header("content-length"));
    }

    @Test
    void callsThatFailSayWhy() throws Exception {
        int closed = server.getAddress().getPort();
        HttpRequest cut = request("/cut").build();
        assertThrows(IOException.class, () -> client.send(cut, BodyHandlers.ofString()));
        HttpRequest large = request("/large").build();
        try (InputStream body = client.send(large, BodyHandlers.ofInputStream()).body()) {
            assertEquals(0, body.read());
        }
        server.stop(0);
        HttpRequest refused = HttpRequest.newBuilder(URI.create("http://localhost:" + closed + "/refused"))
                .POST(BodyPublishers.ofString("never sent")).build();
        assertThrows(ConnectException.class, () -> client.send(refused, BodyHandlers.ofString()));
        Captured captured = kept.read(3);
        assertTrue(captured.byUrl("/cut").res.truncated() && captured.byUrl("/cut").res.body.size() == 10);
        assertEquals(1000, captured.byUrl("/cut").res.number("full_len"));
        assertEquals("body dropped before its end", captured.byUrl("/large").res.error());
        assertTrue(((String) captured.byUrl("/refused").res.error()).startsWith("ConnectException"));
        assertEquals("body not sent to its end", captured.byUrl("/refused").req.error());
        assertNull(captured.byUrl("/refused").res.head.get("status"));
    }

    @Test
    void cancellingTheFutureCancelsTheCall() throws Exception {
        HttpRequest never = request("/large").build();
        CompletableFuture<HttpResponse<String>> answer = client.sendAsync(never, BodyHandlers.ofString(StandardCharsets.ISO_8859_1));
        answer.cancel(true);
        assertTrue(kept.read(1).byUrl("/large").res.truncated());
    }
}
