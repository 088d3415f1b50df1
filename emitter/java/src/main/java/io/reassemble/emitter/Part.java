package io.reassemble.emitter;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;

/**
 * One part of a capture, request or response, on the side of the app: counts and cuts what passes, and ends once.
 *
 * <p>Invariant: once a piece was left out, none follows it. All calls may come from any thread, and do nothing once the part has ended.
 */
final class Part {
    /** Pieces are held back and gathered up to this size: a body may be written byte by byte, and most are handed over with their end. */
    private static final int GATHERED_BYTES = 4096;

    private enum Cut { NONE, SETTING, QUEUE }

    private final Live live;
    private final boolean response;
    private boolean begun;
    private boolean ended;
    private boolean bodyless;
    private Cut cut = Cut.NONE;
    /** Bytes of the body that passed, and that were captured. */
    private long seen;
    private long taken;
    /** How long the body will be; -1 where that is not known. */
    private long expected = -1;
    private byte[] gathered;
    private int gatheredLength;

    Part(Live live, boolean response) {
        this.live = live;
        this.response = response;
        begun = !response;
    }

    /** Begins the response. Where the queue has no room for its headers it begins without them, and its body is left out. */
    synchronized void respond(Object status, List<Header> headers) {
        if (begun || ended) {
            return;
        }
        begun = true;
        live.judge(status instanceof Integer code && code >= 500);
        long us = live.elapsedMicros();
        long ts = live.tsMicros + us;
        if (!live.push(new Message.Respond(live, ts, us, status, headers, Message.OVERHEAD + Header.cost(headers)))) {
            live.pushReserved(new Message.Respond(live, ts, us, status, null, 0));
            cut = Cut.QUEUE;
        }
    }

    /** No response came, or none of it reached the client: where the capture is held, that makes it an error, whatever the status will say (C-2.3). */
    synchronized void notSent() {
        if (!begun && !ended) {
            live.judge(true);
        }
    }

    synchronized boolean hasBegun() {
        return begun;
    }

    /** Whether any of the body has passed. */
    synchronized boolean hasStarted() {
        return seen > 0;
    }

    synchronized boolean hasEnded() {
        return ended;
    }

    /** How long the body will be, as its headers declare; -1 where they don't. */
    synchronized void expect(long bytes) {
        expected = bytes;
    }

    /** Whether all that was expected has passed. */
    synchronized boolean isWhole() {
        return expected == seen;
    }

    /** Whether less has passed than was expected. */
    synchronized boolean isShort() {
        return seen < expected;
    }

    /** Leaves the body out where bodies of its content type are; its length is still counted. */
    synchronized void filterBody(List<Header> headers) {
        Filter types = live.shared.settings.bodyTypes();
        if (cut == Cut.NONE && !types.letsAll() && !types.lets(BodyRedactor.essence(Header.first(headers, "content-type")))) {
            cut = Cut.SETTING;
        }
    }

    /** The message has no body on the wire, whatever its app writes and its headers declare. */
    synchronized void noBody() {
        bodyless = true;
        expected = -1;
    }

    synchronized void body(byte[] bytes, int from, int count) {
        int kept = keep(count);
        if (kept > 0) {
            makeRoom(kept);
            System.arraycopy(bytes, from, gathered, gatheredLength, kept);
            gathered(kept);
        }
    }

    /** Takes the first bytes of an array over, which is the caller's no more. */
    synchronized void own(byte[] bytes, int count) {
        int kept = keep(count);
        if (kept > 0) {
            pushGathered();
            gathered = bytes;
            gathered(kept);
        }
    }

    /** Takes what is left in a buffer, which stays as it is. */
    synchronized void body(ByteBuffer buffer) {
        int kept = keep(buffer.remaining());
        if (kept > 0) {
            makeRoom(kept);
            buffer.get(buffer.position(), gathered, gatheredLength, kept);
            gathered(kept);
        }
    }

    synchronized void body(int one) {
        if (keep(1) == 1) {
            makeRoom(1);
            gathered[gatheredLength] = (byte) one;
            gathered(1);
        }
    }

    /** How many of the next bytes are captured. */
    private int keep(int count) {
        if (ended || bodyless) {
            return 0;
        }
        seen += count;
        if (cut != Cut.NONE || count == 0) {
            return 0;
        }
        int kept = (int) Math.min(count, live.shared.settings.bodyLimit() - taken);
        kept = response ? kept : Math.min(kept, Math.max(0, live.takes(kept + gatheredLength) - gatheredLength));
        cut = kept < count ? Cut.SETTING : cut;
        taken += kept;
        return kept;
    }

    /** Makes room for bytes behind those gathered; where they come to too much together, those go. */
    private void makeRoom(int more) {
        if (gatheredLength + more > GATHERED_BYTES) {
            pushGathered();
        }
        int needed = gatheredLength + more;
        if (gathered == null) {
            gathered = new byte[Math.max(needed, 256)];
        } else if (gathered.length < needed) {
            gathered = Arrays.copyOf(gathered, Math.min(GATHERED_BYTES, Math.max(needed, 4 * gathered.length)));
        }
    }

    private void gathered(int more) {
        gatheredLength += more;
        if (gatheredLength >= GATHERED_BYTES) {
            pushGathered();
        }
    }

    /** Hands over what is held back. */
    synchronized void drain() {
        if (!ended) {
            pushGathered();
        }
    }

    private void pushGathered() {
        if (gatheredLength == 0) {
            return;
        }
        if (cut != Cut.QUEUE && !live.push(new Message.Piece(live, response, gathered, gatheredLength))) {
            cut = Cut.QUEUE;
        }
        gathered = null;
        gatheredLength = 0;
    }

    /** Ends the part. */
    synchronized void end() {
        close("", false, seen);
    }

    /** Ends the part, whose body is whole all the same, with what went wrong. */
    synchronized void end(String error) {
        close(error, false, seen);
    }

    /** Ends the part before its time. */
    synchronized void fail(String error) {
        close(error, true, expected);
    }

    private void close(String error, boolean early, long fullLength) {
        if (ended) {
            return;
        }
        if (!begun) {
            notSent();
            respond(null, null);
        }
        ended = true;
        byte[] last = cut == Cut.QUEUE ? null : gathered;
        String said = cut == Cut.QUEUE ? "queue" : Tail.cut(error);
        long cost = (last == null ? 0 : Message.Piece.cost(last)) + (said.length() <= Live.CLOSING_BYTES / 4 ? 0 : said.length());
        if (cost > 0 && !live.reserve(cost)) {
            cut = Cut.QUEUE;
            last = null;
            said = "queue";
            cost = 0;
        }
        boolean truncated = early || cut == Cut.QUEUE || seen > taken && !bodyless;
        Long full = truncated && fullLength >= 0 ? fullLength : null;
        Tail tail = new Tail(live.elapsedMicros(), null, null, said, truncated, full);
        live.pushReserved(new Message.End(live, response, last, gatheredLength, tail, cost));
        gathered = null;
    }
}
