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

    /** How a body with these headers is redacted. */
    static BodyRedactor of(List<Header> headers) {
        BodyRedactor kind = ofType(Header.first(headers, "content-type"));
        if (kind == NONE) {
            return NONE;
        }
        String encoding = Header.first(headers, "content-encoding");
        return encoding.isBlank() || encoding.strip().equalsIgnoreCase("identity") ? kind : NONE;
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
