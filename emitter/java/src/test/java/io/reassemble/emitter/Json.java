package io.reassemble.emitter;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads JSON into maps that keep their order, lists, strings, {@link BigDecimal}, booleans and null. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object read(String text) {
        Json json = new Json(text);
        Object value = json.value();
        json.space();
        if (json.at != text.length()) {
            throw json.fault();
        }
        return value;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    static List<Object> list(Object value) {
        return (List<Object>) value;
    }

    /** A string as a line has it. */
    static String quoted(String text) {
        Bytes bytes = new Bytes(text.length() + 16).quoted(text);
        return new String(bytes.array, 0, bytes.length, java.nio.charset.StandardCharsets.UTF_8);
    }

    private Object value() {
        space();
        char c = peek();
        if (c == '{') {
            return readObject();
        }
        if (c == '[') {
            return readList();
        }
        if (c == '"') {
            return readString();
        }
        int start = at;
        while (at < text.length() && ",]} \n\r\t".indexOf(text.charAt(at)) < 0) {
            at++;
        }
        String word = text.substring(start, at);
        return switch (word) {
            case "true" -> true;
            case "false" -> false;
            case "null" -> null;
            default -> new BigDecimal(word);
        };
    }

    private Map<String, Object> readObject() {
        Map<String, Object> object = new LinkedHashMap<>();
        at++;
        space();
        while (peek() != '}') {
            space();
            String name = readString();
            space();
            take(':');
            object.put(name, value());
            space();
            if (peek() != '}') {
                take(',');
            }
        }
        at++;
        return object;
    }

    private List<Object> readList() {
        List<Object> list = new ArrayList<>();
        at++;
        space();
        while (peek() != ']') {
            list.add(value());
            space();
            if (peek() != ']') {
                take(',');
            }
        }
        at++;
        return list;
    }

    private String readString() {
        take('"');
        StringBuilder out = new StringBuilder();
        while (peek() != '"') {
            char c = text.charAt(at++);
            if (c != '\\') {
                out.append(c);
                continue;
            }
            char letter = text.charAt(at++);
            int plain = "bfnrt".indexOf(letter);
            if (letter == 'u') {
                out.append((char) Integer.parseInt(text, at, at + 4, 16));
                at += 4;
            } else {
                out.append(plain < 0 ? letter : "\b\f\n\r\t".charAt(plain));
            }
        }
        at++;
        return out.toString();
    }

    private void space() {
        while (at < text.length() && " \n\r\t".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        if (at == text.length()) {
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

    private IllegalArgumentException fault() {
        return new IllegalArgumentException("no JSON at " + at + " of " + text);
    }
}
