package io.reassemble.emitter;

import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.Executor;

/**
 * The inbound request within which code runs, so that what it asks of others bears its trace and names its capture as the cause.
 *
 * <p>It is the thread's while a handler runs. Another thread starts without one; give it along with {@link #wrap(Runnable)} or
 * {@link #wrap(Executor)}. {@link CaptureFilter} puts it into the request's attributes too, under this class's name.
 */
public final class CaptureContext {
    private static final ThreadLocal<CaptureContext> CURRENT = new ThreadLocal<>();

    private final String id;
    private final TraceParent trace;

    CaptureContext(String id, TraceParent trace) {
        this.id = id;
        this.trace = trace;
    }

    /**
     * The context of the code that asks.
     *
     * @return the context; empty outside of a request
     */
    public static Optional<CaptureContext> current() {
        return Optional.ofNullable(ofThread());
    }

    /** The context of the code that asks; null outside of a request. */
    static CaptureContext ofThread() {
        return CURRENT.get();
    }

    /**
     * The capture's id.
     *
     * @return the id; empty where this request is not captured
     */
    public Optional<String> id() {
        return Optional.ofNullable(id);
    }

    /**
     * The request's trace.
     *
     * @return the trace as received, or as made where none came
     */
    public TraceParent trace() {
        return trace;
    }

    /**
     * Runs work within this context, and sets the one before it again afterwards.
     *
     * @param work what runs
     */
    public void run(Runnable work) {
        CaptureContext before = enter(this);
        try {
            work.run();
        } finally {
            leave(before);
        }
    }

    /**
     * Runs work within this context, and sets the one before it again afterwards.
     *
     * @param work what runs
     * @param <T> what it gives
     * @return what it gave
     * @throws Exception what it threw
     */
    public <T> T call(Callable<T> work) throws Exception {
        CaptureContext before = enter(this);
        try {
            return work.call();
        } finally {
            leave(before);
        }
    }

    /**
     * Work that will run within this context, whatever thread runs it.
     *
     * @param work what will run
     * @return the work with this context
     */
    public Runnable wrap(Runnable work) {
        return () -> run(work);
    }

    /**
     * An executor whose tasks run within the context of the code that submits them.
     *
     * @param executor runs the tasks
     * @return an executor for any request
     */
    public static Executor wrap(Executor executor) {
        return task -> {
            CaptureContext context = CURRENT.get();
            executor.execute(context == null ? task : context.wrap(task));
        };
    }

    /** Sets the thread's context, null for none; gives the one before it, for {@link #leave}. */
    static CaptureContext enter(CaptureContext context) {
        CaptureContext before = CURRENT.get();
        leave(context);
        return before;
    }

    static void leave(CaptureContext before) {
        if (before == null) {
            CURRENT.remove();
        } else {
            CURRENT.set(before);
        }
    }
}
