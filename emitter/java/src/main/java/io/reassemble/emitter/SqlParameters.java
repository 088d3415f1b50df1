package io.reassemble.emitter;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** The parameters of a prepared statement as they are set, and those of its batch. */
final class SqlParameters {
    private final SqlValues values;
    /** By position, the first one first; what was not set is null. */
    private Object[] placed = {};
    private Map<String, Object> named;
    /** What each run of the batch will be given, as JSON without its end; null where there is no batch. */
    private Bytes batch;

    SqlParameters(SqlValues values) {
        this.values = values;
    }

    /** Sets a parameter by its position or by its name. */
    void set(Object key, Object value) {
        Object kept = values.kept(value);
        if (key instanceof Integer position) {
            if (position > placed.length) {
                placed = Arrays.copyOf(placed, position);
            }
            placed[position - 1] = kept;
        } else {
            named = named == null ? new LinkedHashMap<>() : named;
            named.put((String) key, kept);
        }
    }

    void clear() {
        placed = new Object[0];
        named = null;
    }

    boolean isEmpty() {
        return placed.length == 0 && named == null;
    }

    /** Adds what is set to the batch. What would make it too long is not kept. */
    void addBatch() {
        boolean isFirst = batch == null;
        batch = isFirst ? new Bytes(256) : batch;
        if (!values.isTooLong(batch.length)) {
            batch.put((byte) (isFirst ? '[' : ','));
            put(batch);
        }
    }

    void clearBatch() {
        batch = null;
    }

    /** Adds the batch: a list of what {@link #put} adds. */
    void putBatch(Bytes out) {
        if (batch == null) {
            out.ascii("[]");
        } else {
            out.put(batch).put((byte) ']');
        }
    }

    /** Adds what is set: a list, or an object where any has a name. */
    void put(Bytes out) {
        out.put((byte) (named == null ? '[' : '{'));
        String lead = "";
        for (int at = 0; at < placed.length && !values.isTooLong(out.length); at++) {
            out.ascii(lead);
            if (named != null) {
                out.quoted(String.valueOf(at + 1)).put((byte) ':');
            }
            values.put(out, placed[at]);
            lead = ",";
        }
        if (named != null) {
            for (Map.Entry<String, Object> one : named.entrySet()) {
                out.ascii(lead).quoted(one.getKey()).put((byte) ':');
                values.put(out, one.getValue());
                lead = ",";
            }
        }
        out.put((byte) (named == null ? ']' : '}'));
    }
}
