package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.Arrays;
import java.util.zip.CRC32;

/** Who a capture is, and whether sampling takes it. Every random byte comes from the system's random source. */
final class Identity {
    /** Drawn at once, for each draw is a call of the system: enough for a hundred captures. */
    private static final int DRAWN_BYTES = 4096;
    private static final byte[] DIGITS = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
    private static final SecureRandom RANDOM = systemRandom();
    private static byte[] drawn = {};
    private static int used;

    private Identity() {}

    private static SecureRandom systemRandom() {
        try {
            // What it calls seeds are the system's bytes as they are; what it calls random is hashed once more, which costs more than all else here.
            return SecureRandom.getInstance("NativePRNGNonBlocking");
        } catch (NoSuchAlgorithmException otherSystem) {
            return new SecureRandom();
        }
    }

    /** Fills an array with bytes that nobody else gets. */
    static synchronized byte[] random(int count) {
        if (drawn.length - used < count) {
            drawn = RANDOM.generateSeed(DRAWN_BYTES);
            used = 0;
        }
        byte[] bytes = Arrays.copyOfRange(drawn, used, used + count);
        used += count;
        return bytes;
    }

    static String hex(byte[] bytes) {
        byte[] text = new byte[2 * bytes.length];
        putHex(bytes, 0, bytes.length, text, 0);
        return new String(text, StandardCharsets.ISO_8859_1);
    }

    /** Spells bytes as hex digits; gives where they end. */
    static int putHex(byte[] bytes, int from, int to, byte[] text, int start) {
        int end = start;
        for (int at = from; at < to; at++) {
            text[end++] = DIGITS[bytes[at] >> 4 & 15];
            text[end++] = DIGITS[bytes[at] & 15];
        }
        return end;
    }

    /** Microseconds since 1970. */
    static long nowMicros() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
    }

    /** A UUIDv7 of this instant; {@code random} are ten fresh bytes. */
    static String captureId(long nowMicros, byte[] random) {
        byte[] id = new byte[16];
        long millis = nowMicros / 1000;
        for (int at = 0; at < 6; at++) {
            id[at] = (byte) (millis >> 8 * (5 - at));
        }
        System.arraycopy(random, 0, id, 6, 10);
        id[6] = (byte) (id[6] & 0x0F | 0x70);
        id[8] = (byte) (id[8] & 0x3F | 0x80);
        byte[] text = new byte[36];
        int end = 0;
        for (int at = 0; at < 16; at++) {
            if (at == 4 || at == 6 || at == 8 || at == 10) {
                text[end++] = '-';
            }
            end = putHex(id, at, at + 1, text, end);
        }
        return new String(text, StandardCharsets.ISO_8859_1);
    }

    /** Whether sampling takes what this key names: the same answer in every process and language (L-3.6). */
    static boolean isSampled(String key, double rate) {
        if (rate >= 1) {
            return true;
        }
        CRC32 crc = new CRC32();
        crc.update(key.getBytes(StandardCharsets.US_ASCII));
        return crc.getValue() < rate * 4294967296.0;
    }
}
