package io.reassemble.emitter;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;

/**
 * What waits for the writer, bounded in bytes. Nobody who adds to it ever waits.
 *
 * <p>To wake a thread costs more than all else here. So the reader looks again by itself for a while before it sleeps until it is woken: under load
 * nobody wakes it, save where the queue fills quickly.
 */
final class CaptureQueue {
    /** How long messages are let gather: so short that the work on them keeps no request's thread from a core for long. */
    private static final long LINGER_NANOS = TimeUnit.MILLISECONDS.toNanos(10);
    /** How often the reader looks again in vain before it sleeps: half a second in all. */
    private static final int LINGER_ROUNDS = 50;

    /** What the reader does, by what wakes it: by itself alone; a filling queue; any message; any message or count. */
    private enum Reader { AWAKE, LINGERS, SLEEPS, SLEEPS_FOR_GOOD }

    /** A message and those that came before it. */
    private static final class Node {
        final Message message;
        Node next;

        Node(Message message) {
            this.message = message;
        }
    }

    /** What came since the reader took all, the last one on top. */
    private final AtomicReference<Node> top = new AtomicReference<>();
    /** What the reader took, the first one in front: the reader's own. */
    private Node taken;
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
        push(message);
        Reader now = state;
        if (now == Reader.SLEEPS || now == Reader.SLEEPS_FOR_GOOD || now == Reader.LINGERS && free.get() < half) {
            wake();
        }
    }

    /** Adds a message that is not let wait. */
    void order(Message message) {
        if (!finished) {
            push(message);
            wake();
        }
    }

    private void push(Message message) {
        Node node = new Node(message);
        do {
            node.next = top.get();
        } while (!top.compareAndSet(node.next, node));
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
        if (taken == null) {
            take();
        }
        Node first = taken;
        if (first == null) {
            return null;
        }
        taken = first.next;
        return first.message;
    }

    /** Takes all that came, and turns it round. */
    private void take() {
        Node node = top.getAndSet(null);
        while (node != null) {
            Node before = node.next;
            node.next = taken;
            taken = node;
            node = before;
        }
    }

    /** Nothing new is to come. */
    void close() {
        closed = true;
        wake();
    }

    /** The reader reads no more: what still comes is let go. */
    void finish() {
        finished = true;
        taken = null;
        top.set(null);
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
            if (state == Reader.AWAKE || top.get() != null) {
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
        if (top.get() == null && !closed) {
            LockSupport.parkNanos(this, nanos);
        }
        state = Reader.AWAKE;
    }
}
