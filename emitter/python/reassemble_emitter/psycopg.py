"""Captures what a service asks of PostgreSQL through psycopg 3.

``connection = capture(psycopg.connect(…), emitter)``, of asynchronous connections too. A capture's request is ``{"statement": …, "parameters": …}``, its response
the rows as objects by the names of their columns, so that what is listed as a secret is redacted there as in any JSON. Rows are captured as the server sent
them, as text; those of server-side cursors and of ``COPY`` are not.
"""

import json
from typing import Any, Iterable, Optional, TypeVar, Union

import psycopg
from psycopg.sql import Composable

from .capture import Capture, describe
from .emitter import Emitter
from .http import harmless
from .settings import Settings

_Connection = TypeVar("_Connection", bound=Union["psycopg.Connection[Any]", "psycopg.AsyncConnection[Any]"])
_JSON = (("content-type", "application/json"),)
_SUCCESS = "00000"


def capture(connection: _Connection, emitter: Emitter) -> _Connection:
    """Has what a connection's new cursors execute captured; gives the same connection."""
    mixin = _AsyncCaptured if isinstance(connection, psycopg.AsyncConnection) else _Captured
    cursor = type("CapturedCursor", (mixin, connection.cursor_factory), {"_emitter": emitter})
    connection.cursor_factory = cursor
    return connection


class _Captured:
    """A cursor whose statements and rows are captured."""

    _emitter: Emitter

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        begun = _begin(self._emitter, self, query, params)
        try:
            result = super().execute(query, params, **options)  # type: ignore[misc]
        except BaseException as fault:
            _fail(begun, fault)
            raise
        _answer(begun, self, self._emitter)
        return result

    def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        begun = _begin(self._emitter, self, query, params_seq)
        try:
            super().executemany(query, params_seq, **options)  # type: ignore[misc]
        except BaseException as fault:
            _fail(begun, fault)
            raise
        _answer(begun, self, self._emitter)


class _AsyncCaptured:
    """As :class:`_Captured`, of an asynchronous connection."""

    _emitter: Emitter

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        begun = _begin(self._emitter, self, query, params)
        try:
            result = await super().execute(query, params, **options)  # type: ignore[misc]
        except BaseException as fault:
            _fail(begun, fault)
            raise
        _answer(begun, self, self._emitter)
        return result

    async def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        begun = _begin(self._emitter, self, query, params_seq)
        try:
            await super().executemany(query, params_seq, **options)  # type: ignore[misc]
        except BaseException as fault:
            _fail(begun, fault)
            raise
        _answer(begun, self, self._emitter)


@harmless
def _begin(emitter: Emitter, cursor: Any, query: Any, params: Any) -> Optional[Capture]:
    if not emitter.is_on:
        return None
    info = cursor.connection.info
    begun = emitter.begin("postgres", "query", f"postgres://{info.host}:{info.port}/{info.dbname}", headers=_JSON)
    if begun.id is not None:
        text = query.as_string(cursor.connection) if isinstance(query, Composable) else query
        asked = {"statement": text.decode() if isinstance(text, bytes) else str(text)}
        # What can be read but once is the statement's own.
        if isinstance(params, (list, tuple, dict)):
            asked["parameters"] = params  # type: ignore[assignment]
        begun.request_body(json.dumps(asked, ensure_ascii=False, default=str))
        begun.request.end()
    return begun


@harmless
def _fail(begun: Optional[Capture], fault: BaseException) -> None:
    if begun is not None:
        state = getattr(fault, "sqlstate", None)
        if state:
            begun.respond(state, _JSON)
        begun.response.fail(describe(fault))


@harmless
def _answer(begun: Optional[Capture], cursor: Any, emitter: Emitter) -> None:
    if begun is None or begun.id is None:
        return
    begun.respond(_SUCCESS, _JSON)
    result = cursor.pgresult
    if result is not None and result.nfields:
        _rows(begun, result, emitter.settings)
    begun.response.end()


def _rows(begun: Capture, result: Any, settings: Settings) -> None:
    """The rows as JSON, as far as they may be captured: what is longer than the buffer for redaction is left out whatever follows."""
    most = settings.redact_buffer if settings.redact_bodies else settings.body_limit
    names = [json.dumps((result.fname(column) or b"").decode("utf-8", "replace"), ensure_ascii=False) for column in range(result.nfields)]
    half = begun.response
    lead = "["
    for row in range(result.ntuples):
        values = (f"{name}:{_value(result.get_value(row, column))}" for column, name in enumerate(names))
        half.body(lead + "{" + ",".join(values) + "}")
        lead = ","
        if half.seen > most:
            half.leave_out()
            half.fail("redact_buffer" if settings.redact_bodies else "")
            return
    half.body("]" if result.ntuples else "[]")


def _value(value: Optional[bytes]) -> str:
    return "null" if value is None else json.dumps(value.decode("utf-8", "backslashreplace"), ensure_ascii=False)
