package io.reassemble.emitter;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;

/**
 * What waits for the writer, bounded in bytes. Nobody who adds to it ever waits.
 *
 * <p>To wake a thread costs more than all else here. So the reader looks again by itself for a while before it sleeps until it is woken: under load
 * nobody wakes it, save where the queue fills quickly.
 */
final class CaptureQueue {
    /** How long messages are let gather. */
    private static final long LINGER_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    /** How often the reader looks again in vain before it sleeps. */
    private static final int LINGER_ROUNDS = 25;

    /** What the reader does, by what wakes it: by itself alone; a filling queue; any message; any message or count. */
    private enum Reader { AWAKE, LINGERS, SLEEPS, SLEEPS_FOR_GOOD }

    private final Queue<Message> messages = new ConcurrentLinkedQueue<>();
    private final AtomicLong free;
    private final long half;
    private volatile Thread reader;
    private volatile Reader state = Reader.AWAKE;
    private volatile boolean closed;
    private volatile boolean finished;

    CaptureQueue(long limit) {
        free = new AtomicLong(limit);
        half = limit / 2;
    }

    /** Takes room; false, and nothing is taken, where there is not so much. */
    boolean reserve(long bytes) {
        long left = free.get();
        while (left >= bytes) {
            if (free.compareAndSet(left, left - bytes)) {
                return true;
            }
            left = free.get();
        }
        return false;
    }

    /** Gives room back. */
    void release(long bytes) {
        free.addAndGet(bytes);
    }

    /** Adds a message whose room was reserved. */
    void add(Message message) {
        if (finished) {
            return;
        }
        messages.add(message);
        Reader now = state;
        if (now == Reader.SLEEPS || now == Reader.SLEEPS_FOR_GOOD || now == Reader.LINGERS && free.get() < half) {
            wake();
        }
    }

    /** Adds a message that is not let wait. */
    void order(Message message) {
        if (!finished) {
            messages.add(message);
            wake();
        }
    }

    /** There is something new to be told some day. */
    void counted() {
        if (state == Reader.SLEEPS_FOR_GOOD) {
            wake();
        }
    }

    private void wake() {
        state = Reader.AWAKE;
        LockSupport.unpark(reader);
    }

    /** The next message; null where there is none. */
    Message poll() {
        return messages.poll();
    }

    /** Nothing new is to come. */
    void close() {
        closed = true;
        wake();
    }

    /** The reader reads no more: what still comes is let go. */
    void finish() {
        finished = true;
        messages.clear();
    }

    boolean isClosed() {
        return closed;
    }

    void readBy(Thread thread) {
        reader = thread;
    }

    /**
     * Lets messages gather.
     *
     * @return false where none came for as long as that is worth it
     */
    boolean linger() {
        for (int round = 0; round < LINGER_ROUNDS && !closed; round++) {
            state = Reader.LINGERS;
            LockSupport.parkNanos(this, LINGER_NANOS);
            if (state == Reader.AWAKE || !messages.isEmpty()) {
                state = Reader.AWAKE;
                return true;
            }
        }
        state = Reader.AWAKE;
        return closed;
    }

    /**
     * Makes the reader wait until there is a message, the queue is closed, or the time has passed; may return early.
     *
     * @param longest gives how long at most in nanoseconds, {@link Long#MAX_VALUE} for good; asked once whoever counts something would wake the reader
     */
    void sleep(LongSupplier longest) {
        state = Reader.SLEEPS_FOR_GOOD;
        long nanos = longest.getAsLong();
        if (nanos < Long.MAX_VALUE) {
            state = Reader.SLEEPS;
        }
        // What came before the state could be seen has woken nobody.
        if (messages.isEmpty() && !closed) {
            LockSupport.parkNanos(this, nanos);
        }
        state = Reader.AWAKE;
    }
}
