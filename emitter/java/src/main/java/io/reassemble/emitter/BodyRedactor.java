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
        String type = essence(Header.first(headers, "content-type"));
        BodyRedactor kind = NONE;
        if (type.equals("application/json") || type.endsWith("+json") || type.equals("application/x-ndjson")) {
            kind = JSON;
        } else if (type.equals("application/x-www-form-urlencoded")) {
            kind = FORM;
        }
        if (kind == NONE) {
            return NONE;
        }
        String encoding = Header.first(headers, "content-encoding").strip();
        return encoding.isEmpty() || encoding.equalsIgnoreCase("identity") ? kind : NONE;
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
