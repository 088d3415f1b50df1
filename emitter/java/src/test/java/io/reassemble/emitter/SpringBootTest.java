package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.Socket;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.web.context.WebServerApplicationContext;
import org.springframework.boot.web.servlet.ServletContextInitializer;
import org.springframework.boot.web.servlet.ServletRegistrationBean;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.mvc.method.annotation.SseEmitter;
import org.springframework.web.servlet.mvc.method.annotation.StreamingResponseBody;

/** The filter in Spring Boot, on Tomcat. */
class SpringBootTest extends ContainerTest {
    private static Emitter emitter;
    private static Handlers handlers;
    private ConfigurableApplicationContext app;

    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration
    static class App {
        @Bean
        @Order(Ordered.HIGHEST_PRECEDENCE)
        ServletContextInitializer capture() {
            return context -> CaptureFilter.register(context, emitter);
        }

        @Bean
        ServletRegistrationBean<Handlers> servlet() {
            return new ServletRegistrationBean<>(handlers, "/s/*");
        }

        @Bean
        Controller controller() {
            return new Controller();
        }
    }

    @RestController
    static class Controller {
        @PostMapping("/orders")
        Map<String, Object> order(@RequestBody Map<String, Object> order) {
            return Map.of("order", order.get("order"), "token", "s3cret");
        }

        @GetMapping("/stream")
        StreamingResponseBody stream() {
            return out -> {
                for (int at = 0; at < 3; at++) {
                    out.write(("part " + at + "\n").getBytes(StandardCharsets.US_ASCII));
                    out.flush();
                }
            };
        }

        @GetMapping("/events")
        SseEmitter events() throws Exception {
            SseEmitter events = new SseEmitter();
            events.send("one");
            events.send("two");
            events.complete();
            return events;
        }

        @GetMapping("/later")
        Callable<String> later() {
            return () -> "later";
        }

        @GetMapping("/big")
        String big() {
            return "big ".repeat(3000);
        }

        @GetMapping("/broken")
        String broken() {
            throw new IllegalStateException("handler");
        }
    }

    @Override
    int start(Emitter given, Handlers servlet) {
        emitter = given;
        handlers = servlet;
        SpringApplication application = new SpringApplication(App.class);
        application.setDefaultProperties(Map.of(
                "server.port", "0", "server.address", "127.0.0.1", "spring.main.banner-mode", "off", "logging.level.root", "off",
                "spring.main.register-shutdown-hook", "false", "server.compression.enabled", "true"));
        app = application.run();
        return ((WebServerApplicationContext) app).getWebServer().getPort();
    }

    @Override
    void stop() {
        app.close();
    }

    @Test
    void controllersAreCapturedHoweverTheyAnswer() throws Exception {
        HttpResponse<byte[]> ordered = ask(request("/orders").header("content-type", "application/json")
                .POST(BodyPublishers.ofString("{\"order\":7,\"password\":\"s3cret\"}")));
        assertTrue(new String(ordered.body(), StandardCharsets.UTF_8).contains("s3cret"));
        for (String path : List.of("/stream", "/events", "/later")) {
            assertEquals(200, ask(request(path)).statusCode());
        }
        Captured captured = kept.read(4);
        Captured.One orders = captured.byUrl("/orders");
        assertEquals("{\"order\":7,\"password\":\"[redacted]\"}", orders.req.text());
        assertEquals(Map.of("order", Json.read("7"), "token", "[redacted]"), Json.read(orders.res.text()));
        assertEquals("part 0\npart 1\npart 2\n", captured.byUrl("/stream").res.text());
        assertEquals("data:one\n\ndata:two\n\n", captured.byUrl("/events").res.text());
        assertEquals("later", captured.byUrl("/later").res.text());
        captured.captures.forEach(one -> assertNull(one.res.error()));
    }

    @Test
    void whatTheContainerCompressesIsToldAsItWasBefore() throws Exception {
        HttpResponse<byte[]> big = ask(request("/big").header("accept-encoding", "gzip"));
        assertEquals("gzip", big.headers().firstValue("content-encoding").orElse(""));
        Captured.Side res = kept.read(1).byUrl("/big").res;
        assertEquals("big ".repeat(3000), res.text());
        assertNull(res.header("content-encoding"));
    }

    @Test
    void anotherProtocolIsLeftAloneBehindItsHead() throws Exception {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.setSoTimeout(20_000);
            socket.getOutputStream().write(("GET /s/upgrade HTTP/1.1\r\nHost: h\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n")
                    .getBytes(StandardCharsets.US_ASCII));
            StringBuilder answer = new StringBuilder();
            while (answer.indexOf("\r\n\r\n") < 0) {
                answer.append((char) socket.getInputStream().read());
            }
            assertTrue(answer.toString().startsWith("HTTP/1.1 101"), answer.toString());
            socket.getOutputStream().write("hello".getBytes(StandardCharsets.US_ASCII));
            assertEquals("HELLO", new String(socket.getInputStream().readNBytes(5), StandardCharsets.US_ASCII));
        }
        Captured.One one = kept.read(1).byUrl("upgrade");
        assertEquals(List.of(101, 0, 0), List.of(one.status(), one.req.body.size(), one.res.body.size()));
        assertEquals("shout", one.res.header("upgrade"));
        assertNull(one.res.error());
    }

    @Test
    void errorPagesAreCapturedAsClientsSeeThem() throws Exception {
        HttpResponse<byte[]> missing = ask(request("/none"));
        HttpResponse<byte[]> broken = ask(request("/broken"));
        Captured captured = kept.read(2);
        assertEquals(404, captured.byUrl("/none").status());
        assertArrayEquals(missing.body(), captured.byUrl("/none").res.body.toByteArray());
        assertNull(captured.byUrl("/none").res.error());
        assertEquals(500, captured.byUrl("/broken").status());
        assertArrayEquals(broken.body(), captured.byUrl("/broken").res.body.toByteArray());
        assertEquals("handler failed: java.lang.IllegalStateException", captured.byUrl("/broken").res.error());
    }
}
