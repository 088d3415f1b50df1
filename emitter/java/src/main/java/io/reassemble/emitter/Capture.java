package io.reassemble.emitter;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/**
 * One capture under way. Closed before {@link #finish}, it ends as truncated.
 *
 * <p>No call waits; arrays are copied and stay the caller's.
 */
public final class Capture implements AutoCloseable {
    /** What is not captured. */
    static final Capture NONE = new Capture(null, true);

    private final Live live;
    private final Part request;
    private final Part response;
    private String error;

    Capture(Live live, boolean oneway) {
        this.live = live;
        request = live == null ? null : new Part(live, false);
        response = oneway ? null : new Part(live, true);
        if (live != null) {
            live.request = request;
            live.response = response;
        }
    }

    /**
     * The capture's id.
     *
     * @return the id; empty where it is not captured
     */
    public Optional<String> id() {
        return live == null ? Optional.empty() : Optional.of(live.id);
    }

    boolean isNone() {
        return live == null;
    }

    Part request() {
        return request;
    }

    Part response() {
        return response;
    }

    /**
     * Adds to the request's body: a statement, arguments, a message.
     *
     * @param bytes the bytes
     */
    public void requestBody(byte[] bytes) {
        add(request, ByteBuffer.wrap(bytes));
    }

    /**
     * Adds to the request's body, as UTF-8.
     *
     * @param text the text
     */
    public void requestBody(String text) {
        requestBody(text.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Begins the response. What is added to the request's body afterwards still counts.
     *
     * @param status a name: an SQLSTATE, a gRPC status
     */
    public void respond(String status) {
        begin(status, null);
    }

    /**
     * Begins the response.
     *
     * @param status an HTTP status
     */
    public void respond(int status) {
        begin(status, null);
    }

    /**
     * Begins the response, with what the protocol has like headers.
     *
     * @param status a name: an SQLSTATE, a gRPC status
     * @param headers in their order
     */
    public void respond(String status, List<Header> headers) {
        begin(status, List.copyOf(headers));
    }

    /**
     * Begins the response, with headers.
     *
     * @param status an HTTP status
     * @param headers in their order
     */
    public void respond(int status, List<Header> headers) {
        begin(status, List.copyOf(headers));
    }

    private void begin(Object status, List<Header> headers) {
        if (response != null) {
            response.respond(status, headers);
        }
    }

    /**
     * Adds to the response's body: rows as JSON, a reply.
     *
     * @param bytes the bytes
     */
    public void responseBody(byte[] bytes) {
        add(response, ByteBuffer.wrap(bytes));
    }

    /**
     * Adds to the response's body, as UTF-8.
     *
     * @param text the text
     */
    public void responseBody(String text) {
        responseBody(text.getBytes(StandardCharsets.UTF_8));
    }

    private static void add(Part part, ByteBuffer bytes) {
        if (part != null) {
            part.body(bytes);
        }
    }

    /**
     * Says what went wrong; the capture then ends with it.
     *
     * @param error in words; of more than 1,024 bytes the start is kept
     */
    public void error(String error) {
        if (live != null) {
            this.error = error;
        }
    }

    /** Ends the capture. */
    public void finish() {
        end(error == null ? "" : error, "");
    }

    /** Ends the capture as truncated, unless it has been finished. */
    @Override
    public void close() {
        end(error == null ? "cancelled" : error, "cancelled");
    }

    /** Ends what is open: the last part with the error, where there is one, the request in its stead before that. */
    private void end(String lastError, String requestError) {
        if (live == null) {
            return;
        }
        end(request, response == null ? lastError : requestError);
        if (response != null) {
            end(response, lastError);
        }
    }

    private static void end(Part part, String error) {
        if (error.isEmpty()) {
            part.end();
        } else {
            part.fail(error);
        }
    }
}
