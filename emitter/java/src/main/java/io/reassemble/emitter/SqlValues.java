package io.reassemble.emitter;

import java.io.InputStream;
import java.io.Reader;
import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URL;
import java.sql.Blob;
import java.sql.Clob;
import java.sql.Ref;
import java.sql.ResultSet;
import java.sql.RowId;
import java.sql.SQLXML;
import java.sql.Struct;
import java.util.Calendar;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.WeakHashMap;

/**
 * What an app gives a database and gets from it, as JSON.
 *
 * <p>No value is read that can be read but once, whose reading may ask the server, or that is of the app's own making: such a one is told by its type.
 */
final class SqlValues {
    /** How deep arrays are followed: as deep as JSON is looked through for secrets, within a statement's parameters. */
    private static final int MAX_DEPTH = 120;
    /** Numbers that JSON spells as Java does; a class that an app derives from one may do otherwise. */
    private static final Set<Class<?>> NUMBERS =
            Set.of(Byte.class, Short.class, Integer.class, Long.class, Float.class, Double.class, BigInteger.class, BigDecimal.class);
    /** What a driver has classes of its own for. */
    private static final List<Class<?>> UNREAD = List.of(
            InputStream.class, Reader.class, Blob.class, Clob.class, SQLXML.class, java.sql.Array.class, Struct.class, Ref.class, RowId.class,
            ResultSet.class);
    private static final char[] HEX = "0123456789abcdef".toCharArray();

    /** A value that was spelled at once, because it may change. */
    private record Spelled(Bytes json) {}

    /** How many bytes of a body may be captured, or looked through for secrets: no more of it is made. */
    private final int most;
    /** Why a body that is longer is cut; empty where the limit of all bodies says it. */
    private final String cutBy;
    /** What the app made arrays of, for theirs may be read but by asking the server. */
    private final Map<java.sql.Array, Object> arrays = Collections.synchronizedMap(new WeakHashMap<>());

    SqlValues(Settings settings) {
        long limit = settings.redactBodies() ? Math.min(settings.redactBuffer(), settings.bodyLimit()) : settings.bodyLimit();
        most = (int) Math.min(limit, Integer.MAX_VALUE / 8);
        cutBy = settings.redactBodies() ? "redact_buffer" : "";
    }

    String cutBy() {
        return cutBy;
    }

    boolean isTooLong(long length) {
        return length > most;
    }

    /** The app made an array of elements. */
    void made(java.sql.Array array, Object elements) {
        arrays.put(array, kept(elements));
    }

    /** A value as it is now, for {@link #put}: as it stands where it can't change. */
    Object kept(Object value) {
        return value == null || value instanceof String || value instanceof Boolean || NUMBERS.contains(value.getClass())
                ? value : new Spelled(spelled(value, 0));
    }

    /** Adds a value. What would be too long breaks off behind the limit: it is not captured whole anyway. */
    void put(Bytes out, Object value) {
        put(out, value, 0);
    }

    private void put(Bytes out, Object value, int depth) {
        if (isTooLong(out.length)) {
            return;
        }
        if (value == null) {
            out.ascii("null");
        } else if (value instanceof String text) {
            out.quoted(text.length() > most ? text.substring(0, most + 1) : text);
        } else if (value instanceof Boolean) {
            out.ascii(value.toString());
        } else if (NUMBERS.contains(value.getClass())) {
            boolean finite = !(value instanceof Double || value instanceof Float) || Double.isFinite(((Number) value).doubleValue());
            out.ascii(finite ? value.toString() : '"' + value.toString() + '"');
        } else if (value instanceof Spelled spelled) {
            out.put(spelled.json);
        } else {
            out.put(spelled(value, depth));
        }
    }

    private Bytes spelled(Object value, int depth) {
        Bytes out = new Bytes(64);
        if (value instanceof byte[] bytes) {
            hex(out, bytes);
        } else if (value.getClass().isArray() && depth < MAX_DEPTH) {
            list(out, value, depth + 1);
        } else if (value instanceof java.sql.Array array && arrays.get(array) instanceof Spelled elements) {
            out.put(elements.json);
        } else {
            put(out, text(value), 0);
        }
        return out;
    }

    private void list(Bytes out, Object array, int depth) {
        int count = Array.getLength(array);
        out.put((byte) '[');
        for (int at = 0; at < count && !isTooLong(out.length); at++) {
            if (at > 0) {
                out.put((byte) ',');
            }
            put(out, Array.get(array, at), depth);
        }
        out.put((byte) ']');
    }

    /** Bytes as PostgreSQL writes them. */
    private void hex(Bytes out, byte[] bytes) {
        int count = Math.min(bytes.length, most / 2 + 1);
        out.ascii("\"\\\\x").hex(bytes, count).put((byte) '"');
    }

    private static String text(Object value) {
        if (value instanceof Calendar calendar) {
            return calendar.toInstant().toString();
        }
        if (value instanceof Enum<?> constant) {
            return constant.name();
        }
        boolean plain = value instanceof Character || value instanceof Date || value instanceof UUID || value instanceof URL
                || value.getClass().getName().startsWith("java.time.");
        if (plain || isPostgres(value.getClass())) {
            try {
                return value instanceof Date date && !isSqlDate(date) ? date.toInstant().toString() : value.toString();
            } catch (RuntimeException own) {
                return type(value);
            }
        }
        return type(value);
    }

    /** Dates of SQL have no instant, or are no more than one. */
    private static boolean isSqlDate(Date date) {
        return date instanceof java.sql.Date || date instanceof java.sql.Time || date instanceof java.sql.Timestamp;
    }

    /** Whether it is what PostgreSQL's driver gives for types that Java has none for, such as {@code jsonb}: it says the value's text. */
    private static boolean isPostgres(Class<?> type) {
        for (Class<?> at = type; at != null; at = at.getSuperclass()) {
            if (at.getName().equals("org.postgresql.util.PGobject")) {
                return true;
            }
        }
        return false;
    }

    private static String type(Object value) {
        for (Class<?> type : UNREAD) {
            if (type.isInstance(value)) {
                return '[' + type.getName() + ']';
            }
        }
        return '[' + value.getClass().getTypeName() + ']';
    }
}
