package io.reassemble.emitter;

import jakarta.servlet.AsyncContext;
import jakarta.servlet.ReadListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletInputStream;
import jakarta.servlet.ServletOutputStream;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpUpgradeHandler;
import jakarta.servlet.http.WebConnection;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** What tests ask of a container: one path for each way in which an app may answer. */
final class Handlers extends HttpServlet {
    private static final long serialVersionUID = 1;

    private final transient HttpClient client;

    Handlers(HttpClient client) {
        this.client = client;
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
        switch (request.getPathInfo()) {
            case "/echo" -> echo(request, response);
            case "/text" -> text(response);
            case "/reader" -> response.getWriter().print(request.getReader().readLine());
            case "/unread", "/empty" -> response.setStatus(204);
            case "/half" -> response.getOutputStream().write(request.getInputStream().readNBytes(10));
            case "/form" -> response.getWriter().print(request.getParameter("a"));
            case "/fail" -> {
                response.getWriter().print("never seen");
                throw new IllegalStateException("handler");
            }
            case "/late" -> {
                response.getWriter().print("seen");
                response.flushBuffer();
                throw new IllegalStateException("handler");
            }
            case "/error" -> {
                response.getWriter().print("never seen");
                response.sendError(404, "no such thing");
            }
            case "/reset" -> {
                response.getOutputStream().print("wrong");
                response.resetBuffer();
                response.setHeader("X-Late", "1");
                response.getOutputStream().print("right");
            }
            case "/redirect" -> {
                response.getWriter().print("never seen");
                response.sendRedirect("/elsewhere");
            }
            case "/prefix" -> {
                // As a parser of JSON does, that needs no end behind the last brace.
                byte[] json = new byte[8000];
                response.getWriter().print(request.getInputStream().read(json));
            }
            case "/large" -> {
                for (int at = 0; at < 300_000; at++) {
                    response.getOutputStream().write('a' + at % 26);
                }
            }
            case "/async" -> async(request, response);
            case "/dispatch" -> {
                AsyncContext async = request.startAsync();
                async.start(() -> async.dispatch(request.getServletPath() + "/text"));
            }
            case "/nonblocking" -> nonblocking(request, response);
            case "/endless" -> {
                byte[] block = new byte[8192];
                while (true) {
                    response.getOutputStream().write(block);
                    response.getOutputStream().flush();
                }
            }
            case "/gone" -> {
                try {
                    request.getInputStream().readAllBytes();
                } catch (IOException hungUp) {
                    writeToNobody(response.getOutputStream());
                }
            }
            case "/upgrade" -> {
                response.setStatus(101);
                response.setHeader("Upgrade", "shout");
                response.setHeader("Connection", "Upgrade");
                request.upgrade(Shout.class);
            }
            case "/outbound" -> outbound(request, response);
            default -> throw new ServletException(request.getPathInfo());
        }
    }

    private static void echo(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setContentType(request.getContentType());
        try (OutputStream out = response.getOutputStream()) {
            request.getInputStream().transferTo(out);
        }
    }

    private static void text(HttpServletResponse response) throws IOException {
        response.setContentType("text/plain;charset=utf-8");
        response.addHeader("Set-Cookie", "s=1");
        response.addHeader("X-Twice", "1");
        response.addHeader("X-Twice", "2");
        String text = "té😀xt";
        for (char c : text.toCharArray()) {
            response.getWriter().print(c);
        }
        response.getWriter().println();
    }

    private static void async(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setContentType("text/event-stream");
        AsyncContext async = request.startAsync();
        async.start(() -> {
            try {
                for (int at = 0; at < 3; at++) {
                    async.getResponse().getOutputStream().print("data: " + at + "\n\n");
                    async.getResponse().getOutputStream().flush();
                }
            } catch (IOException fault) {
                throw new UncheckedIOException(fault);
            }
            async.complete();
        });
    }

    /** Echoes without blocking, as far as reading goes. */
    /** Jetty says so; Tomcat lets what is written vanish. */
    private static void writeToNobody(OutputStream out) {
        try {
            out.write(new byte[1 << 20]);
        } catch (IOException hungUp) {
            return;
        }
    }

    private static void nonblocking(HttpServletRequest request, HttpServletResponse response) throws IOException {
        AsyncContext async = request.startAsync();
        ServletInputStream in = request.getInputStream();
        ServletOutputStream out = response.getOutputStream();
        StringBuilder read = new StringBuilder();
        in.setReadListener(new ReadListener() {
            @Override
            public void onDataAvailable() throws IOException {
                byte[] bytes = new byte[1000];
                while (in.isReady()) {
                    int count = in.read(bytes);
                    if (count < 0) {
                        return;
                    }
                    read.append(new String(bytes, 0, count, StandardCharsets.ISO_8859_1));
                }
            }

            @Override
            public void onAllDataRead() throws IOException {
                out.print(read.length() + " " + CaptureContext.current().isPresent());
                async.complete();
            }

            @Override
            public void onError(Throwable fault) {
                async.complete();
            }
        });
    }

    /** Another protocol: says in capitals what it is told first. */
    public static final class Shout implements HttpUpgradeHandler {
        @Override
        public void init(WebConnection connection) {
            try {
                ServletInputStream in = connection.getInputStream();
                in.setReadListener(new ReadListener() {
                    @Override
                    public void onDataAvailable() throws IOException {
                        StringBuilder told = new StringBuilder();
                        while (told.length() < 5 && in.isReady()) {
                            told.append((char) in.read());
                        }
                        connection.getOutputStream().print(told.toString().toUpperCase(Locale.ROOT));
                        connection.getOutputStream().flush();
                    }

                    @Override
                    public void onAllDataRead() {
                        // The client has hung up.
                    }

                    @Override
                    public void onError(Throwable fault) {
                        // The client has hung up.
                    }
                });
            } catch (IOException fault) {
                throw new UncheckedIOException(fault);
            }
        }

        @Override
        public void destroy() {
            // Nothing is held.
        }
    }

    /** Asks this server for a text. */
    private void outbound(HttpServletRequest request, HttpServletResponse response) throws IOException {
        URI text = URI.create(request.getRequestURL().toString().replace("/outbound", "/text?for=outbound"));
        try {
            String body = client.send(HttpRequest.newBuilder(text).build(), HttpResponse.BodyHandlers.ofString()).body();
            response.setContentType("text/plain;charset=utf-8");
            response.getWriter().print(body);
        } catch (InterruptedException fault) {
            throw new IOException(fault);
        }
    }
}
