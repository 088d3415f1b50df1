package io.reassemble.emitter;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A driver's rows, captured as the app reads them.
 *
 * <p>Of a row the values are captured that the app gets by its getters, and nothing is read for the capture alone: with some drivers a column can be
 * read but once, or none in front of another, and what is read decides what {@code wasNull} says. The driver is asked for the names of the columns
 * alone, which came with the result.
 */
final class CapturedRows implements InvocationHandler {
    /** What the app has not read. */
    private static final Object UNREAD = new Object();

    private final ResultSet rows;
    private final Statement statement;
    private final SqlValues values;
    /** Null where the rows are not captured, or no more. */
    private volatile SqlRun run;
    /** The columns' names, behind them others that the driver takes for a column. */
    private List<String> names;
    /** Where a name's values stand, as the app spells it. */
    private final Map<String, Integer> places = new HashMap<>();
    private Object[] row = {};
    private int last = -1;
    private boolean onRow;
    /** Whether the row counts even if nothing of it is read: the app came to it by {@code next}. */
    private boolean counts;
    private Bytes json;

    /**
     * @param statement the app's own statement, which gave the rows
     * @param run what is captured of it; null for nothing
     */
    CapturedRows(ResultSet rows, Statement statement, SqlValues values, SqlRun run) {
        this.rows = rows;
        this.statement = statement;
        this.values = values;
        this.run = run;
        if (run != null) {
            run.readBy(this);
        }
    }

    @Override
    public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
        String name = method.getName();
        switch (name) {
            case "equals":
                return self == arguments[0];
            case "getStatement":
                return CaptureDataSource.pass(rows, method, arguments) == null ? null : statement;
            case "next":
                return next(method);
            case "close":
                return close(method);
            default:
        }
        Object result = CaptureDataSource.pass(rows, method, arguments);
        if (run != null) {
            try {
                passed(name, arguments, result);
            } catch (RuntimeException | LinkageError own) {
                giveUp();
            }
        }
        return result;
    }

    private Object next(Method method) throws Throwable {
        turn(false, false);
        Object result = passOrEnd(method);
        if (Boolean.TRUE.equals(result)) {
            turn(true, true);
        } else {
            end(null);
        }
        return result;
    }

    private Object close(Method method) throws Throwable {
        turn(false, false);
        Object result = passOrEnd(method);
        end(null);
        return result;
    }

    private Object passOrEnd(Method method) throws Throwable {
        try {
            return CaptureDataSource.pass(rows, method, null);
        } catch (Throwable fault) {
            end(fault);
            throw fault;
        }
    }

    private void passed(String name, Object[] arguments, Object result) {
        switch (name) {
            case "previous", "first", "last", "absolute", "relative":
                turn(Boolean.TRUE.equals(result), false);
                break;
            case "beforeFirst", "afterLast", "moveToInsertRow":
                turn(false, false);
                break;
            case "moveToCurrentRow":
                turn(true, false);
                break;
            case "wasNull":
                if (Boolean.TRUE.equals(result)) {
                    wasNull();
                }
                break;
            default:
                if (name.startsWith("get") && arguments != null && (arguments[0] instanceof Integer || arguments[0] instanceof String)) {
                    read(arguments[0], result);
                }
        }
    }

    /** The run ends otherwise than by these rows: what was read of the last one belongs to it. */
    void leave() {
        turn(false, false);
        letGo();
    }

    /** Ends the capture: with the rows, or before them. */
    private void end(Throwable fault) {
        SqlRun ending = letGo();
        if (ending != null) {
            CaptureDataSource.quietly(() -> {
                if (fault == null) {
                    ending.end();
                } else {
                    ending.fail(fault);
                }
            });
        }
    }

    private void giveUp() {
        SqlRun ending = letGo();
        if (ending != null) {
            CaptureDataSource.quietly(() -> ending.stop("rows not captured"));
        }
    }

    /** Captures no more, and keeps nothing of what was read; gives what was captured until now. */
    private synchronized SqlRun letGo() {
        SqlRun last = run;
        run = null;
        onRow = false;
        row = new Object[0];
        json = null;
        return last;
    }

    /** Hands over the row that the app has left, and turns to another. */
    private synchronized void turn(boolean toRow, boolean byNext) {
        SqlRun now = run;
        if (now == null) {
            return;
        }
        try {
            if (onRow && (counts || last >= 0) && !now.row(spelled())) {
                letGo();
                return;
            }
            onRow = toRow;
            counts = byNext;
            last = -1;
            Arrays.fill(row, UNREAD);
            if (toRow && names == null) {
                name();
            }
        } catch (RuntimeException | SQLException | LinkageError own) {
            giveUp();
        }
    }

    /** Without names no secret could be told from other values. */
    private void name() throws SQLException {
        ResultSetMetaData told = rows.getMetaData();
        List<String> found = new ArrayList<>();
        for (int column = 1; column <= told.getColumnCount(); column++) {
            found.add(told.getColumnLabel(column));
        }
        names = found;
        json = new Bytes(256);
        row = new Object[found.size()];
        Arrays.fill(row, UNREAD);
    }

    private synchronized void read(Object column, Object value) {
        if (onRow) {
            last = column instanceof Integer position ? position - 1 : place((String) column);
            row[last] = values.kept(value);
        }
    }

    private synchronized void wasNull() {
        if (last >= 0) {
            row[last] = null;
        }
    }

    /** Where values of a name stand: of several columns of that name the first is meant. */
    private int place(String name) {
        Integer known = places.get(name);
        if (known != null) {
            return known;
        }
        int place = 0;
        while (place < names.size() && !name.equalsIgnoreCase(names.get(place))) {
            place++;
        }
        if (place == names.size()) {
            // Some drivers know a column by the name that it has in its table, too.
            names.add(name);
            row = Arrays.copyOf(row, names.size());
        }
        places.put(name, place);
        return place;
    }

    private Bytes spelled() {
        json.clear().put((byte) '{');
        String lead = "";
        for (int at = 0; at < row.length; at++) {
            if (row[at] != UNREAD) {
                json.ascii(lead).quoted(names.get(at)).put((byte) ':');
                values.put(json, row[at]);
                lead = ",";
            }
        }
        return json.ascii("}\n");
    }
}
