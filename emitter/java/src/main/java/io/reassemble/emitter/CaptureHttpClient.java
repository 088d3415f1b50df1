package io.reassemble.emitter;

import java.io.IOException;
import java.net.Authenticator;
import java.net.CookieHandler;
import java.net.ProxySelector;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;

/**
 * An {@link HttpClient} that captures what it asks and is answered.
 *
 * <p>A request without a {@code traceparent} gets one: within a request that {@link CaptureFilter} serves it continues that trace, and the capture
 * names the inbound one as its {@code parent}. Redirects and authentication are followed below: a capture holds the first request and the last
 * response. Websockets and pushed responses are left alone. The response's {@link HttpResponse#request} is the request as sent.
 */
public final class CaptureHttpClient extends HttpClient {
    private static final String TRACEPARENT = "traceparent";

    private final HttpClient inner;
    private final Emitter emitter;

    private CaptureHttpClient(HttpClient inner, Emitter emitter) {
        this.inner = inner;
        this.emitter = emitter;
    }

    /**
     * Captures what a client asks and is answered.
     *
     * @param client sends the requests; to end it, where Java can, is its owner's business
     * @param emitter takes the captures; it is not closed
     * @return a client that does as the given one does
     */
    public static HttpClient wrap(HttpClient client, Emitter emitter) {
        return new CaptureHttpClient(client, emitter);
    }

    @Override
    public <T> HttpResponse<T> send(HttpRequest request, HttpResponse.BodyHandler<T> handler) throws IOException, InterruptedException {
        Call call = begin(request);
        if (call == null) {
            return inner.send(request, handler);
        }
        try {
            return inner.send(call.request, call.capturing(handler));
        } catch (IOException | InterruptedException | RuntimeException | Error fault) {
            call.fail(fault);
            throw fault;
        }
    }

    @Override
    public <T> CompletableFuture<HttpResponse<T>> sendAsync(HttpRequest request, HttpResponse.BodyHandler<T> handler) {
        return sendAsync(request, handler, null);
    }

    @Override
    public <T> CompletableFuture<HttpResponse<T>> sendAsync(
            HttpRequest request, HttpResponse.BodyHandler<T> handler, HttpResponse.PushPromiseHandler<T> pushHandler) {
        Call call = begin(request);
        if (call == null) {
            return inner.sendAsync(request, handler, pushHandler);
        }
        CompletableFuture<HttpResponse<T>> answer;
        try {
            answer = inner.sendAsync(call.request, call.capturing(handler), pushHandler);
        } catch (RuntimeException | Error fault) {
            call.fail(fault);
            throw fault;
        }
        // The future itself is handed on, for cancelling it cancels the exchange.
        answer.whenComplete((response, fault) -> {
            if (fault != null) {
                call.fail(fault instanceof CompletionException && fault.getCause() != null ? fault.getCause() : fault);
            }
        });
        return answer;
    }

    /** Decides on a request, and gives it a {@code traceparent} where it has none; null where it goes as it is. */
    private Call begin(HttpRequest request) {
        if (emitter.shared() == null) {
            return null;
        }
        Capture capture = Capture.NONE;
        try {
            Settings settings = emitter.shared().settings;
            String path = request.uri().getRawPath();
            if (!settings.methods().lets(request.method()) || !settings.paths().lets(path == null ? "" : path)) {
                return null;
            }
            Optional<String> given = request.headers().firstValue(TRACEPARENT);
            TraceParent trace = given.flatMap(TraceParent::parse)
                    .orElseGet(() -> CaptureContext.current().map(context -> context.trace().child()).orElseGet(TraceParent::make));
            HttpRequest.Builder sent = HttpRequest.newBuilder(request, (name, value) -> true);
            if (given.isEmpty()) {
                sent.setHeader(TRACEPARENT, trace.toString());
            }
            List<Header> headers = headers(sent.build().headers().map());
            capture = new Begin(emitter, protocol(request), request.method(), request.uri().toString()).headers(headers).trace(trace)
                    .start();
            if (capture.isNone()) {
                return given.isEmpty() ? new Call(sent.build(), null) : null;
            }
            Optional<HttpRequest.BodyPublisher> body = request.bodyPublisher();
            if (body.isEmpty() || body.get().contentLength() == 0) {
                capture.request().end();
            } else {
                capture.request().filterBody(headers);
                capture.request().expect(body.get().contentLength());
                sent.method(request.method(), new CapturingPublisher(body.get(), capture.request()));
            }
            return new Call(sent.build(), capture);
        } catch (RuntimeException fault) {
            // A request of the app's own making that can't be copied goes as it is.
            capture.close();
            return null;
        }
    }

    private static List<Header> headers(Map<String, List<String>> map) {
        List<Header> headers = new ArrayList<>();
        map.forEach((name, values) -> values.forEach(value -> headers.add(Header.ofLatin1(name, value))));
        return headers;
    }

    /** The version that is asked for; which one it becomes is known only once the server has answered. */
    private String protocol(HttpRequest request) {
        if (request.headers().firstValue("content-type").orElse("").startsWith("application/grpc")) {
            return "grpc";
        }
        boolean secure = "https".equalsIgnoreCase(request.uri().getScheme());
        Version version = request.version().orElse(secure ? inner.version() : Version.HTTP_1_1);
        return version == Version.HTTP_2 ? "h2" : "http/1.1";
    }

    /** A fault in words, without those that tell a URL, which may hold secrets. */
    static String describe(Throwable fault) {
        String kind = fault.getClass().getSimpleName();
        String said = fault.getMessage();
        return said == null || said.contains("://") ? kind : kind + ": " + said;
    }

    /** One request as it is sent, with its capture, where there is one. */
    private static final class Call {
        private final HttpRequest request;
        private final Capture capture;

        Call(HttpRequest request, Capture capture) {
            this.request = request;
            this.capture = capture;
        }

        <T> HttpResponse.BodyHandler<T> capturing(HttpResponse.BodyHandler<T> handler) {
            if (capture == null) {
                return handler;
            }
            return info -> {
                respond(info);
                return new CapturingSubscriber<>(handler.apply(info), capture.response());
            };
        }

        private void respond(HttpResponse.ResponseInfo info) {
            Part response = capture.response();
            List<Header> headers = headers(info.headers().map());
            response.respond(info.statusCode(), headers);
            boolean bodyless = request.method().equals("HEAD") || info.statusCode() == 204 || info.statusCode() == 304;
            if (bodyless) {
                response.noBody();
            } else {
                response.filterBody(headers);
                response.expect(info.headers().firstValueAsLong("content-length").orElse(-1));
            }
            // A server may answer before it has read all.
            if (capture.request().isWhole()) {
                capture.request().end();
            }
        }

        /** Ends what is open. */
        void fail(Throwable fault) {
            if (capture != null) {
                capture.request().fail("body not sent to its end");
                capture.response().fail(describe(fault));
            }
        }
    }

    @Override
    public Optional<CookieHandler> cookieHandler() {
        return inner.cookieHandler();
    }

    @Override
    public Optional<Duration> connectTimeout() {
        return inner.connectTimeout();
    }

    @Override
    public Redirect followRedirects() {
        return inner.followRedirects();
    }

    @Override
    public Optional<ProxySelector> proxy() {
        return inner.proxy();
    }

    @Override
    public SSLContext sslContext() {
        return inner.sslContext();
    }

    @Override
    public SSLParameters sslParameters() {
        return inner.sslParameters();
    }

    @Override
    public Optional<Authenticator> authenticator() {
        return inner.authenticator();
    }

    @Override
    public Version version() {
        return inner.version();
    }

    @Override
    public Optional<Executor> executor() {
        return inner.executor();
    }

    @Override
    public WebSocket.Builder newWebSocketBuilder() {
        return inner.newWebSocketBuilder();
    }
}
