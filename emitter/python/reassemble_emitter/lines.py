"""Cuts a part's head, body and tail into capture lines, by the rules L-3, L-4 and L-8 of the capture line's specification.

Invariant: where lines end depends on the body alone, not on how its bytes arrived. A piece is cut only once more than its window is there, or the
body has ended. Each line costs a few calls into C; nothing here looks at single characters, save at a cut.
"""

import base64
import hmac
import json
import zlib
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.encoder import encode_basestring
from typing import Any, Callable, Dict, Optional, Union

#: The least and the most that a line may be limited to, in bytes.
MIN_LIMIT, MAX_LIMIT = 512, 262_144
#: The longest ``error`` of a tail, in bytes.
MAX_ERROR_BYTES = 1024

_CLOSE = 2  # } and the newline
_SIGNATURE = 41  # ,"sig":" and 32 hex digits and "
_PIECE = 29  # ,"text":"" and ,"crc":"00000000" and } and the newline
_FRAGMENT = 11  # ,"headf":"" or ,"tailf":""
_LONGEST_ESCAPE = 6

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def clean(text: str) -> str:
    """``text`` with U+FFFD for each lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def rate_number(rate: float) -> Union[int, float]:
    """A sample rate rounded to millionths, as an integer where it is one."""
    rounded = round(float(rate), 6)
    return int(rounded) if rounded.is_integer() else rounded


def to_json(value: Dict[str, Any]) -> str:
    """A head's or tail's JSON text: its keys in their order, no white space, no exponents."""
    rate = value.get("rate")
    if isinstance(rate, float):
        value = {**value, "rate": rate_number(rate)}
        if 0 < value["rate"] < 0.0001:
            # Python's own spelling of so small a number has an exponent.
            spelled = f"{value['rate']:.6f}".rstrip("0")
            return clean("{" + ",".join(f"{_encode(k)}:{spelled if k == 'rate' else _encode(v)}" for k, v in value.items()) + "}")
    return clean(_encode(value))


def members(value: Dict[str, Any]) -> str:
    """An object's members as :meth:`PartWriter.finish` takes them."""
    return "," + to_json(value)[1:-1] if value else ""


def _escaped(text: str) -> bytes:
    return encode_basestring(text)[1:-1].encode()


def _unescaped(escaped: bytes) -> bytes:
    return str(scanstring(escaped.decode() + '"', 0)[0]).encode()


def _cut(escaped: bytes, start: int, room: int) -> int:
    """Where to end what begins at ``start``, so that it takes at most ``room`` and splits neither a character nor an escape."""
    end = start + room
    if end >= len(escaped):
        return len(escaped)
    while escaped[end] & 0xC0 == 0x80:
        end -= 1
    last = escaped.rfind(b"\\", max(start, end - _LONGEST_ESCAPE + 1), end)
    if last >= 0:
        # Of backslashes in a row each odd one begins an escape.
        row = escaped[start : last + 1]
        if (len(row) - len(row.rstrip(b"\\"))) % 2 == 1:
            length = 6 if escaped[last + 1] == 0x75 else 2
            if last + length > end:
                return last
    return end


def joined(held: Union[bytes, bytearray], data: bytes) -> Union[bytes, bytearray]:
    """What is held of a body with more of it; what came as one piece is not copied."""
    if not held:
        return data
    if type(held) is bytes:
        held = bytearray(held)
    held += data
    return held


def write_part(
    capture_id: str, part: str, head: str, body: bytes, tail: str, limit: int, put: Callable[[bytes], Any], key: Optional[bytes] = None
) -> None:
    """Writes a part of which all is there, as :class:`PartWriter` would: at once where it is a single line, as most parts are."""
    line = _single_line(capture_id, part, head, body, tail) if key is None and len(head) + len(body) < limit else None
    if line is not None and len(line) <= limit:
        put(line)
    else:
        PartWriter(capture_id, part, head, limit, put, key).finish(tail, body)


def _single_line(capture_id: str, part: str, head: str, body: bytes, tail: str) -> Optional[bytes]:
    """A part as one line, however long; ``None`` where its body is to be base64."""
    size, crc = len(body), zlib.crc32(body)
    start = f'{{"cap1":"{capture_id}","part":"{part}","seq":0,"head":{head}'.encode()
    end = f',"of":1,"tail":{{"len":{size},"crc":"{crc:08x}"{tail}}}}}\n'.encode()
    if not body:
        return start + end
    try:
        quoted = encode_basestring(body.decode()).encode()
    except UnicodeDecodeError:
        return None
    if _is_longer_than_base64(quoted, size):
        return None
    return b'%s,"text":%s,"crc":"%08x"%s' % (start, quoted, crc, end)


def _is_longer_than_base64(quoted: bytes, size: int) -> bool:
    """Whether a piece of ``size`` bytes is longer as escaped text, here with its quotes, than as base64."""
    return len(quoted) - 2 > 4 * -(-size // 3)


class PartWriter:
    """Writes one part of a capture. Whole lines, newline included, are handed to ``put`` as soon as they are sure.

    ``head`` is the head's JSON text (see :func:`to_json`), ``limit`` the longest line in bytes, ``key`` the secret to sign with.
    """

    __slots__ = ("_prefix", "_limit", "_key", "_name", "_put", "_line", "_seq", "_pending", "_binary", "_len", "_crc", "_signed")

    def __init__(
        self, capture_id: str, part: str, head: str, limit: int, put: Callable[[bytes], Any], key: Optional[bytes] = None
    ) -> None:
        self._name = f"{capture_id} {part}"
        self._prefix = f'{{"cap1":"{capture_id}","part":"{part}","seq":'.encode()
        self._limit = limit - (_SIGNATURE if key else 0)
        self._key = key
        self._put = put
        self._seq = -1
        # What of the body waits for its line: as it came, or copied where it came in several pieces.
        self._pending: Union[bytes, bytearray] = b""
        self._binary = False
        self._len = 0
        self._crc = 0
        self._start()
        self._head(head)

    @property
    def held_bytes(self) -> int:
        """Bytes of the body that wait for their line."""
        return len(self._pending)

    def body(self, data: bytes) -> None:
        """Takes the next bytes of the body."""
        self._take(data)
        done = self._pieces(False)
        if done:
            self._pending = self._pending[done:]

    def finish(self, tail: str = "", last: bytes = b"") -> None:
        """Ends the part. ``tail`` are the tail's members behind ``len`` and ``crc``, each with a comma before it (see :func:`members`); ``last`` are the
        last bytes of the body."""
        if last:
            self._take(last)
        if self._pending:
            self._pieces(True)
            self._pending = b""
        text = f'{{"len":{self._len},"crc":"{self._crc:08x}"{tail}}}'
        raw = text.encode()
        escaped = _escaped(text) if self._key else b""
        whole = b',"tailf":"%s"' % escaped if self._key else b',"tail":%s' % raw
        for again in (True, False):
            of = self._of()
            if len(self._line) + len(of) + len(whole) + _CLOSE <= self._limit:
                self._line += of + whole
                self._end(self._seq + 1, tailf=raw)
                return
            if again:
                self._end()
                self._start()
        self._tail_fragments(escaped or _escaped(text))

    def finish_meta(self) -> None:
        """Ends a ``meta`` record, which has no tail."""
        if len(self._line) + len(self._of()) + _CLOSE > self._limit:
            self._end()
            self._start()
        self._line += self._of()
        self._end(self._seq + 1)

    def _take(self, data: bytes) -> None:
        self._len += len(data)
        self._crc = zlib.crc32(data, self._crc)
        self._pending = joined(self._pending, data)

    def _start(self) -> None:
        self._seq += 1
        self._line = b"%s%d" % (self._prefix, self._seq)
        self._signed = (b"", b"")

    def _end(self, of: Optional[int] = None, tailf: bytes = b"") -> None:
        if self._key is None:
            self._put(self._line + b"}\n")
            return
        headf, piece = self._signed
        said = b"%s %d %s - %d %d %d\n" % (
            self._name.encode(),
            self._seq,
            b"-" if of is None else b"%d" % of,
            len(headf),
            len(piece),
            len(tailf),
        )
        digest = hmac.digest(self._key, said + headf + piece + tailf, "sha256")
        self._put(b'%s,"sig":"%s"}\n' % (self._line, digest[:16].hex().encode()))

    def _of(self) -> bytes:
        return b',"of":%d' % (self._seq + 1)

    def _head(self, head: str) -> None:
        raw = head.encode()
        if not self._key and len(self._line) + 8 + len(raw) + _CLOSE <= self._limit:
            self._line += b',"head":' + raw
            return
        escaped, at = _escaped(head), 0
        while True:
            end = _cut(escaped, at, self._limit - len(self._line) - _FRAGMENT - _CLOSE)
            fragment = escaped[at:end]
            self._line += b',"headf":"%s"' % fragment
            if self._key:
                self._signed = (_unescaped(fragment), b"")
            at = end
            if at == len(escaped):
                return
            self._end()
            self._start()

    def _tail_fragments(self, escaped: bytes) -> None:
        at = 0
        while True:
            of = self._of()
            end = _cut(escaped, at, self._limit - len(self._line) - len(of) - _FRAGMENT - _CLOSE)
            fragment = escaped[at:end]
            at = end
            last = at == len(escaped)
            self._line += (of if last else b"") + b',"tailf":"%s"' % fragment
            self._end(self._seq + 1 if last else None, _unescaped(fragment) if self._key else b"")
            if last:
                return
            self._start()

    def _pieces(self, at_end: bool) -> int:
        """Cuts the pieces that are sure; tells how many bytes of what is pending they took."""
        pending = self._pending
        at, size = 0, len(pending)
        while at < size:
            room = self._limit - len(self._line) - _PIECE
            if room < _LONGEST_ESCAPE:
                self._end()
                self._start()
                continue
            need = 3 * ((room + 1) // 4) if self._binary else room
            if size - at <= need and not at_end:
                break
            count = 0 if self._binary else self._text(pending[at : at + room], size - at > room, room)
            if not count:
                self._binary = True
                piece = pending[at : at + 3 * ((room + 1) // 4)]
                count = len(piece)
                self._line += b',"b64":"%s","crc":"%08x"' % (base64.b64encode(piece), zlib.crc32(piece))
            if self._key:
                self._signed = (self._signed[0], bytes(pending[at : at + count]))
            at += count
            if at < size:
                self._end()
                self._start()
        return at

    def _text(self, window: Union[bytes, bytearray], goes_on: bool, room: int) -> int:
        """Writes the window, or as much of it as fits, as text; 0 where it has to be base64."""
        try:
            text = window.decode()
        except UnicodeDecodeError as fault:
            if not goes_on or fault.reason != "unexpected end of data":
                return 0
            window = window[: fault.start]
            text = window.decode()
        quoted = encode_basestring(text).encode()
        if len(quoted) - 2 > room:
            escaped = quoted[1:-1]
            escaped = escaped[: _cut(escaped, 0, room)]
            quoted, window = b'"%s"' % escaped, _unescaped(escaped)
        size = len(window)
        if _is_longer_than_base64(quoted, size):
            return 0
        # A piece that is all of the body so far has its checksum.
        self._line += b',"text":%s,"crc":"%08x"' % (quoted, self._crc if size == self._len else zlib.crc32(window))
        return size
