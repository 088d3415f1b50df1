package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.StringReader;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.Blob;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.JDBCType;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.UnaryOperator;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.postgresql.util.PGobject;

class DataSourceTest {
    private Captured.Kept kept;
    private Connection connection;

    @AfterEach
    void disconnect() throws SQLException {
        if (connection != null) {
            connection.close();
        }
        if (kept != null) {
            kept.emitter.close();
        }
    }

    /** A database of its own. */
    private static JdbcDataSource database() {
        JdbcDataSource database = new JdbcDataSource();
        database.setURL("jdbc:h2:mem:" + UUID.randomUUID() + ";DB_CLOSE_DELAY=-1");
        return database;
    }

    private void connect(EmitterBuilder builder) throws SQLException {
        kept = Captured.keep(builder.service("shop"));
        connection = CaptureDataSource.wrap(database(), kept.emitter).getConnection();
    }

    private void connect() throws SQLException {
        connect(Emitter.builder());
    }

    /** What was captured of statements that begin so. */
    private List<Captured.One> captured(String start) throws InterruptedException {
        assertTrue(kept.emitter.flush(Captured.PATIENCE));
        return kept.now().captures.stream().filter(one -> one.req.text().startsWith("{\"statement\":\"" + start)).toList();
    }

    private Captured.One one(String start) throws InterruptedException {
        List<Captured.One> all = captured(start);
        assertEquals(1, all.size(), kept.text());
        return all.get(0);
    }

    @Test
    void statementsAreCapturedWithParametersAndRows() throws Exception {
        JdbcDataSource database = new JdbcDataSource();
        database.setURL("jdbc:h2:mem:shop;DB_CLOSE_DELAY=-1;PASSWORD=s3cret");
        kept = Captured.keep(Emitter.builder().service("shop"));
        DataSource source = CaptureDataSource.wrap(database, kept.emitter);
        CaptureContext inbound = new CaptureContext("inbound", TraceParent.make());
        connection = source.getConnection();
        try (Statement statement = connection.createStatement()) {
            assertSame(connection, statement.getConnection());
            assertTrue(connection.isWrapperFor(org.h2.jdbc.JdbcConnection.class) && connection.equals(connection));
            statement.execute("create table item (name varchar primary key)");
            try (PreparedStatement insert = connection.prepareStatement("insert into item values (?)")) {
                insert.setString(1, "parameter-1");
                assertEquals(1, insert.executeUpdate());
                for (int at = 2; at < 4; at++) {
                    insert.setString(1, "parameter-" + at);
                    insert.addBatch();
                }
                assertEquals(2, insert.executeBatch().length);
                insert.setString(1, "parameter-1");
                assertThrows(SQLException.class, insert::executeUpdate);
            }
            inbound.call(() -> {
                try (ResultSet rows = statement.executeQuery("select count(*) from item")) {
                    assertTrue(rows.next());
                    assertEquals(3, rows.getInt(1));
                    return null;
                }
            });
        }
        assertTrue(kept.emitter.flush(Captured.PATIENCE));
        List<Captured.One> all = kept.now().captures;
        String insert = "{\"statement\":\"insert into item values (?)\",\"parameters\":";
        assertEquals(
                List.of("{\"statement\":\"create table item (name varchar primary key)\"}", insert + "[\"parameter-1\"]}",
                        insert + "[[\"parameter-2\"],[\"parameter-3\"]]}", insert + "[\"parameter-1\"]}",
                        "{\"statement\":\"select count(*) from item\"}"),
                all.stream().map(one -> one.req.text()).toList());
        assertEquals(
                List.of("{\"rows_affected\":0}", "{\"rows_affected\":1}", "{\"rows_affected\":[1,1]}", "", "{\"COUNT(*)\":3}\n"),
                all.stream().map(one -> one.res.text()).toList());
        assertEquals(List.of("00000", "00000", "00000", "23505", "00000"), all.stream().map(one -> one.res.head.get("status")).toList());
        assertEquals("JdbcSQLIntegrityConstraintViolationException", all.get(3).res.error());
        assertNull(all.get(2).res.error());
        assertEquals(List.of("h2", "h2:mem:shop", "inbound"),
                List.of(all.get(4).req.head.get("proto"), all.get(4).url(), all.get(4).req.head.get("parent")));
        assertEquals(List.of("application/json", "application/json", "application/x-ndjson"),
                List.of(all.get(4).req.header("content-type"), all.get(1).res.header("content-type"), all.get(4).res.header("content-type")));
        assertFalse(kept.text().contains("s3cret"));
    }

    @Test
    void parametersAreToldAsTheyWereWhenTheyWereSet() throws Exception {
        connect();
        byte[] bytes = {1, (byte) 0xAB};
        Timestamp moment = Timestamp.valueOf("2026-01-02 03:04:05.6");
        try (PreparedStatement all = connection.prepareStatement("select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?")) {
            all.setString(1, "a\"b");
            all.setInt(2, -7);
            all.setLong(3, Long.MAX_VALUE);
            all.setDouble(4, Double.NaN);
            all.setFloat(5, 1.5f);
            all.setBoolean(6, true);
            all.setNull(7, Types.VARCHAR);
            all.setBigDecimal(8, new BigDecimal("12.340"));
            all.setDate(9, Date.valueOf("2026-01-02"));
            all.setTimestamp(10, moment);
            all.setBytes(11, bytes);
            all.setObject(12, LocalDate.of(2026, 1, 2), JDBCType.DATE);
            all.setObject(13, UUID.fromString("00000000-0000-0000-0000-000000000001"));
            all.setObject(14, null, Types.INTEGER);
            bytes[0] = 9;
            moment.setTime(0);
            all.executeQuery().close();
            all.clearParameters();
            assertThrows(SQLException.class, all::executeQuery);
        }
        List<Captured.One> runs = captured("select ?");
        assertEquals(
                "{\"statement\":\"select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?\",\"parameters\":[\"a\\\"b\",-7,9223372036854775807,\"NaN\",1.5,true,"
                        + "null,12.340,\"2026-01-02\",\"2026-01-02 03:04:05.6\",\"\\\\x01ab\",\"2026-01-02\","
                        + "\"00000000-0000-0000-0000-000000000001\",null]}",
                runs.get(0).req.text());
        assertEquals("{\"statement\":\"select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?\"}", runs.get(1).req.text());
        assertEquals(List.of("90012", "JdbcSQLDataException"), List.of(runs.get(1).res.head.get("status"), runs.get(1).res.error()));
    }

    @Test
    void whatCanBeReadButOnceIsToldByItsType() throws Exception {
        connect();
        Blob blob = connection.createBlob();
        blob.setBytes(1, new byte[] {1, 2});
        try (Statement statement = connection.createStatement()) {
            statement.execute("create table file (id int, data blob, notes clob, marks varchar array)");
        }
        Array marks = connection.createArrayOf("varchar", new Object[] {"a", null, "b"});
        try (PreparedStatement insert = connection.prepareStatement("insert into file values (?, ?, ?, ?)")) {
            insert.setInt(1, 1);
            insert.setBinaryStream(2, new ByteArrayInputStream("streamed".getBytes(StandardCharsets.UTF_8)));
            insert.setCharacterStream(3, new StringReader("read"), 4);
            insert.setArray(4, marks);
            assertEquals(1, insert.executeUpdate());
            insert.setInt(1, 2);
            insert.setBlob(2, blob);
            insert.setClob(3, new StringReader("more"));
            insert.setObject(4, new Object[] {"c", "d"});
            assertEquals(1, insert.executeUpdate());
        }
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("select data, notes, notes as text, marks from file order by id")) {
            assertTrue(rows.next());
            try (InputStream data = rows.getBinaryStream(1)) {
                assertEquals("streamed", new String(data.readAllBytes(), StandardCharsets.UTF_8));
            }
            assertEquals("read", rows.getClob("notes").getSubString(1, 10));
            assertEquals("read", rows.getString(3));
            assertArrayEquals(new Object[] {"a", null, "b"}, (Object[]) rows.getArray(4).getArray());
            assertTrue(rows.next());
            assertArrayEquals(new byte[] {1, 2}, rows.getBytes("data"));
            assertEquals("more", rows.getString(2));
            assertArrayEquals(new String[] {"c", "d"}, rows.getObject(4, String[].class));
        }
        List<String> asked = captured("insert").stream().map(one -> one.req.text().replaceFirst(".*\"parameters\":", "")).toList();
        assertEquals(
                List.of("[1,\"[java.io.InputStream]\",\"[java.io.Reader]\",[\"a\",null,\"b\"]]}",
                        "[2,\"[java.sql.Blob]\",\"[java.io.Reader]\",[\"c\",\"d\"]]}"),
                asked);
        assertEquals(
                "{\"DATA\":\"[java.io.InputStream]\",\"NOTES\":\"[java.sql.Clob]\",\"TEXT\":\"read\",\"MARKS\":\"[java.sql.Array]\"}\n"
                        + "{\"DATA\":\"\\\\x0102\",\"NOTES\":\"more\",\"MARKS\":[\"c\",\"d\"]}\n",
                one("select data").res.text());
    }

    @Test
    void rowsAreWhatTheAppReadOfThem() throws Exception {
        connect();
        String query = "select x, nullif(x, 2) as n, 'v' || x as name from system_range(1, 4)";
        try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY);
                ResultSet rows = statement.executeQuery(query)) {
            assertSame(statement, rows.getStatement());
            assertSame(rows, statement.getResultSet());
            assertTrue(rows.next() && rows.next());
            assertEquals(0, rows.getInt("n"));
            assertTrue(rows.wasNull());
            assertEquals("v2", rows.getObject("NaMe"));
            assertFalse(rows.wasNull());
            assertTrue(rows.previous());
            assertEquals(1, rows.getLong(1));
            assertTrue(rows.last());
            assertEquals(4, rows.getRow());
            rows.beforeFirst();
            assertTrue(rows.absolute(3));
            assertThrows(SQLException.class, () -> rows.getInt("nowhere"));
            assertThrows(SQLException.class, () -> rows.getInt("name"));
            assertEquals("3", rows.getString(1));
        }
        assertEquals("{}\n{\"N\":null,\"NAME\":\"v2\"}\n{\"X\":1}\n{\"X\":\"3\"}\n", one("select x, nullif").res.text());
    }

    @Test
    void whatIsClosedEarlyEndsWithWhatWasRead() throws Exception {
        connect();
        try (Statement statement = connection.createStatement()) {
            ResultSet closed = statement.executeQuery("select x as a from system_range(1, 100)");
            assertTrue(closed.next() && closed.getInt(1) == 1);
            closed.close();
            ResultSet left = statement.executeQuery("select x as b from system_range(1, 100)");
            assertTrue(left.next() && left.getInt(1) == 1);
            statement.executeQuery("select x as c from system_range(1, 100)").next();
        }
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery("select x as d from system_range(1, 100)");
        assertTrue(rows.next() && rows.getInt(1) == 1);
        connection.close();
        assertEquals("{\"A\":1}\n", one("select x as a").res.text());
        assertEquals("{\"B\":1}\n", one("select x as b").res.text());
        assertEquals("{}\n", one("select x as c").res.text());
        for (String column : List.of("a", "b", "c", "d")) {
            Captured.Side response = one("select x as " + column).res;
            assertTrue(response.whole && !response.truncated() && response.error() == null, column);
        }
    }

    @Test
    void rowsGoOnWhereTheEmitterHasEnded() throws Exception {
        connect();
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("select x from system_range(1, 3)")) {
            assertTrue(rows.next());
            kept.emitter.close();
            assertEquals(1, rows.getInt(1));
            assertTrue(rows.next() && rows.next());
            assertEquals(3, rows.getInt("x"));
            assertFalse(rows.next());
        }
        Captured.Side response = kept.now().captures.get(0).res;
        assertEquals(List.of("", "shutdown", true), List.of(response.text(), response.error(), response.truncated()));
    }

    @Test
    void rowsOfAPlainExecuteAreCapturedOnceTheyAreAskedFor() throws Exception {
        connect();
        try (PreparedStatement select = connection.prepareStatement("select cast(? as int) as a")) {
            select.setInt(1, 5);
            assertTrue(select.execute());
            try (ResultSet rows = select.getResultSet()) {
                assertTrue(rows.next());
                assertEquals(5, rows.getInt("a"));
                assertFalse(rows.next());
            }
            assertFalse(select.getMoreResults());
            assertEquals(-1, select.getUpdateCount());
        }
        try (Statement statement = connection.createStatement()) {
            assertFalse(statement.execute("create table item (id identity, name varchar)"));
            assertFalse(statement.execute("insert into item (name) values ('a'), ('b')", Statement.RETURN_GENERATED_KEYS));
            assertEquals(2, statement.getUpdateCount());
            try (ResultSet keys = statement.getGeneratedKeys()) {
                assertSame(statement, keys.getStatement());
                assertTrue(keys.next());
                assertEquals(1, keys.getLong(1));
            }
        }
        assertEquals("{\"A\":5}\n", one("select cast").res.text());
        assertEquals("{\"rows_affected\":2}", one("insert").res.text());
    }

    @Test
    void namedParametersAndColumnsAreRedactedByName() throws Exception {
        connect();
        try (CallableStatement call = connection.prepareCall("select ? as password, ? as name")) {
            call.setString(1, "hunter2");
            call.setString(2, "tea");
            ResultSet rows = call.executeQuery();
            assertTrue(rows.next());
            assertEquals("hunter2", rows.getString("password"));
            assertEquals("hunter2", rows.getString(1));
            assertEquals("tea", rows.getString(2));
            rows.close();
        }
        Captured.One one = one("select ? as password");
        assertEquals("{\"PASSWORD\":\"[redacted]\",\"NAME\":\"tea\"}\n", one.res.text());
    }

    /** A driver that takes all and gives nothing but what is here said. */
    private static <T> T driver(Class<T> type, Map<String, Object> answers) {
        return type.cast(Proxy.newProxyInstance(DataSourceTest.class.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
            Object answer = answers.get(method.getName());
            Class<?> result = method.getReturnType();
            return answer != null ? answer
                    : result == boolean.class ? (Object) false : result == int.class ? (Object) 0 : null;
        }));
    }

    @Test
    void parametersWithNamesAreAnObjectAndRedacted() throws Exception {
        kept = Captured.keep(Emitter.builder().service("shop"));
        Connection inner = driver(Connection.class, Map.of(
                "getMetaData", driver(DatabaseMetaData.class, Map.of("getURL", "jdbc:odd:db")),
                "prepareCall", driver(CallableStatement.class, Map.of("executeUpdate", 1, "executeBatch", new int[] {1, 1}))));
        try (Connection named = CaptureDataSource.wrap(driver(DataSource.class, Map.of("getConnection", inner)), kept.emitter).getConnection();
                CallableStatement call = named.prepareCall("{call enter(name, api_key, ?)}")) {
            call.setString("name", "a");
            call.setString("api_key", "s3cret");
            call.setInt(1, 7);
            assertEquals(1, call.executeUpdate());
            call.addBatch();
            call.clearParameters();
            call.setNull("name", Types.VARCHAR);
            call.addBatch();
            call.executeBatch();
        }
        String start = "{\"statement\":\"{call enter(name, api_key, ?)}\",\"parameters\":";
        String first = "{\"1\":7,\"name\":\"a\",\"api_key\":\"[redacted]\"}";
        assertEquals(List.of(start + first + '}', start + '[' + first + ",{\"name\":null}]}"),
                captured("{call").stream().map(one -> one.req.text()).toList());
    }

    @Test
    void aDriverMayGiveTheSameRowsAgainForAnotherRun() throws Exception {
        kept = Captured.keep(Emitter.builder().service("shop"));
        ResultSetMetaData about = driver(ResultSetMetaData.class, Map.of("getColumnCount", 1, "getColumnLabel", "a"));
        ResultSet rows = driver(ResultSet.class, Map.of("getMetaData", about, "next", true, "getInt", 4));
        Statement reusing = driver(Statement.class, Map.of("executeQuery", rows, "getResultSet", rows));
        Connection inner = driver(Connection.class, Map.of("createStatement", reusing));
        try (Connection same = CaptureDataSource.wrap(driver(DataSource.class, Map.of("getConnection", inner)), kept.emitter).getConnection();
                Statement statement = same.createStatement()) {
            for (int run = 0; run < 2; run++) {
                ResultSet asked = statement.executeQuery("select a");
                assertSame(asked, statement.getResultSet());
                assertTrue(asked.next());
                assertEquals(4, asked.getInt(1));
            }
        }
        assertEquals(List.of("{\"a\":4}\n", "{\"a\":4}\n"), captured("select a").stream().map(one -> one.res.text()).toList());
    }

    @Test
    void aStatementThatFailsIsAnErrorWhateverIsSampled() throws Exception {
        connect(Emitter.builder().sampleRate(0).errors(CaptureErrors.ALWAYS));
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("select 1").close();
            assertThrows(SQLException.class, () -> statement.executeQuery("select from nowhere at all"));
        }
        assertEquals("42S04", one("select from").res.head.get("status"));
        assertEquals(1, kept.now().captures.size());
    }

    @Test
    void aBatchOfStatementsIsCut() throws Exception {
        connect(Emitter.builder().redactBodies(false).bodyLimit(1024));
        try (Statement statement = connection.createStatement()) {
            for (int at = 0; at < 100; at++) {
                statement.addBatch("create table item" + at + " (name varchar)");
            }
            assertEquals(100, statement.executeBatch().length);
        }
        Captured.Side request = one("create table item0 (name varchar);\\ncreate").req;
        assertEquals(List.of(1024, true), List.of(request.text().length(), request.truncated()));
    }

    @Test
    void whatIsLongerThanMayBeLookedThroughIsLeftOutAndNotMade() throws Exception {
        connect(Emitter.builder().redactBuffer(1024));
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("select x from system_range(1, 1000)")) {
            for (int at = 1; rows.next(); at++) {
                assertEquals(at, rows.getInt(1));
            }
        }
        try (PreparedStatement select = connection.prepareStatement("select length(?)")) {
            select.setString(1, "x".repeat(100_000));
            ResultSet rows = select.executeQuery();
            assertTrue(rows.next() && rows.getInt(1) == 100_000);
            for (int at = 0; at < 1000; at++) {
                select.setBytes(1, new byte[2048]);
                select.addBatch();
            }
            assertThrows(SQLException.class, select::executeBatch);
        }
        Captured.Side rows = one("select x from").res;
        assertEquals(List.of("", "redact_buffer", true), List.of(rows.text(), rows.error(), rows.truncated()));
        assertTrue(kept.emitter.flush(Captured.PATIENCE));
        List<Captured.Side> asked = kept.now().captures.stream().map(one -> one.req).filter(Captured.Side::truncated).toList();
        assertEquals(2, asked.size());
        for (Captured.Side request : asked) {
            assertEquals(List.of("", "redact_buffer"), List.of(request.text(), request.error()));
        }
    }

    @Test
    void withoutRedactionTheStartOfWhatIsTooLongIsCaptured() throws Exception {
        connect(Emitter.builder().redactBodies(false).bodyLimit(1024));
        try (PreparedStatement select = connection.prepareStatement("select length(?) from system_range(1, 1000)")) {
            select.setString(1, "x".repeat(100_000));
            try (ResultSet rows = select.executeQuery()) {
                while (rows.next()) {
                    assertEquals(100_000, rows.getInt(1));
                }
            }
        }
        Captured.One one = one("select length");
        assertEquals(List.of(1024, true, 1024, true),
                List.of(one.req.text().length(), one.req.truncated(), one.res.text().length(), one.res.truncated()));
        assertTrue(one.res.text().startsWith("{\"CHAR_LENGTH(?1)\":100000}\n{"), one.res.text());
        assertNull(one.res.error());
    }

    /** Something whose calls are written down, as are those of what it gives. */
    private static Object watched(Object target, List<String> calls, UnaryOperator<String> fault) {
        for (Class<?> type : List.of(DataSource.class, Connection.class, PreparedStatement.class, Statement.class, ResultSet.class)) {
            if (type.isInstance(target)) {
                return Proxy.newProxyInstance(DataSourceTest.class.getClassLoader(), new Class<?>[] {type}, (self, method, arguments) -> {
                    calls.add(type.getSimpleName() + '.' + method.getName());
                    String state = fault.apply(calls.get(calls.size() - 1));
                    if (state != null) {
                        throw new SQLException("it holds s3cret", state);
                    }
                    try {
                        return watched(method.invoke(target, arguments), calls, fault);
                    } catch (InvocationTargetException thrown) {
                        throw thrown.getCause();
                    }
                });
            }
        }
        return target;
    }

    private static void useAll(DataSource source) throws SQLException {
        try (Connection connection = source.getConnection()) {
            try (PreparedStatement select = connection.prepareStatement("select x, ? as a, null as n from system_range(1, 3)")) {
                select.setFetchSize(1);
                select.setObject(1, "p", Types.VARCHAR);
                try (ResultSet rows = select.executeQuery()) {
                    while (rows.next()) {
                        rows.getInt(1);
                        rows.getString("a");
                        rows.getLong("n");
                        rows.wasNull();
                    }
                }
                select.clearParameters();
                select.setObject(1, 2);
                select.execute();
                select.getResultSet().next();
                select.getMoreResults();
            }
            try (Statement statement = connection.createStatement()) {
                statement.addBatch("create table item (name varchar)");
                statement.executeBatch();
                statement.executeUpdate("insert into item values ('a')", Statement.RETURN_GENERATED_KEYS);
                statement.getGeneratedKeys().next();
                statement.execute("update item set name = 'b'");
                statement.getUpdateCount();
                statement.getUpdateCount();
            }
        }
    }

    @Test
    void driversAreAskedWhatTheAppAsksAndTheColumnsNames() throws Exception {
        List<String> plain = new ArrayList<>();
        useAll((DataSource) watched(database(), plain, call -> null));
        List<String> captured = new ArrayList<>();
        kept = Captured.keep(Emitter.builder().service("shop"));
        useAll(CaptureDataSource.wrap((DataSource) watched(database(), captured, call -> null), kept.emitter));
        kept.emitter.close();
        assertTrue(captured.remove("Connection.getMetaData"), "asked for the URL");
        assertTrue(captured.remove("ResultSet.getMetaData") && captured.remove("ResultSet.getMetaData"), "asked for the names of both results");
        assertEquals(plain, captured);
    }

    @Test
    void ownFaultsAndThoseOfADriverStayWhereTheyBelong() throws Exception {
        List<String> calls = new ArrayList<>();
        kept = Captured.keep(Emitter.builder().service("shop"));
        UnaryOperator<String> untold = call -> call.equals("ResultSet.getMetaData") ? "0A000" : null;
        try (Connection nameless = CaptureDataSource.wrap((DataSource) watched(database(), calls, untold), kept.emitter).getConnection();
                Statement statement = nameless.createStatement();
                ResultSet rows = statement.executeQuery("select 'a' as password")) {
            assertTrue(rows.next());
            assertEquals("a", rows.getString(1));
            assertThrows(SQLException.class, rows::getMetaData);
            assertFalse(rows.next());
        }
        UnaryOperator<String> broken = call -> call.equals("ResultSet.next") && calls.indexOf(call) < calls.size() - 1 ? "57014" : null;
        calls.clear();
        try (Connection breaking = CaptureDataSource.wrap((DataSource) watched(database(), calls, broken), kept.emitter).getConnection();
                Statement statement = breaking.createStatement();
                ResultSet rows = statement.executeQuery("select x from system_range(1, 3)")) {
            assertTrue(rows.next());
            assertEquals("57014", assertThrows(SQLException.class, rows::next).getSQLState());
        }
        Captured.One one = one("select 'a'");
        assertEquals(List.of("", "rows not captured", true), List.of(one.res.text(), one.res.error(), one.res.truncated()));
        one = one("select x from");
        assertEquals(List.of("00000", "SQLException 57014", true), List.of(one.res.head.get("status"), one.res.error(), one.res.truncated()));
        assertFalse(kept.text().contains("s3cret"));
    }

    @Test
    void valuesOfTheAppsOwnAreNotAskedWhatTheyAre() {
        kept = Captured.keep(Emitter.builder().service("shop"));
        SqlValues values = new SqlValues(kept.emitter.shared().settings);
        Object own = new Object() {
            @Override
            public String toString() {
                throw new AssertionError("asked");
            }
        };
        PGobject faulty = new PGobject() {
            @Override
            public String toString() {
                throw new IllegalStateException("asked");
            }
        };
        Object[] within = new Object[2];
        within[0] = within;
        within[1] = within;
        Bytes json = new Bytes(16);
        Object[] nested = {1, new int[] {2}};
        for (Object value : new Object[] {own, faulty, Types.class, new ArrayList<>(), nested, 'c', Thread.State.NEW, new java.util.Date(0)}) {
            values.put(json, values.kept(value));
            json.put((byte) '\n');
        }
        assertEquals(
                "\"[io.reassemble.emitter.DataSourceTest$1]\"\n\"[io.reassemble.emitter.DataSourceTest$2]\"\n\"[java.lang.Class]\"\n\"[java.util.ArrayList]\"\n"
                        + "[1,[2]]\n\"c\"\n\"NEW\"\n\"1970-01-01T00:00:00Z\"\n",
                new String(json.copy(), StandardCharsets.UTF_8));
        json.clear();
        values.put(json, within);
        assertTrue(values.isTooLong(json.length), "an array within itself ends");
    }

    @Test
    void whatIsSampledOutIsPassedOnAsItIs() throws Exception {
        connect(Emitter.builder().sampleRate(0));
        try (PreparedStatement select = connection.prepareStatement("select cast(? as int)")) {
            select.setInt(1, 3);
            try (ResultSet rows = select.executeQuery()) {
                assertSame(select, rows.getStatement());
                assertTrue(rows.next());
                assertEquals(3, rows.getInt(1));
                ResultSetMetaData about = rows.getMetaData();
                assertEquals(1, about.getColumnCount());
            }
            try (ResultSet again = select.executeQuery()) {
                assertNotSame(select, again);
            }
        }
        assertTrue(kept.emitter.flush(Captured.PATIENCE));
        assertEquals(List.of(), kept.now().captures);
    }

    private static String urlOf(String told) throws Exception {
        Captured.Kept kept = Captured.keep(Emitter.builder().service("shop"));
        Connection inner = driver(Connection.class, Map.of(
                "getMetaData", driver(DatabaseMetaData.class, Map.of("getURL", told)), "createStatement", driver(Statement.class, Map.of())));
        DataSource source = driver(DataSource.class, Map.of("getConnection", inner));
        try (Connection connection = CaptureDataSource.wrap(source, kept.emitter).getConnection();
                Statement statement = connection.createStatement()) {
            statement.executeUpdate("delete from item");
        }
        kept.emitter.close();
        assertFalse(kept.text().contains("s3"), kept.text());
        return kept.now().captures.get(0).url();
    }

    @Test
    void urlsAreToldWithoutWhatIsSecretInThem() throws Exception {
        assertEquals("postgresql://db:5432/shop", urlOf("jdbc:postgresql://db:5432/shop?user=a&password=s3@cret"));
        assertEquals("mysql://", urlOf("jdbc:mysql://a:s3;cr=t@db/shop"));
        assertEquals("mysql://db/shop", urlOf("jdbc:mysql://a:s3@cret@db/shop?password=s3"));
        assertEquals("oracle:thin://db:1521/shop", urlOf("jdbc:oracle:thin:a/s3cret@//db:1521/shop"));
        assertEquals("db2://db:50000/shop:", urlOf("jdbc:db2://db:50000/shop:password=s3;user=a;"));
        assertEquals("sqlserver://db:1433", urlOf("jdbc:sqlserver://db:1433;user=a;password=s3cret"));
        assertEquals("sqlserver://", urlOf("jdbc:sqlserver://db:1433;user=a;password=s3@cret"));
        assertEquals("mysql:loadbalance://(", urlOf("jdbc:mysql:loadbalance://(host=db,password=s3)/shop"));
        assertEquals("teradata://db/", urlOf("jdbc:teradata://db/PASSWORD=s3,USER=a"));
    }
}
