"""The JSON texts of heads and tails, and what of headers is a secret or tells how a body is redacted.

They are put together from what was encoded before (what is the same for the whole process, and headers' names) and from what is new in each: the json module
takes several times as long for the same bytes, and each capture needs four.
"""

import time
from json.encoder import encode_basestring as quote
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from .lines import MAX_ERROR_BYTES, clean, to_json
from .redact import REDACTED, Redactor, body_kind

Text = Union[str, bytes]
Headers = Sequence[Tuple[Text, Text]]

# So many names of headers are kept as they are encoded, none of them longer; clients choose names.
_MAX_NAMES = 512
_MAX_NAME_LENGTH = 64


class Start(NamedTuple):
    """What is known when a capture begins. ``ts_us`` is in microseconds since 1970."""

    ts_us: int
    direction: str
    proto: str
    method: str
    url: str
    headers: Optional[Headers]
    peer: Optional[str]
    trace: Optional[str]
    parent: Optional[str]
    tags: Optional[Dict[str, str]]
    oneway: bool
    why: str


class _Name(NamedTuple):
    """A header's name."""

    #: The start of a pair's JSON text, up to its value.
    pair: str
    is_secret: bool
    #: In lowercase, where the header tells of the body; else empty.
    of_body: str


class Heads:
    """Writes one process's heads and tails, for who holds the writer's lock."""

    def __init__(self, redactor: Redactor, service: str, host: str, inst: str, rate: float) -> None:
        self._redactor = redactor
        process = (("service", service), ("host", host), ("inst", inst))
        self._process = "".join(f',"{key}":{quote(text)}' for key, text in process if text)
        self._rate = to_json({"rate": rate})[1:-1]
        # Apart, for Python may be told to refuse to compare texts with bytes.
        self._texts: Dict[Text, _Name] = {}
        self._bytes: Dict[Text, _Name] = {}
        self._second = (-1, "")

    def request(self, n: int, start: Start) -> Tuple[str, str]:
        """A request's head, and how its body is redacted (see :func:`body_kind`)."""
        headers, kind = self._headers("headers", start.headers)
        texts = [f'{{"ts":{self._time(start.ts_us)}{self._process},"n":{n},"dir":{quote(start.direction)},"proto":{quote(start.proto)}']
        if start.method:
            texts.append(f',"method":{quote(start.method)}')
        if start.url:
            texts.append(f',"url":{quote(self._redactor.url(start.url))}')
        texts.append(headers)
        if start.peer:
            texts.append(f',"peer":{quote(start.peer)}')
        if start.trace:
            texts.append(f',"trace":{quote(start.trace)}')
        if start.parent:
            texts.append(f',"parent":{quote(start.parent)}')
        if start.tags:
            texts.append(f',"tags":{to_json(dict(sorted(start.tags.items())))}')
        texts.append(f',{self._rate},"why":"{start.why}"' + (',"oneway":true}' if start.oneway else "}"))
        return clean("".join(texts)), kind

    def response(self, ts_us: int, us: Optional[int], status: Union[int, str, None], headers: Optional[Headers]) -> Tuple[str, str]:
        """A response's head, and how its body is redacted."""
        pairs, kind = self._headers("headers", headers)
        took = "" if us is None else f',"us":{us}'
        spelled = "" if status is None else ',"status":%d' % status if isinstance(status, int) else f',"status":{quote(status)}'
        return clean(f'{{"ts":{self._time(ts_us)}{took}{spelled}{pairs}}}'), kind

    def tail(self, us: Optional[int], trailers: Optional[Headers], error: str, truncated: bool, full_len: Optional[int]) -> str:
        """A tail's members behind its length and checksum."""
        text = "" if us is None else f',"us":{us}'
        if trailers:
            text += self._headers("trailers", trailers)[0]
        if error:
            text += f',"error":{quote(clean(error).encode()[:MAX_ERROR_BYTES].decode("utf-8", "ignore"))}'
        if truncated:
            text += ',"truncated":true' if full_len is None else f',"truncated":true,"full_len":{full_len}'
        return clean(text) if trailers else text

    def meta(self, ts_us: int, counts: Sequence[int]) -> str:
        """The head of a ``meta`` record."""
        begun, finished, dropped, sampled_out = counts
        told = f'"begun":{begun},"finished":{finished},"dropped":{dropped},"sampled_out":{sampled_out}'
        return clean(f'{{"ts":{self._time(ts_us)}{self._process},{told}}}')

    def _headers(self, key: str, headers: Optional[Headers]) -> Tuple[str, str]:
        """Redacted pairs under their key, and how their body is redacted."""
        if headers is None:
            return "", ""
        pairs: List[str] = []
        content_type = encoding = ""
        for name, value in headers:
            pair, is_secret, of_body = (self._texts if type(name) is str else self._bytes).get(name) or self._learn(name)
            text = header_text(value)
            pairs.append(f"{pair}{quote(REDACTED if is_secret else text)}]")
            if of_body == "content-type":
                content_type = content_type or text
            elif of_body:
                encoding = encoding or text
        return f',"{key}":[{",".join(pairs)}]', body_kind(content_type, encoding) if content_type else ""

    def _learn(self, name: Text) -> _Name:
        text = header_text(name)
        lower = text.lower()
        of_body = lower if lower in ("content-type", "content-encoding") else ""
        learned = _Name(f"[{quote(text)},", self._redactor.is_secret_header(text), of_body)
        if len(name) <= _MAX_NAME_LENGTH:
            names = self._texts if type(name) is str else self._bytes
            if len(names) >= _MAX_NAMES:
                names.clear()
            names[name] = learned
        return learned

    def _time(self, at_us: int) -> str:
        """RFC 3339, with six digits of the second, in quotes."""
        second, micros = divmod(at_us, 1_000_000)
        if self._second[0] != second:
            self._second = (second, time.strftime('"%Y-%m-%dT%H:%M:%S', time.gmtime(second)))
        return f'{self._second[1]}.{micros:06d}Z"'


def header_text(value: Text) -> str:
    """A header's name or value as text; bytes that are not UTF-8 as Latin-1."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
