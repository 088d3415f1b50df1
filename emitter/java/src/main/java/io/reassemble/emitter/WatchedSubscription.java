package io.reassemble.emitter;

import java.util.concurrent.Flow;

/** A subscription to a body whose end by {@link #cancel} is told to its part. */
final class WatchedSubscription implements Flow.Subscription {
    private final Flow.Subscription inner;
    private final Part part;
    private final String error;

    /**
     * @param error what the part ends with where the body is cancelled before all of it has passed
     */
    WatchedSubscription(Flow.Subscription inner, Part part, String error) {
        this.inner = inner;
        this.part = part;
        this.error = error;
    }

    @Override
    public void request(long count) {
        inner.request(count);
    }

    @Override
    public void cancel() {
        if (part.isWhole()) {
            part.end();
        } else {
            part.fail(error);
        }
        inner.cancel();
    }
}
