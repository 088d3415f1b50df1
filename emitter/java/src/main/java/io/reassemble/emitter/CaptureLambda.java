package io.reassemble.emitter;

import java.io.FilterInputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.time.Duration;
import java.util.List;

/**
 * Captures the invocations of an AWS Lambda function whose handler takes streams.
 *
 * <pre>{@code
 * public void handleRequest(InputStream event, OutputStream answer, Context context) throws IOException {
 *     CaptureLambda.handle(EMITTER, event, answer, (in, out) -> serve(in, out, context));
 * }
 * }</pre>
 *
 * <p>Event and answer are captured as the JSON that they are, secrets looked for. What is captured is written before the call returns, for the
 * process may be frozen then.
 */
public final class CaptureLambda {
    private static final Duration FLUSH_PATIENCE = Duration.ofSeconds(2);
    private static final List<Header> JSON = List.of(new Header("content-type", "application/json"));

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
        TraceParent trace = TraceParent.make();
        Capture capture = new Begin(emitter, "lambda", "invoke", "lambda://" + functionName()).inbound().headers(JSON).trace(trace).parent(null)
                .start();
        CaptureContext before = CaptureContext.enter(new CaptureContext(capture.id().orElse(null), trace));
        try {
            if (capture.isNone()) {
                handler.handle(event, answer);
            } else {
                handle(capture, event, answer, handler);
            }
        } finally {
            CaptureContext.leave(before);
            flush(emitter);
        }
    }

    private static void handle(Capture capture, InputStream event, OutputStream answer, Handler handler) throws IOException {
        try {
            handler.handle(new Event(event, capture.request()), new Answer(answer, capture.response()));
        } catch (IOException | RuntimeException | Error fault) {
            endRequest(capture.request(), event);
            capture.response().fail("handler failed: " + fault.getClass().getName());
            throw fault;
        }
        endRequest(capture.request(), event);
        capture.response().respond("OK", JSON);
        capture.response().end();
    }

    /** A reader of JSON need not ask for what is behind it. */
    private static void endRequest(Part request, InputStream event) {
        boolean whole;
        try {
            whole = request.hasStarted() && event.available() == 0;
        } catch (IOException closed) {
            whole = false;
        }
        if (whole) {
            request.end();
        } else {
            request.fail(request.hasStarted() ? "body not read to its end" : "body not read");
        }
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

    private static final class Event extends FilterInputStream {
        private final Part part;

        Event(InputStream inner, Part part) {
            super(inner);
            this.part = part;
        }

        @Override
        public int read() throws IOException {
            int one = in.read();
            if (one < 0) {
                part.end();
            } else {
                part.body(one);
            }
            return one;
        }

        @Override
        public int read(byte[] bytes, int from, int count) throws IOException {
            int read = in.read(bytes, from, count);
            if (read < 0) {
                part.end();
            } else {
                part.body(bytes, from, read);
            }
            return read;
        }

        /** What is skipped is captured too. */
        @Override
        public long skip(long count) throws IOException {
            return readNBytes((int) Math.max(0, Math.min(count, Integer.MAX_VALUE))).length;
        }

        /** Captured once is enough: going back is not offered. */
        @Override
        public boolean markSupported() {
            return false;
        }
    }

    private static final class Answer extends FilterOutputStream {
        private final Part part;

        Answer(OutputStream inner, Part part) {
            super(inner);
            this.part = part;
        }

        @Override
        public void write(int one) throws IOException {
            out.write(one);
            part.respond("OK", JSON);
            part.body(one);
        }

        @Override
        public void write(byte[] bytes, int from, int count) throws IOException {
            out.write(bytes, from, count);
            part.respond("OK", JSON);
            part.body(bytes, from, count);
        }
    }
}
