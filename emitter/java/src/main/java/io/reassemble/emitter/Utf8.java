package io.reassemble.emitter;

/** Which bytes are UTF-8. */
final class Utf8 {
    private Utf8() {}

    static boolean isValid(byte[] bytes, int from, int count) {
        return whole(bytes, from, count) == count;
    }

    /**
     * Looks through bytes for what is not UTF-8.
     *
     * @return how many bytes whole characters take: all, or less where the last character is cut by the end; -1 where anything else is wrong
     */
    static int whole(byte[] bytes, int from, int count) {
        int end = from + count;
        int at = from;
        while (at < end) {
            int lead = bytes[at] & 0xFF;
            if (lead < 0x80) {
                at++;
                continue;
            }
            if (lead < 0xC2 || lead > 0xF4) {
                return -1;
            }
            int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
            for (int next = 1; next < length; next++) {
                if (at + next == end) {
                    return at - from;
                }
                int b = bytes[at + next] & 0xFF;
                int low = next > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
                int high = next > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
                if (b < low || b > high) {
                    return -1;
                }
            }
            at += length;
        }
        return count;
    }
}
