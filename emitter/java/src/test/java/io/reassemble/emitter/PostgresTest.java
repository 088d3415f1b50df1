package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

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
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.postgresql.PGConnection;
import org.postgresql.ds.PGSimpleDataSource;

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
        return kept.now().captures.stream().filter(one -> one.req.text().startsWith(start)).toList();
    }

    private static List<String> told(List<Captured.One> captures) {
        return captures.stream().map(one -> one.res.head.get("status") + " " + one.res.text()).toList();
    }

    @Test
    void preparedStatementsAndBatchesAreCapturedWithoutTheirParameters() throws Exception {
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
        assertEquals(List.of("00000 ", "00000 {\"changed\":[1,1,1]}"), told(captured("insert into item values (?, ?)")));
        assertEquals(List.of("00000 {\"changed\":4}"), told(captured("update")));
        assertEquals(List.of("00000 {\"changed\":[0,4]}"), told(captured("delete from item where price = 1;\ndelete")));
        assertFalse(kept.text().contains("parameter-") || kept.text().contains("s3cret"));
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
        assertEquals(List.of("00000 {\"changed\":1}", "23505 "), told(captured("insert into item values ('a'")));
        assertEquals(List.of("25P02 "), told(captured("select 1")));
        assertEquals(List.of("42601 "), told(captured("select from nowhere")));
        assertEquals(List.of("23505 "), told(captured("insert into item values (?, 3)")));
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
        assertFalse(kept.text().contains("arameter") || kept.text().contains("PARAMETER"));
    }
}
