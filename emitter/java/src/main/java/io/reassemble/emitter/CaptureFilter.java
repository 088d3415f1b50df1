package io.reassemble.emitter;

import jakarta.servlet.DispatcherType;
import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.FilterRegistration;
import jakarta.servlet.ServletContext;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletRequestEvent;
import jakarta.servlet.ServletRequestListener;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.Enumeration;
import java.util.List;

/**
 * Captures what a servlet container is asked and answers: Jetty, Tomcat, Spring Boot.
 *
 * <p>{@link #register} is all that it takes. Bodies are captured as the app reads and writes them, blocking or not, also after
 * {@code startAsync}; what the container's own parsing of parameters and parts reads is not seen. The request's attributes gain a
 * {@link CaptureContext} under that class's name, and within the handler {@link CaptureContext#current} gives it too.
 */
public final class CaptureFilter implements Filter {
    private static final String STATE = ServletCapture.class.getName();
    private static final String CONTEXT = CaptureContext.class.getName();

    /** Stands in the state's place until there is one: the request's end will be told. */
    private static final Object LISTENED = new Object();

    private final Emitter emitter;

    /**
     * A filter that hands captures to an emitter. Where {@link #register} can't be used, map it to {@code /*} ahead of all other filters, with async
     * support, for the dispatcher types {@code REQUEST}, {@code ASYNC} and {@code ERROR}.
     *
     * @param emitter takes the captures; it is not closed
     */
    public CaptureFilter(Emitter emitter) {
        this.emitter = emitter;
    }

    /**
     * Puts a filter in front of all that a web application serves, and what tells it when a request has ended, error page included.
     *
     * @param context the web application, as it is being set up
     * @param emitter takes the captures; it is not closed
     */
    public static void register(ServletContext context, Emitter emitter) {
        FilterRegistration.Dynamic registration = context.addFilter("capture", new CaptureFilter(emitter));
        registration.setAsyncSupported(true);
        registration.addMappingForUrlPatterns(EnumSet.of(DispatcherType.REQUEST, DispatcherType.ASYNC, DispatcherType.ERROR), false, "/*");
        context.addListener(new RequestEnd());
    }

    /** Ends captures behind the container's error page, which comes after the filter. */
    private static final class RequestEnd implements ServletRequestListener {
        @Override
        public void requestInitialized(ServletRequestEvent event) {
            event.getServletRequest().setAttribute(STATE, LISTENED);
        }

        @Override
        public void requestDestroyed(ServletRequestEvent event) {
            if (event.getServletRequest().getAttribute(STATE) instanceof ServletCapture state) {
                state.finishUnlessAsync();
            }
        }
    }

    @Override
    public void doFilter(ServletRequest request, ServletResponse response, FilterChain chain) throws IOException, ServletException {
        if (!(request instanceof HttpServletRequest asked) || !(response instanceof HttpServletResponse answered)
                || emitter.shared() == null) {
            chain.doFilter(request, response);
            return;
        }
        Object known = asked.getAttribute(STATE);
        ServletCapture state = known instanceof ServletCapture begun ? begun : null;
        CaptureContext context = state == null ? contextOf(asked) : state.context;
        if (state == null && context != null && asked.getAttribute(STATE) instanceof ServletCapture begun) {
            state = begun;
        }
        CaptureContext before = CaptureContext.enter(context);
        try {
            if (state == null) {
                chain.doFilter(asked, answered);
            } else {
                serve(state, asked, answered, chain);
            }
        } finally {
            CaptureContext.leave(before);
        }
    }

    private static void serve(ServletCapture state, HttpServletRequest asked, HttpServletResponse answered, FilterChain chain)
            throws IOException, ServletException {
        DispatcherType dispatch = asked.getDispatcherType();
        HttpServletRequest request = state.request(asked);
        try {
            chain.doFilter(request, state.response(answered, dispatch == DispatcherType.ERROR));
        } catch (IOException | ServletException | RuntimeException | Error fault) {
            state.failed(fault);
            throw fault;
        } finally {
            if (!state.endIsTold && dispatch != DispatcherType.ASYNC) {
                state.finishUnlessAsync();
            }
        }
    }

    /** Decides on a request where it comes by for the first time; null where a filter leaves it out. */
    private CaptureContext contextOf(HttpServletRequest request) {
        if (request.getAttribute(CONTEXT) instanceof CaptureContext known) {
            return known;
        }
        if (request.getDispatcherType() != DispatcherType.REQUEST) {
            // What was left out as it came stays so, whatever its error page is called.
            return null;
        }
        try {
            Settings settings = emitter.shared().settings;
            if (!settings.methods().lets(request.getMethod()) || !settings.paths().lets(request.getRequestURI())) {
                return null;
            }
            List<Header> headers = headers(request);
            TraceParent trace = TraceParent.parse(Header.first(headers, "traceparent")).orElseGet(TraceParent::make);
            Capture capture = new Begin(emitter, protocol(request, headers), request.getMethod(), url(request)).inbound().headers(headers)
                    .peer(peer(request)).trace(trace).parent(null).start();
            CaptureContext context = new CaptureContext(capture.id().orElse(null), trace);
            if (!capture.isNone()) {
                boolean endIsTold = request.getAttribute(STATE) == LISTENED;
                request.setAttribute(STATE, new ServletCapture(capture, context, request, headers, endIsTold));
            }
            request.setAttribute(CONTEXT, context);
            return context;
        } catch (RuntimeException fault) {
            // A container that can't tell of its request serves it all the same.
            return null;
        }
    }

    private static List<Header> headers(HttpServletRequest request) {
        List<Header> headers = new ArrayList<>();
        for (Enumeration<String> names = request.getHeaderNames(); names.hasMoreElements(); ) {
            String name = names.nextElement();
            // Tomcat may name a header once for each of its values.
            if (Header.indexOf(headers, name) < 0) {
                for (Enumeration<String> values = request.getHeaders(name); values.hasMoreElements(); ) {
                    headers.add(Header.ofLatin1(name, values.nextElement()));
                }
            }
        }
        return headers;
    }

    private static String protocol(HttpServletRequest request, List<Header> headers) {
        if (Header.first(headers, "content-type").startsWith("application/grpc")) {
            return "grpc";
        }
        return switch (request.getProtocol()) {
            case "HTTP/2.0", "HTTP/2" -> "h2";
            case "HTTP/3.0", "HTTP/3" -> "h3";
            case "HTTP/1.0" -> "http/1.0";
            default -> "http/1.1";
        };
    }

    private static String url(HttpServletRequest request) {
        String query = request.getQueryString();
        StringBuffer url = request.getRequestURL();
        return query == null ? url.toString() : url.append('?').append(query).toString();
    }

    private static String peer(HttpServletRequest request) {
        String address = request.getRemoteAddr();
        if (address == null) {
            return null;
        }
        boolean bare = address.indexOf(':') >= 0 && !address.startsWith("[");
        return (bare ? '[' + address + ']' : address) + ':' + request.getRemotePort();
    }
}
