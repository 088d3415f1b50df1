package io.reassemble.emitter;

import java.io.PrintWriter;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.logging.Logger;
import javax.sql.DataSource;

/**
 * A {@link DataSource} that captures the statements that its connections run.
 *
 * <p>A capture holds the statement's text as the app gave it, the SQLSTATE ({@code 00000} where all went well) and how many rows an update or a batch
 * changed; of a plain {@code execute}, whose count a driver may tell only once, it is left to the app. The values of a prepared statement's parameters,
 * which are often secret, and the rows of a query are not captured: results are the driver's own, and so is the statement that they name. Within a
 * request that {@link CaptureFilter} serves, a statement names that as its {@code parent}. Commits and rollbacks are not told.
 */
public final class CaptureDataSource implements DataSource {
    private static final String SUCCESS = "00000";

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
        } catch (SQLException untold) {
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
    private static Object pass(Object target, Method method, Object[] arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException fault) {
            throw fault.getCause();
        }
    }

    private static Object proxy(Class<?> type, InvocationHandler handler) {
        return Proxy.newProxyInstance(CaptureDataSource.class.getClassLoader(), new Class<?>[] {type}, handler);
    }

    /** A connection whose statements are captured. */
    private static final class Session implements InvocationHandler {
        private final Connection connection;
        private final Emitter emitter;
        private final String proto;
        private final String url;
        private final Connection proxy;

        Session(Connection connection, Emitter emitter, String jdbcUrl) {
            this.connection = connection;
            this.emitter = emitter;
            String plain = jdbcUrl == null ? "" : jdbcUrl.replaceFirst("^jdbc:", "");
            // Drivers put passwords among the parameters, each in its own syntax.
            url = plain.split("[;?]", 2)[0];
            String scheme = url.split(":", 2)[0];
            proto = scheme.equals("postgresql") ? "postgres" : scheme.isEmpty() ? "jdbc" : scheme;
            proxy = (Connection) proxy(Connection.class, this);
        }

        @Override
        public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
            if (method.getName().equals("equals")) {
                return self == arguments[0];
            }
            Object result = pass(connection, method, arguments);
            if (!(result instanceof Statement statement)) {
                return result;
            }
            String sql = arguments != null && arguments[0] instanceof String text ? text : null;
            Class<?> type = result instanceof CallableStatement ? CallableStatement.class
                    : result instanceof PreparedStatement ? PreparedStatement.class : Statement.class;
            return proxy(type, new Running(this, statement, sql));
        }
    }

    /** A statement that is captured each time it runs. */
    private static final class Running implements InvocationHandler {
        private final Session session;
        private final Statement statement;
        /** What was prepared; null where each run brings its own. */
        private final String prepared;
        private final List<String> batch = new ArrayList<>();

        Running(Session session, Statement statement, String prepared) {
            this.session = session;
            this.statement = statement;
            this.prepared = prepared;
        }

        @Override
        public Object invoke(Object self, Method method, Object[] arguments) throws Throwable {
            String text = arguments != null && arguments.length > 0 && arguments[0] instanceof String given ? given : null;
            switch (method.getName()) {
                case "equals":
                    return self == arguments[0];
                case "getConnection":
                    return session.proxy;
                case "addBatch":
                    if (text != null) {
                        batch.add(text);
                    }
                    break;
                case "clearBatch":
                    batch.clear();
                    break;
                case "executeBatch", "executeLargeBatch":
                    String all = prepared != null ? prepared : String.join(";\n", batch);
                    batch.clear();
                    return run(all, method, arguments);
                case "execute", "executeQuery", "executeUpdate", "executeLargeUpdate":
                    return run(text != null ? text : prepared, method, arguments);
                default:
            }
            return pass(statement, method, arguments);
        }

        private Object run(String sql, Method method, Object[] arguments) throws Throwable {
            try (Capture capture = session.emitter.begin(session.proto, "query", session.url).start()) {
                capture.requestBody(sql == null ? "" : sql);
                try {
                    Object result = pass(statement, method, arguments);
                    capture.respond(SUCCESS);
                    capture.responseBody(changed(result));
                    capture.finish();
                    return result;
                } catch (SQLException fault) {
                    capture.respond(fault.getSQLState() == null ? "HY000" : fault.getSQLState());
                    // Its message may hold a parameter's value.
                    capture.error(fault.getClass().getSimpleName());
                    throw fault;
                }
            }
        }

        /** How many rows were changed, as JSON; nothing of a query. */
        private static String changed(Object result) {
            if (result instanceof Number count) {
                return "{\"changed\":" + count + "}";
            }
            if (result instanceof int[] counts) {
                return "{\"changed\":" + Arrays.toString(counts).replace(" ", "") + "}";
            }
            if (result instanceof long[] counts) {
                return "{\"changed\":" + Arrays.toString(counts).replace(" ", "") + "}";
            }
            return "";
        }
    }
}
