package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A growing array of bytes that knows how lines spell numbers, texts and escapes. Not for several threads. */
final class Bytes {
    /** How many bytes each byte of UTF-8 takes within a JSON string (L-3.4). */
    private static final byte[] WIDTH = new byte[256];
    private static final int LONGEST_ESCAPE = 6;
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

    /** Takes an array over, of which so much is filled. */
    Bytes(byte[] array, int length) {
        this.array = array;
        this.length = length;
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

    /** Text that is ASCII alone, for {@link #put(byte[])}. */
    static byte[] of(String ascii) {
        return ascii.getBytes(StandardCharsets.US_ASCII);
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
        if (value < 0) {
            // A count of 64 bits: nothing that lines hold is negative.
            return ascii(Long.toUnsignedString(value));
        }
        int count = 1;
        for (long rest = value; rest >= 10; rest /= 10) {
            count++;
        }
        return digits(value, count);
    }

    /** Adds the last digits of a number, with zeros in front. */
    Bytes digits(long value, int count) {
        reserve(count);
        long rest = value;
        for (int at = length + count - 1; at >= length; at--) {
            array[at] = (byte) ('0' + rest % 10);
            rest /= 10;
        }
        length += count;
        return this;
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

    /**
     * Adds a JSON string, quotes included; a lone surrogate becomes U+FFFD (L-3.5).
     *
     * <p>All in one method: it is called from many places, and a short one would be compiled anew within each of them.
     */
    Bytes quoted(String text) {
        int count = text.length();
        reserve(count + 2);
        byte[] to = array;
        int out = length;
        to[out++] = '"';
        int at = 0;
        while (at < count) {
            char c = text.charAt(at);
            if (c < 0x80 && WIDTH[c] == 1) {
                to[out++] = (byte) c;
                at++;
                continue;
            }
            // What needs more than a byte makes its own room, and that of a byte for each character behind it.
            length = out;
            reserve(LONGEST_ESCAPE + count - at + 1);
            to = array;
            if (c < 0x80) {
                out = escape((byte) c, to, out);
                at++;
                continue;
            }
            int point = text.codePointAt(at);
            at += Character.charCount(point);
            if (point < 0x800) {
                to[out++] = (byte) (0xC0 | point >> 6);
                to[out++] = (byte) (0x80 | point & 0x3F);
                continue;
            }
            if (point >= 0xD800 && point <= 0xDFFF) {
                point = 0xFFFD;
            }
            if (point < 0x10000) {
                to[out++] = (byte) (0xE0 | point >> 12);
            } else {
                to[out++] = (byte) (0xF0 | point >> 18);
                to[out++] = (byte) (0x80 | point >> 12 & 0x3F);
            }
            to[out++] = (byte) (0x80 | point >> 6 & 0x3F);
            to[out++] = (byte) (0x80 | point & 0x3F);
        }
        to[out++] = '"';
        length = out;
        return this;
    }

    /** Spells one byte of ASCII as a JSON string holds it, with room for it; gives where that ends. */
    private static int escape(byte b, byte[] to, int start) {
        int out = start;
        switch (WIDTH[b]) {
            case 1 -> to[out++] = b;
            case 2 -> {
                to[out++] = '\\';
                to[out++] = SHORT[b];
            }
            default -> {
                to[out++] = '\\';
                to[out++] = 'u';
                to[out++] = '0';
                to[out++] = '0';
                to[out++] = HEX[b >> 4];
                to[out++] = HEX[b & 15];
            }
        }
        return out;
    }

    /**
     * Adds, escaped, as many whole characters as fit into {@code room} bytes; the text is UTF-8.
     *
     * @return how many bytes of the text that is
     */
    int escapeFitting(byte[] text, int from, int count, int room) {
        reserve(room);
        byte[] to = array;
        byte[] width = WIDTH;
        int out = length;
        int limit = out + room;
        int end = from + count;
        int at = from;
        while (at < end && out < limit) {
            byte b = text[at];
            if (width[b & 0xFF] == 1) {
                to[out++] = b;
                at++;
            } else if (out + width[b & 0xFF] <= limit) {
                out = escape(b, to, out);
                at++;
            } else {
                length = out;
                return at - from;
            }
        }
        // Where the room ends within a character, none of it is taken.
        while (at < end && at > from && (text[at] & 0xC0) == 0x80) {
            at--;
            out--;
        }
        length = out;
        return at - from;
    }
}
