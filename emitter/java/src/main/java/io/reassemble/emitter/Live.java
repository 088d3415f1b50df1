package io.reassemble.emitter;

import java.util.ArrayList;
import java.util.List;

/**
 * A capture under way, shared by its two parts and the writer.
 *
 * <p>It is open, its messages going to the queue as they come, or held: sampling left it out, and it is kept back until its response tells whether it
 * is an error (C-2.3). What is held costs queue room as if it were queued.
 */
final class Live {
    /** What is kept in the queue for each open capture: two ends and a response's head without headers. */
    static final int CLOSING_BYTES = 1024;
    /** How much of a request's body is held. */
    static final int HELD_BODY_BYTES = 64 << 10;

    private enum Fate { OPEN, HELD, LEFT_OUT }

    final Shared shared;
    final String id;
    final long tsMicros;
    final long startNanos;
    private volatile Fate fate;
    private List<Message> held;
    private int heldBody;

    /** This process's number for the capture; set before its first message is queued. */
    long n;
    /** The writer's own. */
    Cutting cutting;
    /** Its parts, which hold small pieces back; set once there are any. */
    volatile Part request;
    volatile Part response;

    Live(Shared shared, String id, long tsMicros, long startNanos, boolean isHeld) {
        this.shared = shared;
        this.id = id;
        this.tsMicros = tsMicros;
        this.startNanos = startNanos;
        fate = isHeld ? Fate.HELD : Fate.OPEN;
        held = isHeld ? new ArrayList<>() : null;
    }

    long elapsedMicros() {
        return (System.nanoTime() - startNanos) / 1000;
    }

    /** Hands over what its parts hold back. */
    void drain() {
        if (request != null) {
            request.drain();
        }
        if (response != null) {
            response.drain();
        }
    }

    /** How much of a request's body of {@code bytes} may be taken now: less than all only while it is held. */
    int takes(int bytes) {
        if (fate != Fate.HELD) {
            return bytes;
        }
        synchronized (this) {
            return fate == Fate.HELD ? Math.min(bytes, HELD_BODY_BYTES - heldBody) : bytes;
        }
    }

    /** Takes room of the queue for a message; false where there is not so much. */
    boolean reserve(long cost) {
        return shared.queue.reserve(cost);
    }

    /** Hands a message over; false where the queue has no room. */
    boolean push(Message message) {
        if (fate == Fate.LEFT_OUT) {
            return true;
        }
        if (!shared.queue.reserve(message.cost())) {
            return false;
        }
        add(message);
        return true;
    }

    /** Hands a message over for which there is room: in {@link #CLOSING_BYTES}, or reserved. */
    void pushReserved(Message message) {
        add(message);
    }

    private void add(Message message) {
        if (fate == Fate.OPEN || !keepsBack(message)) {
            shared.queue.add(message);
        }
    }

    /** Whether a message of a capture that was not open is not for the queue. */
    private synchronized boolean keepsBack(Message message) {
        if (fate == Fate.HELD) {
            held.add(message);
            heldBody += message instanceof Message.Piece piece ? piece.length() : 0;
        } else if (fate == Fate.LEFT_OUT) {
            shared.queue.release(message.cost());
        }
        return fate != Fate.OPEN;
    }

    /** Tells what a held capture turned out to be: an error is captured from its start, anything else is left out. */
    void judge(boolean isError) {
        if (fate == Fate.HELD) {
            judgeHeld(isError);
        }
    }

    private synchronized void judgeHeld(boolean isError) {
        if (fate != Fate.HELD) {
            return;
        }
        if (isError && !shared.queue.isClosed()) {
            n = shared.begun.incrementAndGet();
            for (Message message : held) {
                shared.queue.add(message instanceof Message.Begin begin ? begin.because("error") : message);
            }
            fate = Fate.OPEN;
        } else {
            shared.count(shared.sampledOut);
            long cost = CLOSING_BYTES;
            for (Message message : held) {
                cost += message.cost();
            }
            shared.queue.release(cost);
            fate = Fate.LEFT_OUT;
        }
        held = null;
    }
}
