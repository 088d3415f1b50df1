package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A growing array of bytes that knows how lines spell numbers, texts and escapes. Not for several threads. */
final class Bytes {
    /** How many bytes each byte of UTF-8 takes within a JSON string (L-3.4). */
    private static final byte[] WIDTH = new byte[256];
    private static final byte[] SHORT = new byte[128];
    private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

    static {
        Arrays.fill(WIDTH, (byte) 1);
        Arrays.fill(WIDTH, 0, 0x20, (byte) 6);
        String plain = "\"\\\b\t\n\f\r";
        String letters = "\"\\btnfr";
        for (int at = 0; at < plain.length(); at++) {
            WIDTH[plain.charAt(at)] = 2;
            SHORT[plain.charAt(at)] = (byte) letters.charAt(at);
        }
    }

    byte[] array;
    int length;

    Bytes(int capacity) {
        array = new byte[capacity];
    }

    Bytes clear() {
        length = 0;
        return this;
    }

    /** Gives memory back where there is more than this. */
    void shrink(int capacity) {
        if (array.length > capacity && length <= capacity) {
            array = Arrays.copyOf(array, capacity);
        }
    }

    byte[] copy() {
        return Arrays.copyOf(array, length);
    }

    void reserve(int more) {
        if (array.length - length < more) {
            array = Arrays.copyOf(array, Math.max(length + more, array.length * 2));
        }
    }

    Bytes put(byte[] bytes, int from, int count) {
        reserve(count);
        System.arraycopy(bytes, from, array, length, count);
        length += count;
        return this;
    }

    Bytes put(byte[] bytes) {
        return put(bytes, 0, bytes.length);
    }

    Bytes put(Bytes other) {
        return put(other.array, 0, other.length);
    }

    Bytes put(byte one) {
        reserve(1);
        array[length++] = one;
        return this;
    }

    /** Adds text that is ASCII alone. */
    @SuppressWarnings("deprecation") // It copies the low bytes without a detour, and ASCII has no others.
    Bytes ascii(String text) {
        int count = text.length();
        reserve(count);
        text.getBytes(0, count, array, length);
        length += count;
        return this;
    }

    Bytes number(long value) {
        return ascii(Long.toString(value));
    }

    /** Adds 8 hex digits. */
    Bytes crc(long crc) {
        reserve(8);
        for (int shift = 28; shift >= 0; shift -= 4) {
            array[length++] = HEX[(int) (crc >>> shift) & 15];
        }
        return this;
    }

    Bytes hex(byte[] bytes, int count) {
        reserve(2 * count);
        for (int at = 0; at < count; at++) {
            array[length++] = HEX[(bytes[at] >> 4) & 15];
            array[length++] = HEX[bytes[at] & 15];
        }
        return this;
    }

    /** Adds a JSON string, quotes included; a lone surrogate becomes U+FFFD (L-3.5). */
    Bytes quoted(String text) {
        int count = text.length();
        reserve(count + 2);
        array[length++] = '"';
        for (int at = 0; at < count; at++) {
            char c = text.charAt(at);
            if (c < 0x80) {
                reserve(6 + count - at);
                escape((byte) c);
            } else if (Character.isHighSurrogate(c) && at + 1 < count && Character.isLowSurrogate(text.charAt(at + 1))) {
                utf8(Character.toCodePoint(c, text.charAt(++at)));
            } else {
                utf8(Character.isSurrogate(c) ? 0xFFFD : c);
            }
        }
        return put((byte) '"');
    }

    private void utf8(int point) {
        reserve(4);
        if (point < 0x800) {
            array[length++] = (byte) (0xC0 | point >> 6);
        } else {
            if (point < 0x10000) {
                array[length++] = (byte) (0xE0 | point >> 12);
            } else {
                array[length++] = (byte) (0xF0 | point >> 18);
                array[length++] = (byte) (0x80 | point >> 12 & 0x3F);
            }
            array[length++] = (byte) (0x80 | point >> 6 & 0x3F);
        }
        array[length++] = (byte) (0x80 | point & 0x3F);
    }

    /** Adds one byte of ASCII as a JSON string holds it; there must be room for six. */
    private void escape(byte b) {
        switch (WIDTH[b]) {
            case 1 -> array[length++] = b;
            case 2 -> {
                array[length++] = '\\';
                array[length++] = SHORT[b];
            }
            default -> {
                array[length++] = '\\';
                array[length++] = 'u';
                array[length++] = '0';
                array[length++] = '0';
                array[length++] = HEX[b >> 4];
                array[length++] = HEX[b & 15];
            }
        }
    }

    /**
     * Adds, escaped, as many whole characters as fit into {@code room} bytes; the text is UTF-8.
     *
     * @return how many bytes of the text that is
     */
    int escapeFitting(byte[] text, int from, int count, int room) {
        reserve(room);
        int end = from + count;
        int limit = length + room;
        int at = from;
        while (at < end) {
            // Most of a text needs no escape: it is copied in runs.
            int run = at;
            int runEnd = at + Math.min(end - at, limit - length);
            while (run < runEnd && WIDTH[text[run] & 0xFF] == 1) {
                run++;
            }
            if (run < end && run == runEnd) {
                // The room ends here: so does the text, before the character that it would cut.
                while (run > at && (text[run] & 0xC0) == 0x80) {
                    run--;
                }
                put(text, at, run - at);
                return run - from;
            }
            put(text, at, run - at);
            at = run;
            if (at < end) {
                if (WIDTH[text[at]] > limit - length) {
                    break;
                }
                escape(text[at++]);
            }
        }
        return at - from;
    }
}
