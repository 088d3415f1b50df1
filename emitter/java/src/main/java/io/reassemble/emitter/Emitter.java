package io.reassemble.emitter;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Takes captures and hands them to a writer thread of its own. One a process is enough; all calls may come from any thread.
 *
 * <p>At the process's end what is queued is written, for two seconds at most; of these, requests that are being answered have one and a half. What
 * is open then ends with the error {@code shutdown}. {@link #close} does the same without waiting for requests.
 */
public final class Emitter implements AutoCloseable {
    private static final Duration CLOSE_PATIENCE = Duration.ofSeconds(2);
    /** How much of it, at the process's end, requests have that are being answered: a server that stops answers them before it does. */
    private static final Duration DRAIN_PATIENCE = Duration.ofMillis(1500);
    private static final long DRAIN_STEP_MILLIS = 10;

    private final Shared shared;
    private final LineThread thread;
    private final Thread atExit;

    private Emitter(Shared shared, LineThread thread) {
        this.shared = shared;
        this.thread = thread;
        atExit = new Thread(this::endWithProcess, "capture-exit");
    }

    /**
     * Sets an emitter up.
     *
     * @return a builder
     */
    public static EmitterBuilder builder() {
        return new EmitterBuilder();
    }

    /**
     * An emitter that is set up by the environment alone.
     *
     * @return the emitter
     * @throws CaptureConfigException where a variable has a value that it can't have, or the output can't be opened
     */
    public static Emitter fromEnv() {
        return builder().env().build();
    }

    /**
     * An emitter that captures nothing and runs no thread.
     *
     * @return the emitter
     */
    public static Emitter disabled() {
        return new Emitter(null, null);
    }

    static Emitter start(Settings settings, long queueLimit, Sink sink) {
        Shared shared = new Shared(settings, queueLimit);
        LineThread thread = new LineThread(shared, sink);
        Emitter emitter = new Emitter(shared, thread);
        thread.start();
        Runtime.getRuntime().addShutdownHook(emitter.atExit);
        return emitter;
    }

    /**
     * Begins a capture of anything that no integration sees: a query, a message, a job.
     *
     * @param proto the protocol: {@code postgres}, {@code kafka}, …
     * @param method the operation
     * @param url the target
     * @return what is said of it before it starts; nothing is captured before {@link Begin#start}
     */
    public Begin begin(String proto, String method, String url) {
        return new Begin(this, proto, method, url);
    }

    /**
     * Waits until all that was captured so far is written.
     *
     * @param patience how long at most
     * @return false where that was not enough
     * @throws InterruptedException where the thread is interrupted as it waits
     */
    public boolean flush(Duration patience) throws InterruptedException {
        if (shared == null) {
            return true;
        }
        if (shared.queue.isClosed()) {
            return joined(patience);
        }
        CountDownLatch done = new CountDownLatch(1);
        shared.queue.order(new Message.Flush(done, false));
        return done.await(patience.toMillis(), TimeUnit.MILLISECONDS) || shared.queue.isClosed() && joined(patience);
    }

    /** Opens an {@link Output#file} again, after the file there was renamed away; any other output goes on. */
    public void reopen() {
        if (shared != null) {
            shared.queue.order(new Message.Reopen());
        }
    }

    /**
     * Ends the emitter: nothing new is captured, and what is open ends with the error {@code shutdown}. What is not written when the time is over still
     * is, if the process goes on.
     *
     * @param patience how long the output is waited for at most
     * @return false where that was not enough
     */
    public boolean shutdown(Duration patience) {
        boolean done = end(patience);
        if (shared != null) {
            try {
                Runtime.getRuntime().removeShutdownHook(atExit);
            } catch (IllegalStateException atProcessEnd) {
                return done;
            }
        }
        return done;
    }

    /** Ends the emitter as {@link #shutdown} does, within two seconds. */
    @Override
    public void close() {
        shutdown(CLOSE_PATIENCE);
    }

    /**
     * What happened so far.
     *
     * @return counts since the emitter was made
     */
    public Counts counts() {
        return shared == null ? new Counts(0, 0, 0, 0, 0) : shared.counts();
    }

    /** What captures share; null where nothing is captured. */
    Shared shared() {
        return shared;
    }

    private void endWithProcess() {
        long start = System.nanoTime();
        try {
            while (shared.ended.get() < shared.begun.get() && System.nanoTime() - start < DRAIN_PATIENCE.toNanos()) {
                Thread.sleep(DRAIN_STEP_MILLIS);
            }
        } catch (InterruptedException hurried) {
            Thread.currentThread().interrupt();
        }
        end(CLOSE_PATIENCE.minusNanos(System.nanoTime() - start));
    }

    private boolean end(Duration patience) {
        if (shared == null) {
            return true;
        }
        shared.queue.close();
        try {
            return joined(patience);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    private boolean joined(Duration patience) throws InterruptedException {
        thread.join(Math.max(1, patience.toMillis()));
        return !thread.isAlive();
    }
}
