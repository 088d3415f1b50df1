package io.reassemble.emitter;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads the JSON of Lambda's events and answers: objects as maps, arrays as lists, {@code null} as null, and all else as its text. */
final class EventJson {
    private static final int MAX_DEPTH = 128;

    private final String text;
    private int at;

    private EventJson(String text) {
        this.text = text;
    }

    /**
     * Reads an object.
     *
     * @throws IllegalArgumentException where the text is none, or nests deeper than what is looked through for secrets
     */
    static Map<?, ?> object(String text) {
        EventJson json = new EventJson(text);
        Object value = json.value(0);
        json.space();
        if (json.at != text.length() || !(value instanceof Map<?, ?> map)) {
            throw json.fault();
        }
        return map;
    }

    private Object value(int depth) {
        if (depth > MAX_DEPTH) {
            throw fault();
        }
        space();
        return switch (peek()) {
            case '{' -> object(depth);
            case '[' -> list(depth);
            case '"' -> string();
            default -> word();
        };
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> object = new LinkedHashMap<>();
        at++;
        for (boolean more = !closes('}'); more; more = !endsOrGoesOn('}')) {
            space();
            String name = string();
            space();
            take(':');
            object.put(name, value(depth + 1));
        }
        return object;
    }

    private List<Object> list(int depth) {
        List<Object> list = new ArrayList<>();
        at++;
        for (boolean more = !closes(']'); more; more = !endsOrGoesOn(']')) {
            list.add(value(depth + 1));
        }
        return list;
    }

    private boolean closes(char end) {
        space();
        boolean closes = peek() == end;
        at += closes ? 1 : 0;
        return closes;
    }

    private boolean endsOrGoesOn(char end) {
        if (closes(end)) {
            return true;
        }
        take(',');
        return false;
    }

    private String string() {
        take('"');
        StringBuilder out = new StringBuilder();
        int from = at;
        while (peek() != '"') {
            if (text.charAt(at) == '\\') {
                out.append(text, from, at);
                at++;
                out.append(escaped());
                from = at;
            } else {
                at++;
            }
        }
        out.append(text, from, at++);
        return out.toString();
    }

    private char escaped() {
        char letter = peek();
        at++;
        if (letter == 'u') {
            char unit = (char) Integer.parseInt(text, at, Math.min(at + 4, text.length()), 16);
            at += 4;
            return unit;
        }
        int plain = "bfnrt".indexOf(letter);
        return plain < 0 ? letter : "\b\f\n\r\t".charAt(plain);
    }

    /** A number or a truth, as its text. */
    private String word() {
        int from = at;
        while (at < text.length() && ",]} \n\r\t".indexOf(text.charAt(at)) < 0) {
            at++;
        }
        String word = text.substring(from, at);
        return word.equals("null") ? null : word;
    }

    private void space() {
        while (at < text.length() && " \n\r\t".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw fault();
        }
        return text.charAt(at);
    }

    private void take(char c) {
        if (peek() != c) {
            throw fault();
        }
        at++;
    }

    /** Does not tell the text, which may hold secrets. */
    private IllegalArgumentException fault() {
        return new IllegalArgumentException("no JSON object at " + at);
    }
}
