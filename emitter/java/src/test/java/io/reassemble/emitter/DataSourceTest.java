package io.reassemble.emitter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import javax.sql.DataSource;
import org.h2.jdbcx.JdbcDataSource;
import org.junit.jupiter.api.Test;

class DataSourceTest {
    @Test
    void statementsAreCapturedWithoutParametersAndRows() throws Exception {
        JdbcDataSource database = new JdbcDataSource();
        database.setURL("jdbc:h2:mem:shop;DB_CLOSE_DELAY=-1;PASSWORD=s3cret");
        Captured.Kept kept = Captured.keep(Emitter.builder().service("shop"));
        DataSource source = CaptureDataSource.wrap(database, kept.emitter);
        CaptureContext inbound = new CaptureContext("inbound", TraceParent.make());
        try (Connection connection = source.getConnection(); Statement statement = connection.createStatement()) {
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
        kept.emitter.close();
        List<Captured.One> all = kept.now().captures;
        assertEquals(
                List.of("create table item (name varchar primary key)", "insert into item values (?)", "insert into item values (?)",
                        "insert into item values (?)", "select count(*) from item"),
                all.stream().map(one -> one.req.text()).toList());
        assertEquals(List.of("", "{\"changed\":1}", "{\"changed\":[1,1]}", "", ""), all.stream().map(one -> one.res.text()).toList());
        assertEquals(List.of("00000", "00000", "00000", "23505", "00000"), all.stream().map(one -> one.res.head.get("status")).toList());
        assertEquals("JdbcSQLIntegrityConstraintViolationException", all.get(3).res.error());
        assertNull(all.get(2).res.error());
        assertEquals(List.of("h2", "h2:mem:shop", "inbound"),
                List.of(all.get(4).req.head.get("proto"), all.get(4).url(), all.get(4).req.head.get("parent")));
        assertTrue(!kept.text().contains("s3cret") && !kept.text().contains("parameter-"));
    }
}
