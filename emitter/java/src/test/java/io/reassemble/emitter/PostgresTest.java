package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayInputStream;
import java.math.BigDecimal;
import java.net.URI;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.postgresql.PGConnection;
import org.postgresql.ds.PGSimpleDataSource;
import org.postgresql.util.PGobject;

/** The wrapped data source in front of a real PostgreSQL. */
class PostgresTest {
    private Captured.Kept kept;
    private Connection connection;

    @BeforeEach
    void connect() throws SQLException {
        String given = System.getenv("POSTGRES_URL");
        assumeTrue(given != null && !given.isEmpty(), "POSTGRES_URL names no PostgreSQL, so none is asked");
        URI url = URI.create(given);
        PGSimpleDataSource database = new PGSimpleDataSource();
        database.setURL("jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath());
        database.setUser(url.getUserInfo());
        database.setPassword("s3cret");
        kept = Captured.keep(Emitter.builder().service("shop"));
        connection = CaptureDataSource.wrap(database, kept.emitter).getConnection();
        try (Statement statement = connection.createStatement()) {
            statement.execute("create temporary table item (name text primary key, price int)");
        }
    }

    @AfterEach
    void disconnect() throws SQLException {
        if (connection != null) {
            connection.close();
            kept.emitter.close();
        }
    }

    private long items() throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("select count(*) from item")) {
            assertTrue(rows.next());
            return rows.getLong(1);
        }
    }

    /** What was captured of statements that begin so. */
    private List<Captured.One> captured(String start) throws InterruptedException {
        assertTrue(kept.emitter.flush(Captured.PATIENCE));
        return kept.now().captures.stream().filter(one -> one.req.text().startsWith("{\"statement\":\"" + start)).toList();
    }

    private static String parameters(Captured.One one) {
        String text = one.req.text();
        int at = text.indexOf(",\"parameters\":");
        return at < 0 ? "" : text.substring(at + 14, text.length() - 1);
    }

    /** The parameters and the answer of each. */
    private static List<String> told(List<Captured.One> captures) {
        return captures.stream().map(one -> parameters(one) + ' ' + one.res.head.get("status") + ' ' + one.res.text()).toList();
    }

    @Test
    void preparedStatementsAndBatchesAreCapturedWithTheirParameters() throws Exception {
        try (PreparedStatement insert = connection.prepareStatement("insert into item values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
            insert.setString(1, "parameter-1");
            insert.setInt(2, 4711);
            assertFalse(insert.execute());
            assertEquals(1, insert.getUpdateCount());
            try (ResultSet keys = insert.getGeneratedKeys()) {
                assertTrue(keys.next());
                assertEquals("parameter-1", keys.getString(1));
            }
            for (int at = 2; at < 5; at++) {
                insert.setString(1, "parameter-" + at);
                insert.setInt(2, 4711);
                insert.addBatch();
            }
            assertArrayEquals(new int[] {1, 1, 1}, insert.executeBatch());
        }
        try (PreparedStatement update = connection.prepareStatement("update item set price = ?")) {
            update.setInt(1, 4712);
            assertEquals(4, update.executeLargeUpdate());
        }
        try (Statement statement = connection.createStatement()) {
            statement.addBatch("delete from item where price = 1");
            statement.addBatch("delete from item where price = 4712");
            assertArrayEquals(new int[] {0, 4}, statement.executeBatch());
        }
        assertEquals(
                List.of("[\"parameter-1\",4711] 00000 {\"rows_affected\":1}",
                        "[[\"parameter-2\",4711],[\"parameter-3\",4711],[\"parameter-4\",4711]] 00000 {\"rows_affected\":[1,1,1]}"),
                told(captured("insert into item values (?, ?)")));
        assertEquals(List.of("[4712] 00000 {\"rows_affected\":4}"), told(captured("update")));
        assertEquals(List.of(" 00000 {\"rows_affected\":[0,4]}"), told(captured("delete from item where price = 1;\\ndelete")));
        assertFalse(kept.text().contains("s3cret"));
    }

    @Test
    void transactionsAndTheirErrorsStayAsTheyAre() throws Exception {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            assertEquals(1, statement.executeUpdate("insert into item values ('a', 1)"));
            connection.commit();
            Savepoint before = connection.setSavepoint("before");
            SQLException twice = assertThrows(SQLException.class, () -> statement.executeUpdate("insert into item values ('a', 2)"));
            assertEquals("23505", twice.getSQLState());
            assertThrows(SQLException.class, () -> statement.executeQuery("select 1"));
            connection.rollback(before);
            statement.executeUpdate("insert into item values ('b', 2)");
            connection.rollback();
            assertThrows(SQLException.class, () -> statement.executeQuery("select from nowhere at all"));
            connection.rollback();
        }
        try (PreparedStatement insert = connection.prepareStatement("insert into item values (?, 3)")) {
            for (String name : List.of("c", "a", "d")) {
                insert.setString(1, name);
                insert.addBatch();
            }
            assertThrows(BatchUpdateException.class, insert::executeBatch);
        }
        connection.rollback();
        connection.setAutoCommit(true);
        assertEquals(1, items());
        assertEquals(List.of(" 00000 {\"rows_affected\":1}", " 23505 "), told(captured("insert into item values ('a'")));
        assertEquals(List.of(" 25P02 "), told(captured("select 1")));
        assertEquals(List.of(" 42601 "), told(captured("select from nowhere")));
        assertEquals(List.of("[[\"c\"],[\"a\"],[\"d\"]] 23505 "), told(captured("insert into item values (?, 3)")));
        assertEquals("BatchUpdateException", captured("insert into item values (?, 3)").get(0).res.error());
        assertEquals("PSQLException", captured("select 1").get(0).res.error());
    }

    @Test
    void boundedResultsAndCallsAndTheDriversOwnKeepWorking() throws Exception {
        connection.setAutoCommit(false);
        try (PreparedStatement series = connection.prepareStatement("select n from generate_series(1, ?) n")) {
            series.setInt(1, 1000);
            series.setFetchSize(10);
            series.setMaxRows(25);
            int count = 0;
            try (ResultSet rows = series.executeQuery()) {
                while (rows.next()) {
                    assertEquals(++count, rows.getInt(1));
                }
            }
            assertEquals(25, count);
        }
        try (CallableStatement call = connection.prepareCall("{? = call upper(?)}")) {
            call.registerOutParameter(1, Types.VARCHAR);
            call.setString(2, "parameter");
            call.execute();
            assertEquals("PARAMETER", call.getString(1));
        }
        try (Statement statement = connection.createStatement()) {
            assertTrue(statement.execute("select 1; update item set price = 2; select 3"));
            assertFalse(statement.getMoreResults());
            assertEquals(0, statement.getUpdateCount());
            assertTrue(statement.getMoreResults());
        }
        assertTrue(connection.unwrap(PGConnection.class).getBackendPID() > 0);
        Captured.One one = captured("select n from").get(0);
        assertEquals(List.of("postgres", "out", "query"), List.of(one.req.head.get("proto"), one.req.head.get("dir"), one.req.head.get("method")));
        assertTrue(one.url().startsWith("postgresql://127.0.0.1:"), one.url());
        assertEquals(1, captured("{? = call upper(?)}").size());
        assertEquals(1, captured("select 1; update").size());
        StringBuilder rows = new StringBuilder();
        for (int at = 1; at <= 25; at++) {
            rows.append("{\"n\":").append(at).append("}\n");
        }
        assertEquals(List.of("[1000] 00000 " + rows), told(captured("select n from")));
        assertEquals(List.of("[null,\"parameter\"] 00000 "), told(captured("{? = call")));
    }

    @Test
    void valuesOfAllTypesAreCapturedAsTheAppGivesAndGetsThem() throws Exception {
        byte[] bytes = {0, (byte) 0xFF};
        String query = "select ?::text as name, ?::int as n, ?::numeric as price, ?::bytea as data, ?::text[] as marks, ?::jsonb as doc, ?::uuid as id,"
                + " ?::date as day, ?::timestamptz as moment, ?::float8 as f, ?::int as nothing, ?::bytea as streamed";
        PGobject doc = new PGobject();
        doc.setType("jsonb");
        doc.setValue("{\"a\": 1}");
        OffsetDateTime moment = OffsetDateTime.parse("2026-01-02T03:04:05Z");
        UUID id = UUID.fromString("00000000-0000-0000-0000-000000000001");
        try (PreparedStatement select = connection.prepareStatement(query)) {
            select.setString(1, "tea");
            select.setInt(2, 5);
            select.setBigDecimal(3, new BigDecimal("1.50"));
            select.setBytes(4, bytes);
            select.setArray(5, connection.createArrayOf("text", new Object[] {"a", null}));
            select.setObject(6, doc);
            select.setObject(7, id);
            select.setObject(8, LocalDate.of(2026, 1, 2));
            select.setObject(9, moment, Types.TIMESTAMP_WITH_TIMEZONE);
            select.setDouble(10, Double.POSITIVE_INFINITY);
            select.setNull(11, Types.INTEGER);
            select.setBinaryStream(12, new ByteArrayInputStream(bytes));
            // Repeated, so that the driver turns to a prepared statement of the server and to binary values.
            for (int round = 0; round < 7; round++) {
                if (round > 0) {
                    select.setBinaryStream(12, new ByteArrayInputStream(bytes));
                }
                try (ResultSet rows = select.executeQuery()) {
                    assertTrue(rows.next());
                    assertEquals("tea", rows.getString("name"));
                    assertEquals(5, rows.getInt("n"));
                    assertEquals(new BigDecimal("1.50"), rows.getBigDecimal("price"));
                    assertArrayEquals(bytes, rows.getBytes("data"));
                    assertArrayEquals(new String[] {"a", null}, (String[]) rows.getArray("marks").getArray());
                    assertEquals("{\"a\": 1}", ((PGobject) rows.getObject("doc")).getValue());
                    assertEquals(id, rows.getObject("id"));
                    assertEquals(LocalDate.of(2026, 1, 2), rows.getObject("day", LocalDate.class));
                    assertEquals(moment, rows.getObject("moment", OffsetDateTime.class));
                    assertEquals(Double.POSITIVE_INFINITY, rows.getDouble("f"));
                    assertEquals(0, rows.getInt("nothing"));
                    assertTrue(rows.wasNull());
                    assertArrayEquals(bytes, rows.getBinaryStream("streamed").readAllBytes());
                    assertFalse(rows.next());
                }
            }
        }
        List<Captured.One> all = captured("select ?::text");
        assertEquals(7, all.size());
        for (Captured.One one : all) {
            assertEquals(
                    "[\"tea\",5,1.50,\"\\\\x00ff\",[\"a\",null],\"{\\\"a\\\": 1}\",\"" + id + "\",\"2026-01-02\",\"2026-01-02T03:04:05Z\","
                            + "\"Infinity\",null,\"[java.io.InputStream]\"]",
                    parameters(one));
            assertEquals(
                    "{\"name\":\"tea\",\"n\":5,\"price\":1.50,\"data\":\"\\\\x00ff\",\"marks\":\"[java.sql.Array]\",\"doc\":\"{\\\"a\\\": 1}\","
                            + "\"id\":\"" + id + "\",\"day\":\"2026-01-02\",\"moment\":\"2026-01-02T03:04:05Z\",\"f\":\"Infinity\",\"nothing\":null,"
                            + "\"streamed\":\"[java.io.InputStream]\"}\n",
                    one.res.text());
        }
    }

    @Test
    void ofSeveralResultsTheFirstIsCaptured() throws Exception {
        try (Statement statement = connection.createStatement()) {
            assertTrue(statement.execute("select 1 as a; update item set price = 2; select 3 as c"));
            ResultSet first = statement.getResultSet();
            assertSame(first, statement.getResultSet());
            assertTrue(first.next());
            assertFalse(statement.getMoreResults(Statement.KEEP_CURRENT_RESULT));
            assertEquals(0, statement.getUpdateCount());
            assertEquals(1, first.getInt(1));
            assertTrue(statement.getMoreResults());
            try (ResultSet third = statement.getResultSet()) {
                assertSame(statement, third.getStatement());
                assertTrue(third.next());
                assertEquals(3, third.getInt("c"));
            }
            assertFalse(statement.execute("update item set price = 3; select 4 as d"));
            assertEquals(0, statement.getUpdateCount());
            assertTrue(statement.getMoreResults());
            assertEquals(-1, statement.getUpdateCount());
            try (ResultSet second = statement.getResultSet()) {
                assertTrue(second.next());
                assertEquals(4, second.getInt("d"));
            }
        }
        assertEquals(List.of(" 00000 {\"a\":1}\n"), told(captured("select 1 as a")));
        assertEquals(List.of(" 00000 {\"rows_affected\":0}"), told(captured("update item set price = 3")));
    }

    @Test
    void ofStreamedRowsThoseAreCapturedThatWereRead() throws Exception {
        connection.setAutoCommit(false);
        try (PreparedStatement series = connection.prepareStatement("select n, 6 / (n - 5) as share from generate_series(1, 1000000) n")) {
            series.setFetchSize(2);
            try (ResultSet rows = series.executeQuery()) {
                assertTrue(rows.next() && rows.next() && rows.next());
                assertEquals(3, rows.getInt(1));
                assertEquals(-3, rows.getInt("share"));
                assertTrue(rows.next());
                assertEquals("22012", assertThrows(SQLException.class, rows::next).getSQLState());
            }
            connection.rollback();
            series.setMaxRows(2);
            assertTrue(series.execute());
            try (ResultSet rows = series.getResultSet()) {
                assertSame(series, rows.getStatement());
                assertTrue(rows.next());
                assertEquals("1", rows.getObject(1).toString());
            }
            assertEquals(-1, series.getUpdateCount());
        }
        List<Captured.One> all = captured("select n, 6");
        assertEquals(List.of("", "PSQLException 22012", true), List.of(all.get(0).res.text(), all.get(0).res.error(), all.get(0).res.truncated()));
        assertEquals("{\"n\":1}\n", all.get(1).res.text());
        assertFalse(all.get(1).res.truncated());
    }

    @Test
    void secretsInColumnsAndCursorsAndUpdatesOfRowsStayAsTheyAre() throws Exception {
        try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
            statement.executeUpdate("insert into item values ('a', 1), ('b', 2)");
            try (ResultSet rows = statement.executeQuery("select name, price from item order by name")) {
                assertTrue(rows.next());
                rows.updateInt(2, 7);
                rows.updateRow();
                rows.moveToInsertRow();
                rows.updateString(1, "c");
                rows.insertRow();
                rows.moveToCurrentRow();
                assertEquals(7, rows.getInt("PRICE"));
                assertTrue(rows.relative(1));
                assertEquals("b", rows.getString(1));
            }
            assertEquals(3, items());
            try (ResultSet rows = statement.executeQuery("select name as api_key, name as password, price from item order by name")) {
                assertTrue(rows.next());
                assertEquals("a", rows.getString(1));
                assertEquals("a", rows.getString("password"));
                assertEquals("a", rows.getString("PassWord"));
                assertEquals(7, rows.getObject("price"));
            }
        }
        assertEquals("{}\n{\"price\":7}\n{\"name\":\"b\"}\n", captured("select name, price").get(0).res.text());
        assertEquals(
                "{\"api_key\":\"[redacted]\",\"password\":\"[redacted]\",\"price\":7}\n", captured("select name as api_key").get(0).res.text());
    }
}
