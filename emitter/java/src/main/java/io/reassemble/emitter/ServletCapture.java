package io.reassemble.emitter;

import jakarta.servlet.AsyncContext;
import jakarta.servlet.AsyncEvent;
import jakarta.servlet.AsyncListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequestWrapper;
import jakarta.servlet.ServletResponseWrapper;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.List;
import java.util.Set;

/** A servlet request under capture, over all of its dispatches. */
final class ServletCapture implements AsyncListener {
    private static final Set<String> USUALLY_EMPTY = Set.of("GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT");

    final CaptureContext context;
    /** A listener ends it, behind the container's error page. */
    final boolean endIsTold;
    private final Part request;
    private final Part response;
    private final boolean isHead;
    private CapturingRequest asked;
    private CapturingResponse answered;
    private boolean readByContainer;
    private boolean errorPage;
    private Throwable fault;
    private volatile boolean isAsync;

    ServletCapture(Capture capture, CaptureContext context, HttpServletRequest asked, List<Header> headers, boolean endIsTold) {
        this.context = context;
        this.endIsTold = endIsTold;
        request = capture.request();
        response = capture.response();
        isHead = "HEAD".equals(asked.getMethod());
        long length = asked.getContentLengthLong();
        boolean none = length == 0 || length < 0 && Header.indexOf(headers, "transfer-encoding") < 0
                && (asked.getProtocol().startsWith("HTTP/1") || USUALLY_EMPTY.contains(asked.getMethod()));
        if (none) {
            request.end();
        } else {
            request.filterBody(headers);
            request.expect(length);
        }
    }

    /** The request to hand on; a dispatch may come with the container's own again. */
    HttpServletRequest request(HttpServletRequest given) {
        boolean captures = given instanceof CapturingRequest
                || given instanceof ServletRequestWrapper wrapper && wrapper.isWrapperFor(CapturingRequest.class);
        if (captures) {
            return given;
        }
        CapturingRequest wrapped = new CapturingRequest(given, this, request);
        asked = asked == null ? wrapped : asked;
        return wrapped;
    }

    /** The response to hand on. An error page's is the container's own again, and what was written before it is gone. */
    HttpServletResponse response(HttpServletResponse given, boolean isErrorPage) {
        boolean captures = given instanceof CapturingResponse
                || given instanceof ServletResponseWrapper wrapper && wrapper.isWrapperFor(CapturingResponse.class);
        if (captures) {
            return given;
        }
        answered = new CapturingResponse(given, this, response, isHead, isErrorPage);
        return answered;
    }

    CapturingResponse lastResponse() {
        return answered;
    }

    /** The container itself parses the body. */
    void readByContainer() {
        readByContainer = true;
    }

    /** The container writes an error page once the handler is done. */
    void errorPage() {
        errorPage = true;
    }

    /** The handler threw; frameworks wrap what it was. */
    void failed(Throwable thrown) {
        boolean wrapped = thrown instanceof ServletException && thrown.getCause() != null;
        fault = wrapped ? thrown.getCause() : thrown;
    }

    /** The app answers later; until then the capture stays open. */
    void startedAsync(AsyncContext async) {
        isAsync = true;
        async.addListener(this);
    }

    /** The client does not send its request to the end: it hung up, most often, and then hears no answer, whatever the container makes of one. */
    IOException readFailed(IOException fault) {
        request.fail("read failed: " + fault.getMessage());
        response.notSent();
        return fault;
    }

    /** A callback of the app's. */
    interface Callback {
        void run() throws IOException;
    }

    /** Runs a callback within the request's context. */
    void call(Callback callback) throws IOException {
        CaptureContext before = CaptureContext.enter(context);
        try {
            callback.run();
        } finally {
            CaptureContext.leave(before);
        }
    }

    void finishUnlessAsync() {
        if (!isAsync) {
            finish();
        }
    }

    private void finish() {
        try {
            endRequest();
            endResponse();
        } catch (RuntimeException recycled) {
            // The container has taken its objects back; what is known of the exchange is told.
            request.fail("ended by the container");
            response.fail("ended by the container");
        }
    }

    private void endRequest() {
        if (request.hasEnded()) {
            return;
        }
        if (request.isWhole() || request.hasStarted() && !request.isShort() && isReadAsFarAsItCame()) {
            request.end();
        } else if (readByContainer) {
            request.fail("body read as parameters");
        } else {
            request.fail(request.hasStarted() ? "body not read to its end" : "body not read");
        }
    }

    private boolean isReadAsFarAsItCame() {
        try {
            return asked.isReadAsFarAsItCame();
        } catch (IOException | RuntimeException hungUp) {
            return false;
        }
    }

    private void endResponse() {
        boolean failed = errorPage || fault != null;
        boolean unseenPage = failed && !answered.isErrorPage();
        if (unseenPage) {
            // What the handler wrote and nobody sent gives way to the container's page.
            answered.takenBack();
        }
        answered.begin(unseenPage && fault != null && !answered.isCommitted());
        String error = fault == null ? "error page not seen" : "handler failed: " + fault.getClass().getName();
        if (unseenPage && !isHead) {
            response.fail(error);
        } else if (fault != null) {
            response.end(error);
        } else {
            answered.end();
        }
    }

    @Override
    public void onComplete(AsyncEvent event) {
        finish();
    }

    @Override
    public void onTimeout(AsyncEvent event) {
        // The container or the app answers to it, and completes.
    }

    @Override
    public void onError(AsyncEvent event) {
        failed(event.getThrowable());
    }

    @Override
    public void onStartAsync(AsyncEvent event) {
        event.getAsyncContext().addListener(this);
    }
}
