package io.reassemble.emitter;

import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;

/** What takes a response's body, with what passes captured. */
final class CapturingSubscriber<T> implements HttpResponse.BodySubscriber<T> {
    private final HttpResponse.BodySubscriber<T> inner;
    private final Part part;

    CapturingSubscriber(HttpResponse.BodySubscriber<T> inner, Part part) {
        this.inner = inner;
        this.part = part;
    }

    @Override
    public CompletionStage<T> getBody() {
        return inner.getBody();
    }

    @Override
    public void onSubscribe(Flow.Subscription subscription) {
        inner.onSubscribe(new WatchedSubscription(subscription, part, "body dropped before its end"));
    }

    @Override
    public void onNext(List<ByteBuffer> buffers) {
        for (ByteBuffer buffer : buffers) {
            part.body(buffer);
        }
        inner.onNext(buffers);
    }

    @Override
    public void onError(Throwable fault) {
        part.fail(CaptureHttpClient.describe(fault));
        inner.onError(fault);
    }

    @Override
    public void onComplete() {
        part.end();
        inner.onComplete();
    }
}
