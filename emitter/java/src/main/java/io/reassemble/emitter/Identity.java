package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.HexFormat;
import java.util.zip.CRC32;

/** Who a capture is, and whether sampling takes it. Every random byte comes from the system's random source. */
final class Identity {
    private static final SecureRandom RANDOM = new SecureRandom();
    private static final HexFormat HEX = HexFormat.of();

    private Identity() {}

    static byte[] random(int count) {
        byte[] bytes = new byte[count];
        RANDOM.nextBytes(bytes);
        return bytes;
    }

    static String hex(byte[] bytes) {
        return HEX.formatHex(bytes);
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
        String text = hex(id);
        return text.substring(0, 8) + '-' + text.substring(8, 12) + '-' + text.substring(12, 16) + '-' + text.substring(16, 20) + '-'
                + text.substring(20);
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
