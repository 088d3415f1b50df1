package io.reassemble.emitter;

import jakarta.servlet.ServletOutputStream;
import jakarta.servlet.WriteListener;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpServletResponseWrapper;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.io.Writer;
import java.util.ArrayList;
import java.util.List;

/**
 * A response whose body is captured as the app writes it.
 *
 * <p>Until the container commits it, headers may change and what was written may be taken back; so the head is told, and what was written before it,
 * once it is committed or at the end.
 */
final class CapturingResponse extends HttpServletResponseWrapper {
    /** No container's buffer is that large unless it is asked for; more than this is not kept back. */
    private static final int PENDING_BYTES = 64 << 10;

    private final ServletCapture capture;
    private final Part part;
    private final boolean isHead;
    private final boolean isErrorPage;
    private Bytes pending = new Bytes(0);
    private ServletOutputStream stream;
    private PrintWriter writer;
    /** The app encoded the body itself, as its header said before the container could add one of its own. */
    private boolean encodedByApp;
    private boolean hasWritten;

    CapturingResponse(HttpServletResponse response, ServletCapture capture, Part part, boolean isHead, boolean isErrorPage) {
        super(response);
        this.capture = capture;
        this.part = part;
        this.isHead = isHead;
        this.isErrorPage = isErrorPage;
    }

    boolean isErrorPage() {
        return isErrorPage;
    }

    /**
     * Tells the head, where that has not been done.
     *
     * @param willFail the container is about to answer with a failure of its own
     */
    synchronized void begin(boolean willFail) {
        if (part.hasBegun()) {
            return;
        }
        List<Header> headers = new ArrayList<>();
        for (String name : getHeaderNames()) {
            // Tomcat names a header once for each of its values.
            if (Header.indexOf(headers, name) >= 0) {
                continue;
            }
            boolean addedByContainer = hasWritten && !encodedByApp && Header.isSameName(name, "content-encoding");
            if (!addedByContainer) {
                // What the container encodes passes here as it was before.
                for (String value : getHeaders(name)) {
                    headers.add(Header.ofLatin1(name, value));
                }
            }
        }
        String type = getContentType();
        if (type != null && Header.first(headers, "content-type").isEmpty()) {
            headers.add(Header.ofLatin1("Content-Type", type));
        }
        int status = willFail && getStatus() < 500 ? SC_INTERNAL_SERVER_ERROR : getStatus();
        part.respond(status, headers);
        if (isHead || status < 200 || status == SC_NO_CONTENT || status == SC_NOT_MODIFIED) {
            part.noBody();
        } else {
            part.filterBody(headers);
            part.expect(length(Header.first(headers, "content-length")));
        }
        part.own(pending.array, pending.length);
        pending = new Bytes(0);
    }

    private static long length(String declared) {
        try {
            return declared.isEmpty() ? -1 : Math.max(-1, Long.parseLong(declared));
        } catch (NumberFormatException noNumber) {
            return -1;
        }
    }

    /** Ends the part as the handler's part in it ends. */
    synchronized void end() {
        if (part.isShort()) {
            // The container sent a file itself, or the handler promised more than it wrote.
            part.fail("body not seen to its end");
        } else {
            part.end();
        }
    }

    /** To be called ahead of each write: what the container makes of it comes later. */
    private synchronized void writing() {
        try {
            if (!part.hasBegun()) {
                encodedByApp = getHeader("content-encoding") != null;
                hasWritten = true;
            }
        } catch (RuntimeException recycled) {
            endedByContainer();
        }
    }

    private synchronized void wrote(byte[] bytes, int from, int count) {
        try {
            if (!part.hasBegun()) {
                if (!isCommitted() && pending.length + count <= PENDING_BYTES) {
                    pending.put(bytes, from, count);
                    return;
                }
                begin(false);
            }
            part.body(bytes, from, count);
        } catch (RuntimeException recycled) {
            endedByContainer();
        }
    }

    private synchronized void flushed() {
        try {
            if (!part.hasBegun() && isCommitted()) {
                begin(false);
            }
        } catch (RuntimeException recycled) {
            endedByContainer();
        }
    }

    private synchronized IOException failed(IOException fault) {
        try {
            part.notSent();
            begin(false);
            part.fail("write failed: " + fault.getMessage());
        } catch (RuntimeException recycled) {
            endedByContainer();
        }
        return fault;
    }

    /** A container that has taken its objects back answers anything; the app hears of it by its own calls alone. */
    private void endedByContainer() {
        part.fail("ended by the container");
    }

    /** What was written is gone; of what was sent nothing is. */
    synchronized void takenBack() {
        pending.clear();
        hasWritten = false;
    }

    @Override
    public ServletOutputStream getOutputStream() throws IOException {
        if (stream == null) {
            stream = new Output(super.getOutputStream());
        }
        return stream;
    }

    @Override
    public PrintWriter getWriter() throws IOException {
        if (writer == null) {
            PrintWriter inner = super.getWriter();
            writer = new Text(inner, getCharacterEncoding());
        }
        return writer;
    }

    @Override
    public void flushBuffer() throws IOException {
        try {
            super.flushBuffer();
        } catch (IOException fault) {
            throw failed(fault);
        }
        flushed();
    }

    @Override
    public void reset() {
        super.reset();
        takenBack();
        stream = null;
        writer = null;
    }

    @Override
    public void resetBuffer() {
        super.resetBuffer();
        takenBack();
    }

    @Override
    public void sendError(int status, String message) throws IOException {
        super.sendError(status, message);
        takenBack();
        capture.errorPage();
    }

    @Override
    public void sendError(int status) throws IOException {
        super.sendError(status);
        takenBack();
        capture.errorPage();
    }

    @Override
    public void sendRedirect(String location) throws IOException {
        super.sendRedirect(location);
        takenBack();
    }

    private final class Output extends ServletOutputStream {
        private final ServletOutputStream inner;

        Output(ServletOutputStream inner) {
            this.inner = inner;
        }

        @Override
        public void write(int one) throws IOException {
            writing();
            try {
                inner.write(one);
            } catch (IOException fault) {
                throw failed(fault);
            }
            wrote(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int from, int count) throws IOException {
            writing();
            try {
                inner.write(bytes, from, count);
            } catch (IOException fault) {
                throw failed(fault);
            }
            wrote(bytes, from, count);
        }

        @Override
        public void flush() throws IOException {
            try {
                inner.flush();
            } catch (IOException fault) {
                throw failed(fault);
            }
            flushed();
        }

        @Override
        public void close() throws IOException {
            try {
                inner.close();
            } catch (IOException fault) {
                throw failed(fault);
            }
            flushed();
        }

        @Override
        public boolean isReady() {
            return inner.isReady();
        }

        @Override
        public void setWriteListener(WriteListener listener) {
            inner.setWriteListener(listener == null ? null : new InContext(listener));
        }
    }

    /** Runs the app's callbacks within the request's context. */
    private final class InContext implements WriteListener {
        private final WriteListener inner;

        InContext(WriteListener inner) {
            this.inner = inner;
        }

        @Override
        public void onWritePossible() throws IOException {
            capture.call(inner::onWritePossible);
        }

        @Override
        public void onError(Throwable fault) {
            failed(new IOException(fault.getMessage()));
            capture.context.run(() -> inner.onError(fault));
        }
    }

    /** The container's writer, which alone knows of its errors, with what passes encoded once more. */
    private final class Text extends PrintWriter {
        private final PrintWriter inner;

        Text(PrintWriter inner, String encoding) throws IOException {
            super(new Tee(inner, encoding));
            this.inner = inner;
        }

        @Override
        public boolean checkError() {
            return super.checkError() | inner.checkError();
        }
    }

    private final class Tee extends Writer {
        private final PrintWriter inner;
        /** Keeps the first half of a character whose second comes with the next write. */
        private final OutputStreamWriter encoder;

        Tee(PrintWriter inner, String encoding) throws IOException {
            this.inner = inner;
            encoder = new OutputStreamWriter(new OutputStream() {
                @Override
                public void write(int one) {
                    wrote(new byte[] {(byte) one}, 0, 1);
                }

                @Override
                public void write(byte[] bytes, int from, int count) {
                    wrote(bytes, from, count);
                }
            }, encoding);
        }

        @Override
        public void write(char[] chars, int from, int count) throws IOException {
            writing();
            inner.write(chars, from, count);
            encoder.write(chars, from, count);
            encoder.flush();
        }

        @Override
        public void flush() {
            inner.flush();
            flushed();
        }

        @Override
        public void close() {
            inner.close();
            flushed();
        }
    }
}
