package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A header or trailer, or what a protocol has like it.
 *
 * @param name its name, in the case in which it is shown
 * @param value its value
 */
public record Header(String name, String value) {
    /**
     * A header as HTTP libraries of Java give it: they decode bytes as Latin-1, whatever they are. Where the bytes are UTF-8 the value is what they say.
     */
    static Header ofLatin1(String name, String value) {
        boolean ascii = true;
        for (int at = 0; at < value.length(); at++) {
            char c = value.charAt(at);
            if (c > 0xFF) {
                return new Header(name, value);
            }
            ascii &= c < 0x80;
        }
        if (ascii) {
            return new Header(name, value);
        }
        byte[] bytes = value.getBytes(StandardCharsets.ISO_8859_1);
        boolean utf8 = Utf8.isValid(bytes, 0, bytes.length);
        return new Header(name, utf8 ? new String(bytes, StandardCharsets.UTF_8) : value);
    }

    /** The value of the first header of this name; empty where there is none. */
    static String first(List<Header> headers, String name) {
        int at = headers == null ? -1 : indexOf(headers, name);
        return at < 0 ? "" : headers.get(at).value;
    }

    /** Where the first header of this name stands; -1 where there is none. */
    static int indexOf(List<Header> headers, String name) {
        int count = headers.size();
        for (int at = 0; at < count; at++) {
            if (isSameName(headers.get(at).name, name)) {
                return at;
            }
        }
        return -1;
    }

    /** Compares without the case of ASCII letters, which alone names of headers have; no other letter is taken for one of them. */
    static boolean isSameName(String one, String other) {
        int length = one.length();
        if (length != other.length()) {
            return false;
        }
        for (int at = 0; at < length; at++) {
            char a = one.charAt(at);
            char b = other.charAt(at);
            int letter = a | 0x20;
            if (a != b && (letter != (b | 0x20) || letter < 'a' || letter > 'z')) {
                return false;
            }
        }
        return true;
    }

    /** What these take of the queue, in bytes. */
    static long cost(List<Header> headers) {
        long cost = 0;
        if (headers != null) {
            for (Header header : headers) {
                cost += header.name.length() + header.value.length() + 32;
            }
        }
        return cost;
    }
}
