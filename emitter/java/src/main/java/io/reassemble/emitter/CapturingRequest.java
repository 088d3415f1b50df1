package io.reassemble.emitter;

import jakarta.servlet.AsyncContext;
import jakarta.servlet.ReadListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletInputStream;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.Part;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Collection;
import java.util.Enumeration;
import java.util.Map;

/** A request whose body is captured as the app reads it. */
final class CapturingRequest extends HttpServletRequestWrapper {
    private final ServletCapture capture;
    private final io.reassemble.emitter.Part part;
    private ServletInputStream stream;
    private BufferedReader reader;

    CapturingRequest(HttpServletRequest request, ServletCapture capture, io.reassemble.emitter.Part part) {
        super(request);
        this.capture = capture;
        this.part = part;
    }

    @Override
    public ServletInputStream getInputStream() throws IOException {
        if (reader != null) {
            throw new IllegalStateException("getReader has been called");
        }
        return captured();
    }

    @Override
    public BufferedReader getReader() throws IOException {
        if (reader == null) {
            if (stream != null) {
                throw new IllegalStateException("getInputStream has been called");
            }
            String encoding = getCharacterEncoding();
            reader = new BufferedReader(new InputStreamReader(captured(), encoding == null ? "ISO-8859-1" : encoding));
        }
        return reader;
    }

    private ServletInputStream captured() throws IOException {
        if (stream == null) {
            stream = new Input(super.getInputStream());
        }
        return stream;
    }

    /** As the container does it, but with the objects that capture: without them what is written later would not be seen. */
    @Override
    public AsyncContext startAsync() {
        return startAsync(this, capture.lastResponse());
    }

    @Override
    public AsyncContext startAsync(ServletRequest request, ServletResponse response) {
        AsyncContext async = super.startAsync(request, response);
        capture.startedAsync(async);
        return async;
    }

    @Override
    public String getParameter(String name) {
        parsed();
        return super.getParameter(name);
    }

    @Override
    public Map<String, String[]> getParameterMap() {
        parsed();
        return super.getParameterMap();
    }

    @Override
    public Enumeration<String> getParameterNames() {
        parsed();
        return super.getParameterNames();
    }

    @Override
    public String[] getParameterValues(String name) {
        parsed();
        return super.getParameterValues(name);
    }

    @Override
    public Collection<Part> getParts() throws IOException, ServletException {
        parsed();
        return super.getParts();
    }

    @Override
    public Part getPart(String name) throws IOException, ServletException {
        parsed();
        return super.getPart(name);
    }

    /** Of these types a container parses the body for its parameters. */
    private void parsed() {
        String type = BodyRedactor.essence(String.valueOf(getContentType()));
        if (stream == null && (type.equals("application/x-www-form-urlencoded") || type.equals("multipart/form-data"))) {
            capture.readByContainer();
        }
    }

    /**
     * Whether nothing of the body has come that the app did not read; to be asked once the app is done. Whoever parses a body knows where it ends, and
     * asks for no more: the end of one in chunks has then yet to be read, or even to arrive, and is not waited for.
     */
    boolean isReadAsFarAsItCame() throws IOException {
        if (stream == null) {
            return false;
        }
        ServletInputStream inner = ((Input) stream).inner;
        return inner.isFinished() || inner.available() == 0 || inner.read() < 0;
    }

    private final class Input extends ServletInputStream {
        private final ServletInputStream inner;

        Input(ServletInputStream inner) {
            this.inner = inner;
        }

        @Override
        public int read() throws IOException {
            try {
                int one = inner.read();
                if (one < 0) {
                    part.end();
                } else {
                    part.body(one);
                    endWhereWhole();
                }
                return one;
            } catch (IOException fault) {
                throw capture.readFailed(fault);
            }
        }

        @Override
        public int read(byte[] bytes, int from, int count) throws IOException {
            try {
                int read = inner.read(bytes, from, count);
                if (read < 0) {
                    part.end();
                } else {
                    part.body(bytes, from, read);
                    endWhereWhole();
                }
                return read;
            } catch (IOException fault) {
                throw capture.readFailed(fault);
            }
        }

        /** Few apps ask for the end of a body whose length they know. */
        private void endWhereWhole() {
            if (part.isWhole()) {
                part.end();
            }
        }

        @Override
        public int available() throws IOException {
            return inner.available();
        }

        @Override
        public void close() throws IOException {
            inner.close();
        }

        @Override
        public boolean isFinished() {
            return inner.isFinished();
        }

        @Override
        public boolean isReady() {
            return inner.isReady();
        }

        @Override
        public void setReadListener(ReadListener listener) {
            inner.setReadListener(listener == null ? null : new InContext(listener));
        }
    }

    /** Runs the app's callbacks within the request's context. */
    private final class InContext implements ReadListener {
        private final ReadListener inner;

        InContext(ReadListener inner) {
            this.inner = inner;
        }

        @Override
        public void onDataAvailable() throws IOException {
            capture.call(inner::onDataAvailable);
        }

        @Override
        public void onAllDataRead() throws IOException {
            part.end();
            capture.call(inner::onAllDataRead);
        }

        @Override
        public void onError(Throwable fault) {
            capture.readFailed(new IOException(fault.getMessage()));
            capture.context.run(() -> inner.onError(fault));
        }
    }
}
