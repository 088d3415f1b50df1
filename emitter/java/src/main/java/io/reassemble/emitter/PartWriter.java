package io.reassemble.emitter;

import java.util.Arrays;
import java.util.Base64;
import java.util.zip.CRC32;

/**
 * Cuts one part of a capture into lines: L-4 and L-8.1 of the capture line's specification.
 *
 * <p>The line that is open is kept here; each line that ends goes to {@code out} whole. Where lines end depends on the body alone: a piece is cut
 * once there is more of the body than its line can take, or the body has ended. A writer of a part that has ended may be opened for another.
 */
final class PartWriter {
    /** {@code }} and the newline. */
    private static final int CLOSE = 2;
    /** {@code ,"sig":"} and 32 hex digits and {@code "}. */
    private static final int SIGNATURE = 41;
    /** {@code ,"text":""}, {@code ,"crc":"00000000"} and the close. */
    private static final int PIECE = 29;
    /** {@code ,"headf":""}, as long as {@code ,"tailf":""}. */
    private static final int FRAGMENT = 11;
    private static final int LONGEST_ESCAPE = 6;
    private static final byte[] NOTHING = {};
    private static final byte[] CAP1 = Bytes.of("{\"cap1\":\"");
    private static final byte[] HEAD = Bytes.of(",\"head\":");
    private static final byte[] TEXT = Bytes.of(",\"text\":\"");
    private static final byte[] CRC = Bytes.of(",\"crc\":\"");
    private static final byte[] OF = Bytes.of(",\"of\":");
    private static final byte[] TAIL = Bytes.of(",\"tail\":");
    private static final byte[] LEN = Bytes.of("{\"len\":");
    private static final byte[] END = Bytes.of("}\n");
    /** Most lines of a head, or of a body of 2 KiB, fit. */
    private static final int FIRST_LINE = 4096;

    /** Which part of a capture. */
    enum Kind {
        REQUEST("req"), RESPONSE("res"), META("meta");

        /** As lines name it. */
        final String name;
        private final byte[] onLine;

        Kind(String name) {
            this.name = name;
            onLine = Bytes.of("\",\"part\":\"" + name + "\",\"seq\":");
        }
    }

    private final Bytes out;
    private final SigningKey key;
    private final int limit;
    private final CRC32 bodyCrc = new CRC32();
    private final CRC32 pieceCrc = new CRC32();

    private final Bytes line = new Bytes(FIRST_LINE);
    private final Bytes tailJson = new Bytes(128);
    private final Bytes wholeTail = new Bytes(128);
    private String id;
    private Kind part;
    private int seq;
    private boolean hasPiece;
    private boolean binary;
    private long bodyLength;
    /** What of the body is in no piece yet. */
    private byte[] rest = NOTHING;
    private int restLength;
    /** What the open line says, for its signature. */
    private byte[] headf = NOTHING;
    private byte[] piece = NOTHING;
    private byte[] tailf = NOTHING;
    private int of;

    /**
     * @param out takes the lines
     * @param limit the longest line in bytes, newline included
     * @param key signs the lines; null where they are not signed
     */
    PartWriter(Bytes out, int limit, SigningKey key) {
        this.out = out;
        this.key = key;
        this.limit = limit - (key == null ? 0 : SIGNATURE);
    }

    /** Turns to a part that begins. */
    PartWriter open(String id, Kind part) {
        this.id = id;
        this.part = part;
        seq = 0;
        of = 0;
        hasPiece = false;
        binary = false;
        bodyCrc.reset();
        bodyLength = 0;
        restLength = 0;
        open();
        return this;
    }

    /** What its buffers take of memory. */
    int bytes() {
        return line.array.length + rest.length + tailJson.array.length + wholeTail.array.length;
    }

    /** Begins the part with its head, as JSON. */
    void head(Bytes json) {
        if (key == null && line.length + 8 + json.length + CLOSE <= limit) {
            line.put(HEAD).put(json);
            return;
        }
        int at = 0;
        while (true) {
            int from = at;
            int room = limit - line.length - FRAGMENT - CLOSE;
            line.ascii(",\"headf\":\"");
            at += line.escapeFitting(json.array, at, json.length - at, room);
            line.put((byte) '"');
            headf = Arrays.copyOfRange(json.array, from, at);
            if (at == json.length) {
                return;
            }
            next();
        }
    }

    /** Takes the next bytes of the body. */
    void body(byte[] bytes, int from, int count) {
        bodyCrc.update(bytes, from, count);
        bodyLength += count;
        int at = from;
        int end = from + count;
        while (at < end) {
            makeRoom();
            int room = room();
            // One byte more than the line can take tells that the body goes on behind it.
            int taken = Math.min(end - at, room + 1 - restLength);
            if (rest.length < restLength + taken) {
                rest = Arrays.copyOf(rest, Math.max(restLength + taken, Math.min(room + 1, rest.length * 2)));
            }
            System.arraycopy(bytes, at, rest, restLength, taken);
            restLength += taken;
            at += taken;
            while (restLength > room) {
                cut(room);
                if (restLength > 0) {
                    makeRoom();
                    room = room();
                }
            }
        }
    }

    /** Ends the part. */
    void end(Tail tail) {
        while (restLength > 0) {
            makeRoom();
            cut(room());
        }
        Bytes json = tailJson.clear();
        json.put(LEN).number(bodyLength).put(CRC).crc(bodyCrc.getValue()).put((byte) '"');
        tail.write(json);
        json.put((byte) '}');
        Bytes whole = wholeTail.clear();
        if (key == null) {
            whole.put(TAIL).put(json);
        } else {
            whole.ascii(",\"tailf\":\"");
            whole.escapeFitting(json.array, 0, json.length, LONGEST_ESCAPE * json.length);
            whole.put((byte) '"');
        }
        if (!fits(whole.length)) {
            next();
        }
        if (fits(whole.length)) {
            putOf();
            line.put(whole);
            tailf = key == null ? NOTHING : json.copy();
            close();
            return;
        }
        int at = 0;
        while (true) {
            int from = at;
            Bytes fragment = new Bytes(limit);
            int room = limit - line.length - ofLength() - FRAGMENT - CLOSE;
            at += fragment.escapeFitting(json.array, at, json.length - at, room);
            boolean last = at == json.length;
            if (last) {
                putOf();
            }
            line.ascii(",\"tailf\":\"").put(fragment).put((byte) '"');
            tailf = Arrays.copyOfRange(json.array, from, at);
            if (last) {
                close();
                return;
            }
            next();
        }
    }

    /** Ends a {@code meta} record, which has no tail. */
    void endMeta() {
        if (!fits(0)) {
            next();
        }
        putOf();
        close();
    }

    private int room() {
        return limit - line.length - PIECE;
    }

    /** Turns to a line that takes a piece; some of the body is left. */
    private void makeRoom() {
        if (hasPiece || room() < LONGEST_ESCAPE) {
            next();
        }
    }

    /** Puts the next piece onto the open line, from the first {@code room} bytes of the rest. */
    private void cut(int room) {
        int window = Math.min(room, restLength);
        int taken = binary ? 0 : text(window, room);
        if (taken == 0) {
            binary = true;
            taken = Math.min(3 * ((room + 1) / 4), restLength);
            line.ascii(",\"b64\":\"").put(Base64.getEncoder().encode(Arrays.copyOf(rest, taken))).put((byte) '"');
        }
        pieceCrc.reset();
        pieceCrc.update(rest, 0, taken);
        line.put(CRC).crc(pieceCrc.getValue()).put((byte) '"');
        if (key != null) {
            piece = Arrays.copyOf(rest, taken);
        }
        hasPiece = true;
        restLength -= taken;
        System.arraycopy(rest, taken, rest, 0, restLength);
    }

    /** Puts the window as text; 0 where it is none, or takes less as base64. */
    private int text(int window, int room) {
        int whole = Utf8.whole(rest, 0, window);
        boolean goesOn = restLength > window;
        if (whole < 0 || whole < window && !goesOn) {
            return 0;
        }
        int before = line.length;
        line.put(TEXT);
        int start = line.length;
        int taken = line.escapeFitting(rest, 0, whole, room);
        if (line.length - start > 4 * ((taken + 2) / 3)) {
            line.length = before;
            return 0;
        }
        line.put((byte) '"');
        return taken;
    }

    private boolean fits(int tailLength) {
        return line.length + ofLength() + tailLength + CLOSE <= limit;
    }

    private int ofLength() {
        int digits = 1;
        for (int rest = seq + 1; rest >= 10; rest /= 10) {
            digits++;
        }
        return OF.length + digits;
    }

    private void putOf() {
        of = seq + 1;
        line.put(OF).number(of);
    }

    private void open() {
        line.clear().put(CAP1).ascii(id).put(part.onLine).number(seq);
    }

    private void next() {
        close();
        seq++;
        open();
    }

    private void close() {
        if (key != null) {
            line.ascii(",\"sig\":\"").hex(key.sign(id, part.name, seq, of, headf, piece, tailf), 16).put((byte) '"');
            headf = NOTHING;
            piece = NOTHING;
            tailf = NOTHING;
        }
        hasPiece = false;
        line.put(END);
        out.put(line);
    }
}
