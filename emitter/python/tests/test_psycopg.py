"""Statements on a real PostgreSQL: POSTGRES_URL names one."""

import asyncio
import os

import pytest

psycopg = pytest.importorskip("psycopg")

from reassemble_emitter.psycopg import capture  # noqa: E402

pytestmark = pytest.mark.skipif(not os.environ.get("POSTGRES_URL"), reason="POSTGRES_URL does not name a server")


def calls(emitter, log):
    emitter.shutdown()
    return sorted(log.exchanges(), key=lambda e: e.req.head["n"])


def test_statements_and_rows_are_captured(make, log):
    emitter = make()
    with capture(psycopg.connect(os.environ["POSTGRES_URL"]), emitter) as connection:
        rows = connection.execute("select %(a)s::int as a, %(password)s as password, null as b", {"a": 7, "password": "s3cret"}).fetchall()
        assert rows == [(7, "s3cret", None)]
        connection.execute("create temporary table t (a int)")
        with connection.cursor() as cursor:
            cursor.executemany("insert into t values (%s)", [(1,), (2,)])
            cursor.execute(psycopg.sql.SQL("select a from {} order by a").format(psycopg.sql.Identifier("t")))
            assert cursor.fetchone() == (1,) and cursor.fetchall() == [(2,)]
            assert cursor.execute("select 1 where false").fetchall() == []
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select * from nowhere")
    first, create, insert, select, nothing, failed = calls(emitter, log)
    assert (first.req.head["proto"], first.req.head["method"], first.req.head["dir"]) == ("postgres", "query", "out")
    assert first.req.head["url"].startswith("postgres://") and "@" not in first.req.head["url"]
    assert b'"password": "[redacted]"' in first.req.body and b"s3cret" not in log.path.read_bytes()
    assert first.res.head["status"] == "00000" and first.res.body == b'[{"a":"7","password":"[redacted]","b":null}]'
    assert create.res.body == insert.res.body == b"" and insert.req.body.endswith(b'"parameters": [[1], [2]]}')
    assert select.req.body == b'{"statement": "select a from \\"t\\" order by a"}'
    assert select.res.body == b'[{"a":"1"},{"a":"2"}]' and nothing.res.body == b"[]"
    assert (failed.res.head["status"], failed.res.tail["error"]) == ("42P01", "UndefinedTable")


def test_many_rows_are_left_out(make, log):
    emitter = make(redact_buffer=1000)
    with capture(psycopg.connect(os.environ["POSTGRES_URL"]), emitter) as connection:
        assert len(connection.execute("select generate_series(1, 1000) as n").fetchall()) == 1000
    (call,) = calls(emitter, log)
    assert call.res.body == b"" and (call.res.tail["error"], call.res.tail["truncated"]) == ("redact_buffer", True)


def test_an_asynchronous_connection(make, log):
    emitter = make()

    async def ask():
        async with await psycopg.AsyncConnection.connect(os.environ["POSTGRES_URL"]) as connection:
            capture(connection, emitter)
            return await (await connection.execute("select 'é' as name")).fetchone()

    assert asyncio.run(ask()) == ("é",)
    (call,) = calls(emitter, log)
    assert call.res.body.decode() == '[{"name":"é"}]'
