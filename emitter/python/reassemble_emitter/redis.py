"""Captures what a service asks of Redis through redis-py.

``client = capture(redis.Redis(…), emitter)``, of ``redis.asyncio`` clients too. A capture's method is the command, its request the arguments as a JSON list, its
response the reply as JSON. Arguments of commands that set who may log in are left out. Pipelines and subscriptions are not captured.
"""

import functools
import json
from typing import Any, Optional, TypeVar

import redis
import redis.asyncio

from .capture import Capture, describe
from .emitter import Emitter
from .http import harmless

_Client = TypeVar("_Client", bound="redis.Redis | redis.asyncio.Redis")
_JSON = (("content-type", "application/json"),)
#: Commands whose arguments hold secrets.
_SECRET = frozenset({"AUTH", "HELLO", "ACL", "CONFIG", "MIGRATE"})


def capture(client: _Client, emitter: Emitter) -> _Client:
    """Has the commands of a client captured; gives the same client."""
    execute = client.execute_command
    settings = client.connection_pool.connection_kwargs
    where = f"redis://{settings.get('host') or settings.get('path') or 'localhost'}:{settings.get('port', '')}".rstrip(":")
    url = f"{where}/{settings.get('db') or 0}"

    @functools.wraps(execute)
    def captured(*args: Any, **options: Any) -> Any:
        begun = _begin(emitter, url, args)
        try:
            result = execute(*args, **options)
        except BaseException as fault:
            _fail(begun, fault)
            raise
        _answer(begun, result)
        return result

    @functools.wraps(execute)
    async def captured_async(*args: Any, **options: Any) -> Any:
        begun = _begin(emitter, url, args)
        try:
            result = await execute(*args, **options)
        except BaseException as fault:
            _fail(begun, fault)
            raise
        _answer(begun, result)
        return result

    is_async = isinstance(client, redis.asyncio.Redis)
    client.execute_command = captured_async if is_async else captured  # type: ignore[method-assign]
    return client


@harmless
def _begin(emitter: Emitter, url: str, args: Any) -> Optional[Capture]:
    if not emitter.is_on:
        return None
    # Some commands are spelled in two words, the second of which is an argument to the server.
    name, *more = str(args[0]).split(" ")
    begun = emitter.begin("redis", name.upper(), url, headers=_JSON)
    if begun.id is not None:
        if name.upper() in _SECRET:
            begun.request.leave_out()
        begun.request_body(_json([*more, *args[1:]]))
        begun.request.end()
    return begun


@harmless
def _fail(begun: Optional[Capture], fault: BaseException) -> None:
    if begun is not None:
        begun.response.fail(describe(fault))


@harmless
def _answer(begun: Optional[Capture], result: Any) -> None:
    if begun is None or begun.id is None:
        return
    begun.respond("OK", _JSON)
    begun.response_body(_json(result))
    begun.response.end()


def _json(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value as JSON has it: bytes as text, sets as lists, names as text."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {str(_plain(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
