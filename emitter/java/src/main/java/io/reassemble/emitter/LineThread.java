package io.reassemble.emitter;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The emitter's thread: takes messages in their order, redacts, cuts each part into lines, and writes those of several messages together.
 *
 * <p>Invariants: a capture's kept room is given back once both its parts have ended, and only then; a message's cost is given back, and a capture
 * counted as finished, once its lines are written; whenever the thread waits, all lines are written.
 */
final class LineThread extends Thread {
    /** Lines are written once there are so many bytes of them, and when the queue is empty. */
    private static final int GATHERED_BYTES = 48 * 1024;
    /** So many writers of parts are kept to be used again, as long as their buffers have not grown. */
    private static final int SPARE_WRITERS = 64;
    private static final int SPARE_BYTES = 16 * 1024;
    /** The buffer of lines gives memory back above this. */
    private static final int KEPT_BYTES = 1 << 20;

    private final Shared shared;
    private final Settings settings;
    private final Sink sink;
    private final Set<Live> open = new LinkedHashSet<>();
    private final Bytes lines = new Bytes(2 * GATHERED_BYTES);
    /** Whose lines they are, and up to where. */
    private final List<Cutting> owners = new ArrayList<>();
    private int[] ownerEnds = new int[64];
    private final List<Cutting> ended = new ArrayList<>();
    private final ArrayDeque<PartWriter> spare = new ArrayDeque<>();
    private final Bytes head = new Bytes(2048);
    private final String rate;
    private long cost;
    private Counts told = new Counts(0, 0, 0, 0, 0);
    private long toldAt = System.nanoTime();

    LineThread(Shared shared, Sink sink) {
        super("capture-writer");
        setDaemon(true);
        this.shared = shared;
        this.settings = shared.settings;
        this.sink = sink;
        rate = Heads.spelled(settings.sampleRate());
    }

    @Override
    public void run() {
        shared.queue.readBy(this);
        boolean drained = false;
        while (true) {
            boolean closed = shared.queue.isClosed();
            boolean idle = true;
            for (Message message = shared.queue.poll(); message != null; message = shared.queue.poll()) {
                idle = false;
                handleSafely(message);
            }
            writeLines();
            tellWhenDue();
            if (closed && idle) {
                if (drained) {
                    break;
                }
                open.forEach(Live::drain);
                drained = true;
            }
            if (!closed && !shared.queue.linger()) {
                shared.queue.sleep(this::tellWhenDue);
            }
        }
        for (Live live : new ArrayList<>(open)) {
            cutOff(live);
        }
        writeLines();
        tell();
        shared.queue.finish();
    }

    /** A fault costs the message that it came with, and never the thread. */
    private void handleSafely(Message message) {
        try {
            cost += message.cost();
            message.handledBy(this);
            if (lines.length >= GATHERED_BYTES) {
                writeLines();
            }
        } catch (RuntimeException | Error fault) {
            shared.lostLines.increment();
        }
    }

    void flush(Message.Flush flush) {
        if (flush.drained()) {
            writeLines();
            flush.done().countDown();
        } else {
            open.forEach(Live::drain);
            shared.queue.order(new Message.Flush(flush.done(), true));
        }
    }

    void reopen() {
        writeLines();
        sink.reopen();
        shared.outputGone = sink.isGone();
    }

    void end(Message.End end) {
        if (end.bytes() != null) {
            body(end.live(), end.response(), end.bytes(), end.length());
        }
        end(end.live(), end.response(), end.tail());
    }

    void begin(Message.Begin begin) {
        Live live = begin.live();
        Cutting cutting = new Cutting();
        live.cutting = cutting;
        open.add(live);
        cutting.awaited = !begin.oneway();
        PartWriter writer = writer(live.id, PartWriter.Kind.REQUEST);
        cutting.request = new Cutting.Side(writer, settings, begin.headers());
        writer.head(new Heads.Request(
                begin.tsMicros(), settings.service(), settings.host(), settings.inst(), live.n, begin.dir(), begin.proto(), begin.method(),
                settings.redactor().url(begin.url()), settings.redactor().headers(begin.headers()), begin.peer(), begin.trace(),
                begin.parent(), begin.tags(), rate, begin.why(), null, begin.oneway()).json(head));
        own(cutting);
    }

    void respond(Message.Respond respond) {
        Live live = respond.live();
        Cutting cutting = live.cutting;
        if (cutting == null || !cutting.awaited) {
            return;
        }
        cutting.awaited = false;
        PartWriter writer = writer(live.id, PartWriter.Kind.RESPONSE);
        cutting.response = new Cutting.Side(writer, settings, respond.headers());
        writer.head(new Heads.Response(
                respond.tsMicros(), respond.us(), respond.status(), settings.redactor().headers(respond.headers()), null).json(head));
        own(cutting);
    }

    void body(Live live, boolean response, byte[] bytes, int length) {
        Cutting.Side side = side(live, response);
        if (side != null) {
            cost -= side.body(bytes, length, Message.Piece.cost(bytes));
            own(live.cutting);
        }
    }

    private void end(Live live, boolean response, Tail tail) {
        Cutting.Side side = side(live, response);
        if (side == null) {
            return;
        }
        Cutting cutting = live.cutting;
        if (response) {
            cutting.response = null;
        } else {
            cutting.request = null;
        }
        cost += side.end(tail);
        own(cutting);
        recycle(side.writer());
        if (cutting.hasEnded()) {
            live.cutting = null;
            open.remove(live);
            ended.add(cutting);
            shared.ended.incrementAndGet();
            cost += Live.CLOSING_BYTES;
        }
    }

    /** Ends what is open when the emitter is. */
    private void cutOff(Live live) {
        try {
            long us = live.elapsedMicros();
            Tail tail = new Tail(us, null, null, "shutdown", true, null);
            end(live, false, tail);
            if (live.cutting != null && live.cutting.awaited) {
                respond(new Message.Respond(live, live.tsMicros + us, us, null, null, 0));
            }
            end(live, true, tail);
        } catch (RuntimeException | Error fault) {
            shared.lostLines.increment();
        }
    }

    private PartWriter writer(String id, PartWriter.Kind part) {
        PartWriter writer = spare.poll();
        return (writer == null ? new PartWriter(lines, settings.lineLimit(), settings.key()) : writer).open(id, part);
    }

    private void recycle(PartWriter writer) {
        if (spare.size() < SPARE_WRITERS && writer.bytes() <= SPARE_BYTES) {
            spare.push(writer);
        }
    }

    private static Cutting.Side side(Live live, boolean response) {
        Cutting cutting = live.cutting;
        return cutting == null ? null : response ? cutting.response : cutting.request;
    }

    /** The lines that have come since are this capture's. */
    private void own(Cutting cutting) {
        int count = owners.size();
        if (lines.length == (count == 0 ? 0 : ownerEnds[count - 1])) {
            return;
        }
        if (count == ownerEnds.length) {
            ownerEnds = Arrays.copyOf(ownerEnds, 2 * count);
        }
        owners.add(cutting);
        ownerEnds[count] = lines.length;
    }

    private void writeLines() {
        if (lines.length > 0) {
            sink.write(lines.array, lines.length, this::lost);
            shared.outputGone = sink.isGone();
            lines.clear();
            owners.clear();
        }
        for (Cutting cutting : ended) {
            if (!cutting.torn) {
                shared.finished.increment();
            }
        }
        ended.clear();
        shared.queue.release(cost);
        cost = 0;
        lines.shrink(KEPT_BYTES);
        head.shrink(KEPT_BYTES);
    }

    /** The line that begins here was not written. */
    private void lost(int lineStart) {
        shared.lostLines.increment();
        int at = Arrays.binarySearch(ownerEnds, 0, owners.size(), lineStart);
        // Where an owner's lines end, the next one's begin.
        int owner = at >= 0 ? at + 1 : -at - 1;
        if (owner < owners.size()) {
            owners.get(owner).torn = true;
        }
    }

    /** Tells counts where they have changed and it is time; gives how long to wait at most, {@link Long#MAX_VALUE} until something changes. */
    private long tellWhenDue() {
        if (shared.counts().isSame(told)) {
            return Long.MAX_VALUE;
        }
        long left = settings.metaEvery().toNanos() - (System.nanoTime() - toldAt);
        if (left <= 0) {
            tell();
            return Long.MAX_VALUE;
        }
        return left;
    }

    private void tell() {
        Counts counts = shared.counts();
        toldAt = System.nanoTime();
        if (counts.isSame(told)) {
            return;
        }
        told = counts;
        long now = Identity.nowMicros();
        PartWriter writer = writer(Identity.captureId(now, Identity.random(10)), PartWriter.Kind.META);
        writer.head(new Heads.Meta(
                now, settings.service(), settings.host(), settings.inst(), counts.begun(), counts.finished(), counts.dropped(),
                counts.sampledOut()).json(head));
        writer.endMeta();
        recycle(writer);
        writeLines();
    }
}
