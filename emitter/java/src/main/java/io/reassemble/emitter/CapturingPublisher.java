package io.reassemble.emitter;

import java.net.http.HttpRequest;
import java.nio.ByteBuffer;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicBoolean;

/** A request's body that is captured as it is sent; sent once more after a redirect or a challenge, it is not captured again. */
final class CapturingPublisher implements HttpRequest.BodyPublisher {
    private final HttpRequest.BodyPublisher inner;
    private final Part part;
    private final AtomicBoolean subscribed = new AtomicBoolean();

    CapturingPublisher(HttpRequest.BodyPublisher inner, Part part) {
        this.inner = inner;
        this.part = part;
    }

    @Override
    public long contentLength() {
        return inner.contentLength();
    }

    @Override
    public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
        inner.subscribe(subscribed.getAndSet(true) ? subscriber : new Passing(subscriber));
    }

    private final class Passing implements Flow.Subscriber<ByteBuffer> {
        private final Flow.Subscriber<? super ByteBuffer> next;

        Passing(Flow.Subscriber<? super ByteBuffer> next) {
            this.next = next;
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            next.onSubscribe(new WatchedSubscription(subscription, part, "body not sent to its end"));
        }

        @Override
        public void onNext(ByteBuffer bytes) {
            part.body(bytes);
            if (part.isWhole()) {
                part.end();
            }
            next.onNext(bytes);
        }

        @Override
        public void onError(Throwable fault) {
            part.fail("body failed: " + fault.getClass().getName());
            next.onError(fault);
        }

        @Override
        public void onComplete() {
            part.end();
            next.onComplete();
        }
    }
}
