package io.reassemble.emitter;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;

/** What of a body is looked through for secrets (C-3.2, C-3.3). */
enum BodyRedactor {
    /** The body is not looked at. */
    NONE,
    JSON,
    FORM;

    private static final String TYPE = "content-type";
    private static final String ENCODING = "content-encoding";

    /** How a body with these headers is redacted. */
    static BodyRedactor of(List<Header> headers) {
        String type = "";
        String encoding = "";
        for (int at = headers == null ? -1 : headers.size() - 1; at >= 0; at--) {
            // From the last to the first, which counts.
            Header header = headers.get(at);
            boolean isType = header.name().length() == TYPE.length();
            if ((isType || header.name().length() == ENCODING.length()) && Header.isSameName(header.name(), isType ? TYPE : ENCODING)) {
                type = isType ? header.value() : type;
                encoding = isType ? encoding : header.value();
            }
        }
        BodyRedactor kind = ofType(type);
        boolean encoded = kind != NONE && !encoding.isEmpty() && !encoding.isBlank() && !encoding.strip().equalsIgnoreCase("identity");
        return encoded ? NONE : kind;
    }

    private static BodyRedactor ofType(String contentType) {
        if (contentType.isEmpty()) {
            return NONE;
        }
        if (contentType.equals("application/json")) {
            // Most are spelled so, and need no look at their parts.
            return JSON;
        }
        String type = essence(contentType);
        if (type.equals("application/json") || type.endsWith("+json") || type.equals("application/x-ndjson")) {
            return JSON;
        }
        return type.equals("application/x-www-form-urlencoded") ? FORM : NONE;
    }

    /** A content type without its parameters, in lowercase. */
    static String essence(String contentType) {
        int end = contentType.indexOf(';');
        return (end < 0 ? contentType : contentType.substring(0, end)).strip().toLowerCase(Locale.ROOT);
    }

    /** The body as it may be told; null where its type does not fit it. */
    Bytes redact(Redactor redactor, Bytes body) {
        if (this == JSON) {
            return JsonRedactor.redact(redactor, body);
        }
        if (!Utf8.isValid(body.array, 0, body.length)) {
            return null;
        }
        byte[] told = redactor.form(new String(body.array, 0, body.length, StandardCharsets.UTF_8)).getBytes(StandardCharsets.UTF_8);
        return new Bytes(told.length).put(told);
    }
}
