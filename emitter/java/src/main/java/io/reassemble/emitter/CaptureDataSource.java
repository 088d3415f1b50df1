package io.reassemble.emitter;

import java.io.PrintWriter;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Array;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.logging.Logger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.sql.DataSource;

/**
 * A {@link DataSource} that captures the statements that its connections run.
 *
 * <p>A capture's request is {@code {"statement": …, "parameters": …}}: the parameters as a list, an object where they have names, or a list of these for
 * a batch. Its response is a JSON object a row, by the names of the columns, or {@code {"rows_affected": …}}, with the SQLSTATE ({@code 00000} where
 * all went well). What stands under listed names is redacted, as in any JSON; what stands in a statement's text or in a list is not.
 *
 * <p>Rows are captured as the app reads them, with the values that it gets; nothing is read for the capture alone. Bytes are {@code \x} and hex digits.
 * What can be read but once, or only by asking the server (streams, {@code Blob}, {@code Clob}, {@code SQLXML}, a result's {@code Array}), is told by its
 * type, as are objects of the app's own classes. Of a statement with several results the first is captured; generated keys and what a call gives
 * through its parameters are not. Within a request that {@link CaptureFilter} serves, a statement names that as its {@code parent}. Commits and
 * rollbacks are not told.
 */
public final class CaptureDataSource implements DataSource {
    private final DataSource inner;
    private final Emitter emitter;

    private CaptureDataSource(DataSource inner, Emitter emitter) {
        this.inner = inner;
        this.emitter = emitter;
    }

    /**
     * Captures what runs on a data source's connections.
     *
     * @param source gives the connections
     * @param emitter takes the captures; it is not closed
     * @return a data source that does as the given one does
     */
    public static DataSource wrap(DataSource source, Emitter emitter) {
        return new CaptureDataSource(source, emitter);
    }

    @Override
    public Connection getConnection() throws SQLException {
        return captured(inner.getConnection());
    }

    @Override
    public Connection getConnection(String user, String password) throws SQLException {
        return captured(inner.getConnection(user, password));
    }

    private Connection captured(Connection connection) {
        if (emitter.shared() == null) {
            return connection;
        }
        String url;
        try {
            url = connection.getMetaData().getURL();
        } catch (SQLException | RuntimeException untold) {
            url = null;
        }
        return new Session(connection, emitter, url).proxy;
    }

    @Override
    public PrintWriter getLogWriter() throws SQLException {
        return inner.getLogWriter();
    }

    @Override
    public void setLogWriter(PrintWriter out) throws SQLException {
        inner.setLogWriter(out);
    }

    @Override
    public void setLoginTimeout(int seconds) throws SQLException {
        inner.setLoginTimeout(seconds);
    }

    @Override
    public int getLoginTimeout() throws SQLException {
        return inner.getLoginTimeout();
    }

    @Override
    public Logger getParentLogger() throws SQLFeatureNotSupportedException {
        return inner.getParentLogger();
    }

    @Override
    public <T> T unwrap(Class<T> type) throws SQLException {
        return type.isInstance(inner) ? type.cast(inner) : inner.unwrap(type);
    }

    @Override
    public boolean isWrapperFor(Class<?> type) throws SQLException {
        return type.isInstance(inner) || inner.isWrapperFor(type);
    }

    /** Calls as the app would, with what it would have thrown. */
    static Object pass(Object target, Method method, Object[] arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException fault) {
            throw fault.getCause();
        }
    }

    private static <T> T proxy(Class<T> type, InvocationHandler handler) {
        return type.cast(Proxy.newProxyInstance(CaptureDataSource.class.getClassLoader(), new Class<?>[] {type}, handler));
    }

    /** What is said of a statement never keeps it from running. */
    static void quietly(Runnable telling) {
        try {
            telling.run();
        } catch (RuntimeException | LinkageError own) {
            // What was not told then is missing from the capture.
        }
    }

    /** A connection whose statements are captured. */
    private static final class Session implements InvocationHandler {
        private static final Pattern PARAMETERS = Pattern.compile("[;?]|[\\w.-]*=");
        /** The names of protocols, and who asks, where the URL says that. */
        private static final Pattern USERINFO = Pattern.compile("^([^:/@]+:(?:[^:/@]+:)?(?://)?)(?:.*@)?");

        private final Connection connection;
        private final Emitter emitter;
        private final SqlValues values;
        private final String proto;
        private final String url;
        private final Connection proxy;
        private final Set<SqlRun> open = ConcurrentHashMap.newKeySet();

        Session(Connection connection, Emitter emitter, String jdbcUrl) {
            this.connection = connection;
            this.emitter = emitter;
            values = new SqlValues(emitter.shared().settings);
            url = harmless(jdbcUrl == null ? "" : jdbcUrl.replaceFirst("^jdbc:", ""));
            String scheme = url.split(":", 2)[0];
            proto = scheme.equals("postgresql") ? "postgres" : scheme.isEmpty() ? "jdbc" : scheme;
            proxy = proxy(Connection.class, this);
        }

        /** A URL without what drivers keep in it: parameters, each in its own syntax, and who asks with what password. */
        private static String harmless(String url) {
            Matcher parameters = PARAMETERS.matcher(url);
            int end = parameters.find() ? parameters.start() : url.length();
            String plain = url.substring(0, end);
            int host = plain.indexOf("://");
            Matcher start = USERINFO.matcher(plain);
            if (url.indexOf('@', end) >= 0 && (host < 0 || plain.indexOf('/', host + 3) < 0)) {
                // It may be a password that looks like a parameter.
                return start.find() ? start.group(1) : "";
            }
            return start.replaceFirst("$1");
        }

        @Override
        public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
            switch (method.getName()) {
                case "equals":
                    return self == arguments[0];
                case "close", "abort":
                    try {
                        return pass(connection, method, arguments);
                    } finally {
                        open.forEach(run -> quietly(run::end));
                    }
                default:
            }
            Object result = pass(connection, method, arguments);
            if (result instanceof Array array && method.getName().equals("createArrayOf")) {
                quietly(() -> values.made(array, arguments[1]));
            }
            if (!(result instanceof Statement statement)) {
                return result;
            }
            String sql = arguments != null && arguments[0] instanceof String text ? text : null;
            Class<? extends Statement> type = result instanceof CallableStatement ? CallableStatement.class
                    : result instanceof PreparedStatement ? PreparedStatement.class : Statement.class;
            return proxy(type, new Running(this, statement, sql));
        }

        /** Begins to capture a run; null where it is not captured. */
        SqlRun begin(String sql, Consumer<Bytes> parameters) {
            Capture capture = emitter.begin(proto, "query", url).headers(SqlRun.JSON).start();
            if (capture.isNone()) {
                return null;
            }
            SqlRun run = new SqlRun(capture, values, open);
            quietly(() -> {
                Bytes json = new Bytes(256).ascii("{\"statement\":");
                values.put(json, sql == null ? "" : sql);
                if (parameters != null) {
                    parameters.accept(json.ascii(",\"parameters\":"));
                }
                run.asked(json.put((byte) '}'));
            });
            return run;
        }
    }

    /** A statement that is captured each time it runs. */
    private static final class Running implements InvocationHandler {
        private final Session session;
        private final Statement statement;
        /** What was prepared; null where each run brings its own. */
        private final String prepared;
        /** The statements of a batch, as far as they may be captured. */
        private final StringBuilder batch = new StringBuilder();
        /** Null where nothing was prepared. */
        private final SqlParameters parameters;
        /** The last run, until its result has been read. */
        private volatile SqlRun run;
        /** The last run, where the app has yet to ask for its rows. */
        private SqlRun unasked;
        /** An update's count that was asked for in the app's stead. */
        private Object count;
        /** The driver's rows that the statement gave last, and what the app has for them: asked for again, they are the same. */
        private ResultSet rows;
        private ResultSet shown;

        Running(Session session, Statement statement, String prepared) {
            this.session = session;
            this.statement = statement;
            this.prepared = prepared;
            parameters = statement instanceof PreparedStatement ? new SqlParameters(session.values) : null;
        }

        @Override
        public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
            String text = arguments != null && arguments.length > 0 && arguments[0] instanceof String given ? given : null;
            String name = method.getName();
            switch (name) {
                case "equals":
                    return self == arguments[0];
                case "getConnection":
                    pass(statement, method, arguments);
                    return session.proxy;
                case "executeBatch", "executeLargeBatch":
                    return runBatch(method, arguments);
                case "execute", "executeQuery", "executeUpdate", "executeLargeUpdate":
                    return run(self, text, method, arguments);
                case "getUpdateCount":
                    if (count != null) {
                        Object told = count;
                        count = null;
                        return told;
                    }
                    break;
                case "getMoreResults", "close":
                    return turn(method, arguments);
                default:
            }
            Object result = pass(statement, method, arguments);
            if (result instanceof ResultSet keys && name.equals("getGeneratedKeys")) {
                return shown(self, keys, null);
            }
            if (result instanceof ResultSet answered && name.equals("getResultSet")) {
                if (answered != rows) {
                    shown = shown(self, answered, unasked);
                    rows = answered;
                    unasked = null;
                }
                return shown;
            }
            quietly(() -> passed(name, text, arguments));
            return result;
        }

        /** What the driver has taken. */
        private void passed(String name, String text, Object[] arguments) {
            switch (name) {
                case "addBatch":
                    if (parameters != null) {
                        parameters.addBatch();
                    } else if (!session.values.isTooLong(batch.length())) {
                        batch.append(batch.isEmpty() ? "" : ";\n").append(text);
                    }
                    break;
                case "clearBatch":
                    clearBatch();
                    break;
                case "clearParameters":
                    parameters.clear();
                    break;
                case "setNull":
                    parameters.set(arguments[0], null);
                    break;
                default:
                    // Settings of the statement itself have one argument.
                    if (parameters != null && name.startsWith("set") && arguments.length > 1) {
                        parameters.set(arguments[0], arguments[1]);
                    }
            }
        }

        private void clearBatch() {
            batch.setLength(0);
            if (parameters != null) {
                parameters.clearBatch();
            }
        }

        /** Another result, or none any more: what was read of the last one is what is captured. */
        private Object turn(Method method, Object[] arguments) throws Throwable {
            forget();
            try {
                return pass(statement, method, arguments);
            } finally {
                if (arguments == null || !arguments[0].equals(Statement.KEEP_CURRENT_RESULT)) {
                    endRun();
                }
            }
        }

        /** The next result is another, even if a driver has but one object for all. */
        private void forget() {
            unasked = null;
            count = null;
            rows = null;
            shown = null;
        }

        private void endRun() {
            SqlRun last = run;
            run = null;
            if (last != null) {
                quietly(last::end);
            }
        }

        private SqlRun begin(String sql, Consumer<Bytes> asked) {
            endRun();
            forget();
            try {
                return session.begin(sql, asked);
            } catch (RuntimeException | LinkageError own) {
                return null;
            }
        }

        private Object runBatch(Method method, Object[] arguments) throws Throwable {
            SqlRun now = parameters == null ? begin(batch.toString(), null) : begin(prepared, parameters::putBatch);
            clearBatch();
            Object result = passRun(now, method, arguments);
            if (now != null) {
                quietly(() -> now.changed(counts(result)));
            }
            return result;
        }

        private Object run(Object self, String text, Method method, Object[] arguments) throws Throwable {
            boolean hasParameters = text == null && parameters != null && !parameters.isEmpty();
            SqlRun now = begin(text != null ? text : prepared, hasParameters ? parameters::put : null);
            Object result = passRun(now, method, arguments);
            if (result instanceof ResultSet answered) {
                if (now != null) {
                    quietly(now::answersRows);
                }
                run = now;
                shown = shown(self, answered, now);
                rows = answered;
                return shown;
            }
            if (now == null) {
                return result;
            }
            if (Boolean.TRUE.equals(result)) {
                quietly(now::answersRows);
                run = now;
                unasked = now;
            } else {
                String counts = result instanceof Boolean ? askCount() : counts(result);
                quietly(() -> now.changed(counts));
            }
            return result;
        }

        private Object passRun(SqlRun now, Method method, Object[] arguments) throws Throwable {
            try {
                return pass(statement, method, arguments);
            } catch (Throwable fault) {
                if (now != null) {
                    quietly(() -> now.fail(fault));
                }
                throw fault;
            }
        }

        /** How many rows were changed: drivers may tell it but once, so that the app is told the same when it asks. */
        private String askCount() {
            try {
                int changed = statement.getUpdateCount();
                count = changed;
                return changed < 0 ? null : String.valueOf(changed);
            } catch (SQLException | RuntimeException untold) {
                return null;
            }
        }

        private static String counts(Object result) {
            if (result instanceof int[] counts) {
                return Arrays.toString(counts).replace(" ", "");
            }
            if (result instanceof long[] counts) {
                return Arrays.toString(counts).replace(" ", "");
            }
            return String.valueOf(result);
        }

        /** Rows as the app has them, which name its own statement. */
        private ResultSet shown(Object self, ResultSet given, SqlRun now) {
            return proxy(ResultSet.class, new CapturedRows(given, (Statement) self, session.values, now));
        }
    }
}
