package io.reassemble.emitter;

import java.sql.SQLException;
import java.util.List;
import java.util.Set;

/** One run of a statement that is captured, until the app is done with its result. All calls may come from any thread. */
final class SqlRun {
    static final List<Header> JSON = List.of(new Header("content-type", "application/json"));
    private static final List<Header> LINES = List.of(new Header("content-type", "application/x-ndjson"));
    private static final String SUCCESS = "00000";

    private final Capture capture;
    private final Part response;
    private final SqlValues values;
    /** The session's runs that have not ended. */
    private final Set<SqlRun> open;
    /** The app's rows, once it has any. */
    private volatile CapturedRows reader;
    private long length;

    SqlRun(Capture capture, SqlValues values, Set<SqlRun> open) {
        this.capture = capture;
        this.response = capture.response();
        this.values = values;
        this.open = open;
        open.add(this);
    }

    /** What was asked; the array is not the caller's any more. */
    void asked(Bytes json) {
        Part request = capture.request();
        request.filterBody(JSON);
        request.own(json.array, json.length);
        if (values.isTooLong(json.length)) {
            request.fail(values.cutBy());
        } else {
            request.end();
        }
    }

    /** The statement gave rows, which the app is to read. */
    void answersRows() {
        response.respond(SUCCESS, LINES);
        response.filterBody(LINES);
    }

    /** The statement changed so many rows, as JSON; null where that is not known. Ends the run. */
    void changed(String counts) {
        response.respond(SUCCESS, JSON);
        response.filterBody(JSON);
        if (counts != null) {
            Bytes body = new Bytes(counts.length() + 32).ascii("{\"rows_affected\":").ascii(counts).put((byte) '}');
            response.own(body.array, body.length);
        }
        end();
    }

    /** The rows that the app reads from now on. */
    void readBy(CapturedRows rows) {
        reader = rows;
    }

    /** A row was read; the buffer stays the caller's. Gives whether there is room for more. */
    boolean row(Bytes json) {
        length += json.length;
        response.body(json.array, 0, json.length);
        if (values.isTooLong(length)) {
            stop(values.cutBy());
            return false;
        }
        return true;
    }

    /** Ends the run, with the row that the app is at. */
    void end() {
        if (reader != null) {
            reader.leave();
        }
        close();
        response.end();
    }

    /** Ends the run before its time. */
    void stop(String error) {
        close();
        response.fail(error);
    }

    private void close() {
        open.remove(this);
        // It has ended long since, unless its text could not be told.
        capture.request().fail("statement not captured");
    }

    /** Ends the run with an error, which is told by its type and its code: what it says may hold a value. */
    void fail(Throwable fault) {
        String error = fault.getClass().getSimpleName();
        try {
            if (fault instanceof SQLException told) {
                String state = told.getSQLState() == null ? "HY000" : told.getSQLState();
                error = response.hasBegun() ? error + ' ' + state : error;
                response.notSent();
                response.respond(state, null);
            }
        } finally {
            stop(error);
        }
    }
}
