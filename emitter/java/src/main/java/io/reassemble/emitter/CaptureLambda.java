package io.reassemble.emitter;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.Duration;
import java.util.function.Function;

/**
 * Captures the invocations of an AWS Lambda function, whether its handler takes streams or an event's own type.
 *
 * <pre>{@code
 * public void handleRequest(InputStream event, OutputStream answer, Context context) throws IOException {
 *     CaptureLambda.handle(EMITTER, event, answer, (in, out) -> serve(in, out, context));
 * }
 *
 * public SQSBatchResponse handleRequest(SQSEvent event, Context context) {
 *     return CaptureLambda.handle(EMITTER, event, messages -> serve(messages, context));
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
        invoke(emitter, payload, isTaken -> {
            if (!isTaken) {
                handler.handle(new ByteArrayInputStream(payload), answer);
                return null;
            }
            Answer written = new Answer(answer);
            handler.handle(new ByteArrayInputStream(payload), written);
            return written.copy.toByteArray();
        }, written -> written);
    }

    /**
     * Runs a handler of a typed event under capture, within a {@link CaptureContext}. Event and answer are captured as the JSON that Lambda's runtime
     * reads and writes; where {@code aws-lambda-java-serialization} is not on the class path, they are not captured.
     *
     * @param <I> the event's type
     * @param <O> the answer's type
     * @param emitter takes the capture
     * @param event what the function was invoked with
     * @param handler does the work
     * @return what the handler answered
     */
    public static <I, O> O handle(Emitter emitter, I event, Function<? super I, ? extends O> handler) {
        if (emitter.shared() == null) {
            return handler.apply(event);
        }
        return CaptureLambda.<O, RuntimeException>invoke(emitter, RuntimeJson.of(event), isTaken -> handler.apply(event), RuntimeJson::of);
    }

    /** What answers an event; it is told whether its answer is captured. */
    private interface Work<T, E extends Exception> {
        T run(boolean isTaken) throws E;
    }

    /** A payload of null, of the event as of what {@code told} makes of the answer, is none that can be captured. */
    private static <T, E extends Exception> T invoke(Emitter emitter, byte[] payload, Work<T, E> work, Function<T, byte[]> told) throws E {
        LambdaEvent asked = LambdaEvent.read(payload, "lambda://" + functionName());
        Settings settings = emitter.shared().settings;
        if (asked.isHttp() && !(settings.methods().lets(asked.method()) && settings.paths().lets(asked.path()))) {
            return work.run(false);
        }
        TraceParent trace = TraceParent.parse(Header.first(asked.headers(), "traceparent")).orElseGet(TraceParent::make);
        Capture capture = new Begin(emitter, asked.proto(), asked.method(), asked.url()).inbound().headers(asked.headers()).peer(asked.peer())
                .trace(trace).parent(null).start();
        CaptureContext before = CaptureContext.enter(new CaptureContext(capture.id().orElse(null), trace));
        try {
            return capture.isNone() ? work.run(false) : captured(capture, asked, work, told);
        } finally {
            CaptureContext.leave(before);
            flush(emitter);
        }
    }

    private static <T, E extends Exception> T captured(Capture capture, LambdaEvent asked, Work<T, E> work, Function<T, byte[]> told) throws E {
        capture.request().filterBody(asked.headers());
        end(capture.request(), asked.body());
        Part response = capture.response();
        T answer;
        try {
            answer = work.run(true);
        } catch (Throwable fault) {
            response.fail("handler failed: " + fault.getClass().getName());
            throw fault;
        }
        LambdaEvent.Answer answered = asked.answer(told.apply(answer));
        response.respond(answered.status(), answered.headers());
        response.filterBody(answered.headers());
        end(response, answered.body());
        return answer;
    }

    private static void end(Part part, byte[] body) {
        if (body == null) {
            part.fail("body not captured");
            return;
        }
        part.body(body, 0, body.length);
        part.end();
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
