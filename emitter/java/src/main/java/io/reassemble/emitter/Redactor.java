package io.reassemble.emitter;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Knows what is secret: headers, query parameters, names in forms and JSON (L-3.7). Starts with the lists that all emitters share. */
final class Redactor {
    /** What stands in a secret's place. */
    static final String REDACTED = "[redacted]";

    private static final List<String> HEADERS = List.of(
            "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-csrftoken", "x-xsrf-token",
            "x-amz-security-token");
    private static final List<String> NAMES =
            List.of("password", "passwd", "pwd", "secret", "*key", "*token*", "*session*", "*credit*", "*card*", "*auth*");
    /** Names in query strings alone: what signed URLs carry. */
    private static final List<String> QUERY = List.of(
            "AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token");

    private final List<String> headers = new ArrayList<>(HEADERS);
    private final List<Pattern> names = new ArrayList<>(NAMES.stream().map(Pattern::of).toList());
    private final List<Pattern> query = QUERY.stream().map(Pattern::of).toList();
    private final List<Pattern> kept = new ArrayList<>();
    /** Find what names are made of; made when they are first asked for, by the writer's thread, once the lists are as they stay. */
    private NameSearch inJson;
    private NameSearch inQuery;

    void addHeader(String name) {
        headers.add(lower(name));
    }

    void keepHeader(String name) {
        headers.removeIf(lower(name)::equals);
    }

    void addName(String pattern) {
        names.add(Pattern.of(pattern));
        inJson = null;
        inQuery = null;
    }

    void keepName(String pattern) {
        kept.add(Pattern.of(pattern));
    }

    boolean isSecretHeader(String name) {
        for (int at = 0; at < headers.size(); at++) {
            if (Header.isSameName(headers.get(at), name)) {
                return true;
            }
        }
        return false;
    }

    /**
     * Whether a listed name may stand in JSON text (C-3.3). Where none of their texts occurs, and no escape that could spell one, none does however the
     * text is read; and to look for them costs a small part of reading it.
     */
    boolean mayStandIn(byte[] json, int length) {
        if (inJson == null) {
            List<String> texts = texts(names, "\"");
            texts.add(texts.stream().anyMatch(Redactor::hasEscape) ? "\\" : "\\u");
            inJson = new NameSearch(texts);
        }
        return inJson.findsIn(json, length);
    }

    /** Whether a listed name may stand in a query string, for the same reason; a name's characters may be spelled by {@code %} and {@code +}. */
    private boolean mayStandIn(String url, int from, int end) {
        if (inQuery == null) {
            List<String> texts = texts(names, "=");
            texts.addAll(texts(query, "="));
            texts.addAll(List.of("%", "+"));
            inQuery = new NameSearch(texts);
        }
        return inQuery.findsIn(url, from, end);
    }

    /** What patterns look for; an empty text is in every name, and behind every name stands {@code end}. */
    private static List<String> texts(List<Pattern> patterns, String end) {
        List<String> texts = new ArrayList<>();
        for (Pattern pattern : patterns) {
            texts.add(pattern.text.isEmpty() ? end : pattern.text);
        }
        return texts;
    }

    /** Whether JSON may spell a character in two ways, {@code \\u} aside. */
    private static boolean hasEscape(String text) {
        return text.chars().anyMatch(c -> c < ' ' || c == '"' || c == '\\' || c == '/');
    }

    /** Whether what stands under a name in a form or in JSON is a secret. */
    boolean isSecretName(String name) {
        String plain = lower(name);
        return matches(names, plain) && !matches(kept, plain);
    }

    private boolean isSecretInQuery(String name) {
        String plain = lower(name);
        return (matches(names, plain) || matches(query, plain)) && !matches(kept, plain);
    }

    /** Headers as they may be told. */
    List<Header> headers(List<Header> all) {
        if (all == null) {
            return null;
        }
        List<Header> told = all;
        for (int at = 0; at < all.size(); at++) {
            String name = all.get(at).name();
            if (isSecretHeader(name)) {
                told = told == all ? new ArrayList<>(all) : told;
                told.set(at, new Header(name, REDACTED));
            }
        }
        return told;
    }

    /** A URL as it may be told: without userinfo, and without the values of listed query parameters. */
    String url(String url) {
        if (url == null) {
            return null;
        }
        String rest = withoutUserinfo(url);
        int fragment = rest.indexOf('#');
        int end = fragment < 0 ? rest.length() : fragment;
        int mark = rest.indexOf('?');
        if (mark < 0 || mark > end || !mayStandIn(rest, mark + 1, end)) {
            return rest;
        }
        StringBuilder told = new StringBuilder(rest.length() + 16).append(rest, 0, mark + 1);
        parameters(rest.substring(mark + 1, end), true, told);
        return told.append(rest, end, rest.length()).toString();
    }

    /** A form as it may be told. */
    String form(String form) {
        StringBuilder told = new StringBuilder(form.length() + 16);
        parameters(form, false, told);
        return told.toString();
    }

    /**
     * A parameter ends at {@code &}. A listed name behind a {@code ;}, which some servers take for a separator too, counts, and its value goes on to
     * the next {@code &}.
     */
    private void parameters(String text, boolean inQuery, StringBuilder told) {
        int at = 0;
        while (true) {
            int end = indexOf(text, '&', at, text.length());
            int value = secretValue(text, at, end, inQuery);
            if (value < 0) {
                told.append(text, at, end);
            } else {
                told.append(text, at, value).append(REDACTED);
            }
            if (end == text.length()) {
                return;
            }
            told.append('&');
            at = end + 1;
        }
    }

    /** Where the secret value starts in a parameter; -1 where there is none. */
    private int secretValue(String text, int from, int end, boolean inQuery) {
        int at = from;
        while (at <= end) {
            int fieldEnd = indexOf(text, ';', at, end);
            int equals = indexOf(text, '=', at, fieldEnd);
            if (equals < fieldEnd) {
                String name = plain(text.substring(at, equals));
                if (inQuery ? isSecretInQuery(name) : isSecretName(name)) {
                    return equals + 1;
                }
            }
            at = fieldEnd + 1;
        }
        return -1;
    }

    private static int indexOf(String text, char c, int from, int end) {
        int found = text.indexOf(c, from);
        return found < 0 || found > end ? end : found;
    }

    private static String withoutUserinfo(String url) {
        int slashes = url.indexOf("//");
        boolean authority = slashes == 0 || slashes > 0 && url.charAt(slashes - 1) == ':' && firstOf(url, 0) >= slashes;
        if (!authority) {
            return url;
        }
        int start = slashes + 2;
        int at = url.lastIndexOf('@', firstOf(url, start) - 1);
        return at < start ? url : url.substring(0, start) + url.substring(at + 1);
    }

    /** Where the first of {@code /}, {@code ?} and {@code #} stands; the end where there is none. */
    private static int firstOf(String url, int from) {
        for (int at = from; at < url.length(); at++) {
            char c = url.charAt(at);
            if (c == '/' || c == '?' || c == '#') {
                return at;
            }
        }
        return url.length();
    }

    /** A parameter's name decoded, without the white space around it. */
    private static String plain(String name) {
        String decoded = name;
        if (name.indexOf('%') >= 0 || name.indexOf('+') >= 0) {
            byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
            ByteArrayOutputStream out = new ByteArrayOutputStream(bytes.length);
            for (int at = 0; at < bytes.length; at++) {
                int high = at + 2 < bytes.length ? Character.digit(bytes[at + 1], 16) : -1;
                int low = at + 2 < bytes.length ? Character.digit(bytes[at + 2], 16) : -1;
                if (bytes[at] == '%' && high >= 0 && low >= 0) {
                    out.write(high << 4 | low);
                    at += 2;
                } else {
                    out.write(bytes[at] == '+' ? ' ' : bytes[at]);
                }
            }
            decoded = out.toString(StandardCharsets.UTF_8);
        }
        int start = 0;
        int end = decoded.length();
        while (start < end && isSpace(decoded.charAt(start))) {
            start++;
        }
        while (end > start && isSpace(decoded.charAt(end - 1))) {
            end--;
        }
        return decoded.substring(start, end);
    }

    /** White space as Unicode has it. */
    private static boolean isSpace(char c) {
        return Character.isSpaceChar(c) || c >= '\t' && c <= '\r' || c == 0x85;
    }

    private static boolean matches(List<Pattern> patterns, String name) {
        for (Pattern pattern : patterns) {
            if (pattern.matches(name)) {
                return true;
            }
        }
        return false;
    }

    /** In lowercase as ASCII has it, so that no other letter turns into a listed one. */
    private static String lower(String text) {
        for (int at = 0; at < text.length(); at++) {
            if (text.charAt(at) >= 0x80) {
                char[] chars = text.toCharArray();
                for (int to = 0; to < chars.length; to++) {
                    chars[to] = chars[to] < 0x80 ? Character.toLowerCase(chars[to]) : chars[to];
                }
                return new String(chars);
            }
        }
        return text.toLowerCase(Locale.ROOT);
    }

    /** A name in lowercase with an optional {@code *} at each end. */
    private record Pattern(String text, boolean openStart, boolean openEnd) {
        static Pattern of(String pattern) {
            String text = lower(pattern);
            boolean openStart = text.startsWith("*");
            text = openStart ? text.substring(1) : text;
            boolean openEnd = text.endsWith("*") || openStart && text.isEmpty();
            while (openEnd && text.endsWith("*")) {
                text = text.substring(0, text.length() - 1);
            }
            return new Pattern(text, openStart, openEnd);
        }

        boolean matches(String name) {
            if (openStart) {
                return openEnd ? name.contains(text) : name.endsWith(text);
            }
            return openEnd ? name.startsWith(text) : name.equals(text);
        }
    }
}
