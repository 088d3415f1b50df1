package io.reassemble.emitter;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/** At most so many captures a second of each endpoint (C-2.2). Time is an argument: nanoseconds of a clock that never goes back. */
final class RateLimit {
    private static final int MAX_ENDPOINTS = 1024;
    private static final int MAX_SEGMENT = 32;

    private final double perSecond;
    private final ConcurrentMap<String, Bucket> buckets = new ConcurrentHashMap<>();
    /** What endpoints share that came when there were too many. */
    private final Bucket others = new Bucket();

    RateLimit(double perSecond) {
        this.perSecond = perSecond;
    }

    boolean takes(String method, String path, long nowNanos) {
        String endpoint = method + ' ' + route(path);
        Bucket bucket = buckets.get(endpoint);
        if (bucket == null) {
            bucket = buckets.size() >= MAX_ENDPOINTS ? others : buckets.computeIfAbsent(endpoint, name -> new Bucket());
        }
        return bucket.takes(nowNanos);
    }

    /** A path with each segment that looks like an id replaced, so that all that one route serves is one endpoint. */
    static String route(String path) {
        StringBuilder route = new StringBuilder(path.length());
        int at = 0;
        while (at <= path.length()) {
            int slash = path.indexOf('/', at);
            int end = slash < 0 ? path.length() : slash;
            boolean masked = end - at > MAX_SEGMENT || path.substring(at, end).chars().anyMatch(c -> c >= '0' && c <= '9');
            route.append(masked ? "*" : path.substring(at, end));
            if (end < path.length()) {
                route.append('/');
            }
            at = end + 1;
        }
        return route.toString();
    }

    private final class Bucket {
        private double tokens = Math.max(1, perSecond);
        private long filledAt;
        private boolean used;

        synchronized boolean takes(long nowNanos) {
            if (used) {
                tokens = Math.min(Math.max(1, perSecond), tokens + Math.max(0, nowNanos - filledAt) * perSecond / 1e9);
            }
            used = true;
            filledAt = nowNanos;
            if (tokens < 1) {
                return false;
            }
            tokens--;
            return true;
        }
    }
}
