package io.reassemble.emitter;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/** What waits for the writer, bounded in bytes. Nobody who adds to it ever waits. */
final class CaptureQueue {
    private final Queue<Message> messages = new ConcurrentLinkedQueue<>();
    private final AtomicLong free;
    private volatile Thread reader;
    private volatile boolean readerWaits;
    private volatile boolean closed;
    private volatile boolean finished;

    CaptureQueue(long limit) {
        free = new AtomicLong(limit);
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
        if (readerWaits) {
            readerWaits = false;
            LockSupport.unpark(reader);
        }
    }

    /** The next message; null where there is none. */
    Message poll() {
        return messages.poll();
    }

    /** Nothing new is to come. */
    void close() {
        closed = true;
        LockSupport.unpark(reader);
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

    /** Makes the reader wait until there is a message, the queue is closed, or the time has passed; may return early. */
    void await(long nanos) {
        readerWaits = true;
        if (messages.isEmpty() && !closed) {
            LockSupport.parkNanos(this, nanos);
        }
        readerWaits = false;
    }
}
