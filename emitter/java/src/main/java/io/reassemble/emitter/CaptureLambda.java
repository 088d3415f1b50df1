package io.reassemble.emitter;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.Duration;

/**
 * Captures the invocations of an AWS Lambda function whose handler takes streams.
 *
 * <pre>{@code
 * public void handleRequest(InputStream event, OutputStream answer, Context context) throws IOException {
 *     CaptureLambda.handle(EMITTER, event, answer, (in, out) -> serve(in, out, context));
 * }
 * }</pre>
 *
 * <p>Events of API Gateway (both versions), of load balancers and of function URLs are captured as the HTTP requests that they are, all others as
 * {@code lambda}, with event and answer as the JSON that they are. What is captured is written before the call returns, for the process may be
 * frozen then.
 */
public final class CaptureLambda {
    private static final Duration FLUSH_PATIENCE = Duration.ofSeconds(2);

    private CaptureLambda() {}

    /** A handler of one invocation. */
    @FunctionalInterface
    public interface Handler {
        /**
         * Answers an event.
         *
         * @param event what the function was invoked with
         * @param answer takes what it answers
         * @throws IOException where that fails
         */
        void handle(InputStream event, OutputStream answer) throws IOException;
    }

    /**
     * Runs a handler under capture, within a {@link CaptureContext}.
     *
     * @param emitter takes the capture
     * @param event what the function was invoked with
     * @param answer takes what it answers
     * @param handler does the work
     * @throws IOException what the handler threw
     */
    public static void handle(Emitter emitter, InputStream event, OutputStream answer, Handler handler) throws IOException {
        if (emitter.shared() == null) {
            handler.handle(event, answer);
            return;
        }
        // Lambda itself holds events and answers whole, for they have a limit.
        byte[] payload = event.readAllBytes();
        LambdaEvent asked = LambdaEvent.read(payload, "lambda://" + functionName());
        Settings settings = emitter.shared().settings;
        if (asked.isHttp() && !(settings.methods().lets(asked.method()) && settings.paths().lets(asked.path()))) {
            handler.handle(new ByteArrayInputStream(payload), answer);
            return;
        }
        TraceParent trace = TraceParent.parse(Header.first(asked.headers(), "traceparent")).orElseGet(TraceParent::make);
        Capture capture = new Begin(emitter, asked.proto(), asked.method(), asked.url()).inbound().headers(asked.headers()).peer(asked.peer())
                .trace(trace).parent(null).start();
        CaptureContext before = CaptureContext.enter(new CaptureContext(capture.id().orElse(null), trace));
        try {
            if (capture.isNone()) {
                handler.handle(new ByteArrayInputStream(payload), answer);
            } else {
                handle(capture, asked, payload, answer, handler);
            }
        } finally {
            CaptureContext.leave(before);
            flush(emitter);
        }
    }

    private static void handle(Capture capture, LambdaEvent asked, byte[] payload, OutputStream answer, Handler handler) throws IOException {
        Part request = capture.request();
        request.filterBody(asked.headers());
        request.body(asked.body(), 0, asked.body().length);
        request.end();
        Part response = capture.response();
        Answer written = new Answer(answer);
        try {
            handler.handle(new ByteArrayInputStream(payload), written);
        } catch (IOException | RuntimeException | Error fault) {
            response.fail("handler failed: " + fault.getClass().getName());
            throw fault;
        }
        LambdaEvent.Answer told = asked.answer(written.copy.toByteArray());
        response.respond(told.status(), told.headers());
        response.filterBody(told.headers());
        response.body(told.body(), 0, told.body().length);
        response.end();
    }

    private static String functionName() {
        String name = System.getenv("AWS_LAMBDA_FUNCTION_NAME");
        return name == null ? "" : name;
    }

    private static void flush(Emitter emitter) {
        try {
            emitter.flush(FLUSH_PATIENCE);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Hands an answer on and keeps a copy. */
    private static final class Answer extends FilterOutputStream {
        private final ByteArrayOutputStream copy = new ByteArrayOutputStream();

        Answer(OutputStream inner) {
            super(inner);
        }

        @Override
        public void write(int one) throws IOException {
            out.write(one);
            copy.write(one);
        }

        @Override
        public void write(byte[] bytes, int from, int count) throws IOException {
            out.write(bytes, from, count);
            copy.write(bytes, from, count);
        }
    }
}
