package io.reassemble.emitter;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What is said of a request before its capture starts. See {@link Emitter#begin}. */
public final class Begin {
    private final Emitter emitter;
    private final String proto;
    final String method;
    private final String url;
    private String dir = "out";
    private List<Header> headers;
    private String peer;
    TraceParent trace;
    private String parent;
    private Map<String, String> tags;
    boolean oneway;

    Begin(Emitter emitter, String proto, String method, String url) {
        this.emitter = emitter;
        this.proto = proto;
        this.method = method;
        this.url = url;
        CaptureContext context = CaptureContext.ofThread();
        if (context != null) {
            trace = context.trace();
            parent = context.id().orElse(null);
        }
    }

    /**
     * This app was called; without it, it calls.
     *
     * @return this
     */
    public Begin inbound() {
        dir = "in";
        return this;
    }

    /**
     * Adds a header, or what the protocol has like it.
     *
     * @param name its name
     * @param value its value
     * @return this
     */
    public Begin header(String name, String value) {
        headers = headers == null ? new ArrayList<>() : headers;
        headers.add(new Header(name, value));
        return this;
    }

    /** All headers at once; the list is not changed any more. */
    Begin headers(List<Header> all) {
        headers = all;
        return this;
    }

    /**
     * The other side's address.
     *
     * @param address the address
     * @return this
     */
    public Begin peer(String address) {
        peer = address;
        return this;
    }

    /**
     * The trace; without it that of the inbound request within which the code runs.
     *
     * @param trace the trace
     * @return this
     */
    public Begin trace(TraceParent trace) {
        this.trace = trace;
        return this;
    }

    /**
     * The capture that caused this one; without it the inbound request within which the code runs.
     *
     * @param id the capture's id
     * @return this
     */
    public Begin parent(String id) {
        parent = id;
        return this;
    }

    /**
     * Adds a tag: an order's number, a queue's partition, a foreign id.
     *
     * @param name its name
     * @param value its value
     * @return this
     */
    public Begin tag(String name, String value) {
        tags = tags == null ? new LinkedHashMap<>() : tags;
        tags.put(name, value);
        return this;
    }

    /**
     * No response will come.
     *
     * @return this
     */
    public Begin oneway() {
        oneway = true;
        return this;
    }

    /**
     * Starts the capture.
     *
     * @return the capture; where sampling leaves it out or the queue is full, one that takes all calls and does nothing
     */
    public Capture start() {
        Shared shared = emitter.shared();
        if (shared == null) {
            return Capture.NONE;
        }
        try {
            long now = Identity.nowMicros();
            String id = Identity.captureId(now, Identity.random(10));
            Live live = shared.admit(this, id, now);
            return live == null ? Capture.NONE : new Capture(live, oneway);
        } catch (RuntimeException fault) {
            // The app's work goes on, whatever is wrong with what is said of it.
            return Capture.NONE;
        }
    }

    Message.Begin message(Live live, String why) {
        String traceText = trace == null ? null : trace.toString();
        long cost = Message.OVERHEAD + length(proto) + length(method) + length(url) + length(peer) + length(traceText) + length(parent)
                + Header.cost(headers);
        if (tags != null) {
            for (Map.Entry<String, String> tag : tags.entrySet()) {
                cost += tag.getKey().length() + tag.getValue().length() + 32;
            }
        }
        return new Message.Begin(
                live, live.tsMicros, dir, proto, method, url, headers, peer, traceText, parent, tags == null ? null : Map.copyOf(tags), why,
                oneway, cost);
    }

    private static int length(String text) {
        return text == null ? 0 : text.length();
    }

    /** The URL's path, by which endpoints are told apart. */
    String path() {
        int scheme = url.indexOf("://");
        int from = scheme < 0 ? 0 : url.indexOf('/', scheme + 3);
        if (from < 0) {
            return "";
        }
        int end = from;
        while (end < url.length() && url.charAt(end) != '?' && url.charAt(end) != '#') {
            end++;
        }
        return url.substring(from, end);
    }
}
