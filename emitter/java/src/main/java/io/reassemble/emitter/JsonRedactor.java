package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;

/** Puts {@code "[redacted]"} in the place of what JSON holds under listed names (C-3.3); every other byte stays. Reads strictly, by RFC 8259. */
final class JsonRedactor {
    private static final int MAX_DEPTH = 128;
    /** Texts that are JSON themselves are looked through so deep within one another: a queue's event that brings a topic's message has two. */
    private static final int MAX_TEXTS = 4;
    private static final Pattern LONE_SURROGATE = Pattern.compile("\\p{Cs}");
    private static final byte[] REDACTED = "\"[redacted]\"".getBytes(StandardCharsets.US_ASCII);

    private final Redactor redactor;
    private final byte[] json;
    private final int end;
    /** In how many texts this one stands. */
    private final int texts;
    private final Bytes out;
    private int at;
    /** Up to where {@code json} has been copied to {@code out} or left out. */
    private int copied;

    private JsonRedactor(Redactor redactor, byte[] json, int end, int texts) {
        this.redactor = redactor;
        this.json = json;
        this.end = end;
        this.texts = texts;
        this.out = new Bytes(end + 64);
    }

    /**
     * Redacts one JSON value or several.
     *
     * @return what may be told; null where the body is no JSON or nests too deep
     */
    static Bytes redact(Redactor redactor, Bytes body) {
        byte[] json = body.array;
        int length = body.length;
        if (!Utf8.isValid(json, 0, length)) {
            return null;
        }
        if (!redactor.mayStandIn(json, length)) {
            return body;
        }
        JsonRedactor reader = new JsonRedactor(redactor, json, length, 0);
        return reader.values() ? reader.done() : null;
    }

    private boolean values() {
        space();
        while (at < end) {
            if (!value(0, false)) {
                return false;
            }
            space();
        }
        return true;
    }

    private Bytes done() {
        return out.put(json, copied, end - copied);
    }

    private void space() {
        while (at < end && (json[at] == ' ' || json[at] == '\n' || json[at] == '\r' || json[at] == '\t')) {
            at++;
        }
    }

    private boolean is(char c) {
        return at < end && json[at] == c;
    }

    private boolean skip(char c) {
        if (is(c)) {
            at++;
            return true;
        }
        return false;
    }

    /** Passes a value; {@code hidden} within one that is left out as a whole. False where there is none. */
    private boolean value(int depth, boolean hidden) {
        if (at == end) {
            return false;
        }
        return switch (json[at]) {
            case '{' -> depth < MAX_DEPTH && object(depth + 1, hidden);
            case '[' -> depth < MAX_DEPTH && array(depth + 1, hidden);
            case '"' -> text(hidden);
            case 't' -> word("true");
            case 'f' -> word("false");
            case 'n' -> word("null");
            default -> number();
        };
    }

    private boolean object(int depth, boolean hidden) {
        at++;
        space();
        if (skip('}')) {
            return true;
        }
        do {
            space();
            int name = at;
            if (!is('"') || !string()) {
                return false;
            }
            boolean secret = !hidden && redactor.isSecretName(unescaped(name + 1, at - 1));
            space();
            if (!skip(':')) {
                return false;
            }
            space();
            int start = at;
            if (!value(depth, hidden || secret)) {
                return false;
            }
            if (secret) {
                out.put(json, copied, start - copied).put(REDACTED);
                copied = at;
            }
            space();
        } while (skip(','));
        return skip('}');
    }

    private boolean array(int depth, boolean hidden) {
        at++;
        space();
        if (skip(']')) {
            return true;
        }
        do {
            space();
            if (!value(depth, hidden)) {
                return false;
            }
            space();
        } while (skip(','));
        return skip(']');
    }

    /** Passes a string that is a value; what is secret in JSON that it holds is left out. */
    private boolean text(boolean hidden) {
        int start = at;
        if (!string()) {
            return false;
        }
        String kept = hidden ? null : within(start + 1, at - 1);
        if (kept != null) {
            out.put(json, copied, start - copied).quoted(kept);
            copied = at;
        }
        return true;
    }

    /** What a string that was passed says without its secrets; null where that is no JSON or has none. */
    private String within(int from, int to) {
        if (texts == MAX_TEXTS || from == to || "{[ \\".indexOf(json[from]) < 0) {
            return null;
        }
        String said = unescaped(from, to);
        int begins = 0;
        while (begins < said.length() && " \n\r\t".indexOf(said.charAt(begins)) >= 0) {
            begins++;
        }
        if (begins == said.length() || "{[".indexOf(said.charAt(begins)) < 0) {
            return null;
        }
        // A lone surrogate becomes U+FFFD, as wherever a text is written.
        byte[] inner = LONE_SURROGATE.matcher(said).replaceAll("\uFFFD").getBytes(StandardCharsets.UTF_8);
        JsonRedactor reader = new JsonRedactor(redactor, inner, inner.length, texts + 1);
        if (!redactor.mayStandIn(inner, inner.length) || !reader.values() || reader.copied == 0) {
            return null;
        }
        Bytes kept = reader.done();
        return new String(kept.array, 0, kept.length, StandardCharsets.UTF_8);
    }

    private boolean string() {
        at++;
        while (at < end) {
            byte b = json[at++];
            if (b == '"') {
                return true;
            }
            if (b >= 0 && b < 0x20) {
                return false;
            }
            if (b == '\\' && !escape()) {
                return false;
            }
        }
        return false;
    }

    private boolean escape() {
        if (at == end) {
            return false;
        }
        byte letter = json[at++];
        if (letter != 'u') {
            return "\"\\/bfnrt".indexOf(letter) >= 0;
        }
        for (int digits = 0; digits < 4; digits++) {
            if (at == end || json[at] < 0 || Character.digit(json[at], 16) < 0) {
                return false;
            }
            at++;
        }
        return true;
    }

    private boolean word(String word) {
        for (int letter = 0; letter < word.length(); letter++) {
            if (!skip(word.charAt(letter))) {
                return false;
            }
        }
        return true;
    }

    private boolean number() {
        skip('-');
        if (!skip('0') && !digits()) {
            return false;
        }
        if (skip('.') && !digits()) {
            return false;
        }
        if (skip('e') || skip('E')) {
            if (!skip('+')) {
                skip('-');
            }
            return digits();
        }
        // What follows a zero must not be a digit: `01` is one number that JSON does not have, not two.
        return !(at < end && json[at] >= '0' && json[at] <= '9');
    }

    private boolean digits() {
        int start = at;
        while (at < end && json[at] >= '0' && json[at] <= '9') {
            at++;
        }
        return at > start;
    }

    /** What a string that was passed says. */
    private String unescaped(int from, int to) {
        String raw = new String(json, from, to - from, StandardCharsets.UTF_8);
        if (raw.indexOf('\\') < 0) {
            return raw;
        }
        StringBuilder text = new StringBuilder(raw.length());
        for (int at = 0; at < raw.length(); at++) {
            char c = raw.charAt(at);
            if (c != '\\') {
                text.append(c);
                continue;
            }
            char letter = raw.charAt(++at);
            switch (letter) {
                case 'b' -> text.append('\b');
                case 'f' -> text.append('\f');
                case 'n' -> text.append('\n');
                case 'r' -> text.append('\r');
                case 't' -> text.append('\t');
                case 'u' -> {
                    text.append((char) Integer.parseInt(raw, at + 1, at + 5, 16));
                    at += 4;
                }
                default -> text.append(letter);
            }
        }
        return text.toString();
    }
}
