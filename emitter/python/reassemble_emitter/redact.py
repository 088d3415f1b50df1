"""What must not be stored: headers, query parameters, userinfo and names in bodies that hold secrets.

The lists and the rules are those of every emitter and of the reader (L-3.7, C-3.3). What is secret becomes ``[redacted]``, fixed and without its length;
names stay, and every other byte stays as it was.
"""

import json
import re
from itertools import accumulate
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Callable, Iterable, List, Optional
from urllib.parse import unquote_plus

#: What stands in a secret's place.
REDACTED = "[redacted]"

#: Headers whose values are secrets, whatever their case.
DEFAULT_HEADERS = (
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrftoken",
    "x-xsrf-token",
    "x-amz-security-token",
)

#: Names of secrets in query strings, forms and JSON, whatever their case. ``*`` at an end stands for any characters.
DEFAULT_NAMES = ("password", "passwd", "pwd", "secret", "*key", "*token*", "*session*", "*credit*", "*card*", "*auth*")

#: Names of secrets in query strings alone: what signed URLs carry.
DEFAULT_QUERY = (
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
)

#: A body may nest so many arrays and objects.
MAX_DEPTH = 128
#: Texts that are JSON themselves are looked through so deep within one another: a queue's event that brings a topic's message has two.
MAX_TEXTS = 4

# White space as Unicode has it; Python's own notion holds four control characters more.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"([ \t\n\r]*:)?', re.DOTALL)
# One that may lack its end: in what is no JSON every quote would else be tried for a start, each time to the text's end.
_OPEN_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKETS = re.compile(r"[][{}]")
_NESTS = {"[": 1, "{": 1, "]": -1, "}": -1}


def _refuse(word: str) -> None:
    raise ValueError(word)


# Numbers stay text: they are only passed over, whatever their length.
_decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Tells whether a name fits one of the patterns, ASCII letters without case."""
    shapes = []
    for pattern in patterns:
        before, after = pattern.startswith("*"), pattern.endswith("*")
        text = pattern[1:] if before else pattern
        if after:
            text = text.rstrip("*") if before else text[:-1]
        shapes.append((".*" if before else "") + re.escape(text) + (".*" if after else ""))
    if not shapes:
        return lambda name: False
    found = re.compile("|".join(shapes), re.IGNORECASE | re.ASCII | re.DOTALL).fullmatch
    return lambda name: found(name) is not None


class Redactor:
    """Knows what is secret: the shared lists, with what is added to them and taken from them."""

    def __init__(
        self,
        redact_headers: Iterable[str] = (),
        keep_headers: Iterable[str] = (),
        redact_names: Iterable[str] = (),
        keep_names: Iterable[str] = (),
    ) -> None:
        kept_headers = {name.lower() for name in keep_headers}
        self._headers = {name.lower() for name in (*DEFAULT_HEADERS, *redact_headers)} - kept_headers
        names = (*DEFAULT_NAMES, *redact_names)
        self._texts = [name.strip("*").encode("utf-8", "replace").lower() for name in names]
        # What makes a text lowercase, and the bytes that no name has.
        self._lower = bytes(range(256)).lower()
        used = set(b"".join(self._texts))
        self._unused = bytes(byte for byte, lower in enumerate(self._lower) if lower not in used)
        # Some serializers write these characters of a name behind a backslash.
        self._may_be_escaped = any(re.search(r'[\x00-\x1f"\\/]', name) for name in names)
        self._listed = _matcher(names)
        self._listed_in_query = _matcher((*names, *DEFAULT_QUERY))
        self._kept = _matcher(keep_names)

    def is_secret_header(self, name: str) -> bool:
        """Whether a header's value is a secret."""
        return name.lower() in self._headers

    def header_value(self, name: str, value: str) -> str:
        """A header's value as it may be stored."""
        return REDACTED if self.is_secret_header(name) else value

    def is_secret_name(self, name: str) -> bool:
        """Whether what stands under ``name`` in JSON is a secret."""
        return self._listed(name) and not self._kept(name)

    def url(self, url: str) -> str:
        """A URL as it may be stored: without userinfo, and listed query parameters without their values."""
        if "@" in url:
            url = _without_userinfo(url)
        rest, hash_, fragment = url.partition("#")
        path, mark, query = rest.partition("?")
        if not mark or "=" not in query:
            return url
        return path + mark + self._parameters(query, self._listed_in_query) + hash_ + fragment

    def form(self, body: bytes) -> bytes:
        """A form's body as it may be stored."""
        # Bytes that are not UTF-8 come through unchanged.
        text = body.decode("utf-8", "surrogateescape")
        return self._parameters(text, self._listed).encode("utf-8", "surrogateescape")

    def json(self, body: bytes) -> Optional[bytes]:
        """A JSON body as it may be stored: one value, or several with white space or nothing between them. ``None`` where it is none, or nests too deep."""
        try:
            text = body.decode()
            if not self._may_hold_name(body):
                return body
            kept = self._without_secrets(text, 0)
        except (ValueError, RecursionError):
            return None
        return body if kept is text else kept.encode()

    def _without_secrets(self, text: str, texts: int) -> str:
        """JSON that stands in so many texts, without its secrets; itself where there are none.

        Raises ``ValueError`` or ``RecursionError`` where it is no JSON, or nests too deep.
        """
        _check(text)
        names = {name for name, colon in _STRING.findall(text) if colon}
        secret = {name for name in names if self.is_secret_name(_plain(name))}
        # JSON that has names has quotes, and within a text those have escapes.
        may_be_within = texts < MAX_TEXTS and "\\" in text
        if not secret and not may_be_within:
            return text
        kept: List[str] = []
        copied = 0
        for found in _STRING.finditer(text):
            if found.start() < copied:
                continue
            if found.group(2):
                if found.group(1) in secret:
                    start = _skip_space(text, found.end())
                    kept += (text[copied:start], '"', REDACTED, '"')
                    copied = _decoder.raw_decode(text, start)[1]
            elif may_be_within:
                inner = self._within(found.group(1), texts)
                if inner is not None:
                    kept += (text[copied : found.start()], json.dumps(inner, ensure_ascii=False))
                    copied = found.end()
        return "".join((*kept, text[copied:])) if kept else text

    def _within(self, raw: str, texts: int) -> Optional[str]:
        """What a string says, as it stands between its quotes, without its secrets. ``None`` where that is no JSON or has none."""
        if raw[:1] not in ("{", "[", " ", "\\") or "\\" not in raw:
            return None
        said = _LONE_SURROGATE.sub("\ufffd", _plain(raw))
        if not said.lstrip(" \t\n\r").startswith(("{", "[")) or not self._may_hold_name(said.encode()):
            return None
        try:
            kept = self._without_secrets(said, texts + 1)
        except (ValueError, RecursionError):
            return None
        return None if kept is said else kept

    def _may_hold_name(self, body: bytes) -> bool:
        """Whether a listed name may stand in JSON text. Where none of their texts occurs and no character is spelled by its number, none does, however
        the text is read; and to read it costs some twenty times what the search does."""
        if b"\\" in body and (self._may_be_escaped or b"\\u" in body):
            return True
        # Without what no name has, a text is shorter and holds no name less.
        plain = body.translate(self._lower, self._unused)
        for text in self._texts:
            # Backwards: what listed names begin with is rarer in most texts than what they end with, and so fewer places are looked at twice.
            if plain.rfind(text) >= 0:
                return True
        return False

    def _parameters(self, text: str, listed: Callable[[str], bool]) -> str:
        fields = text.split("&")
        for at, field in enumerate(fields):
            value = self._secret_at(field, listed) if "=" in field else None
            if value is not None:
                fields[at] = field[:value] + REDACTED
        return "&".join(fields)

    def _secret_at(self, parameter: str, listed: Callable[[str], bool]) -> Optional[int]:
        """Where the secret value starts in what stands between two ``&``. Some servers take ``;`` for a separator too."""
        at = 0
        for field in parameter.split(";"):
            name, equals, _ = field.partition("=")
            if equals:
                plain = (unquote_plus(name) if "%" in name or "+" in name else name).strip(_SPACE)
                if listed(plain) and not self._kept(plain):
                    return at + len(name) + 1
            at += len(field) + 1
        return None


def _without_userinfo(url: str) -> str:
    start = url.find("//")
    if start < 0 or (start > 0 and (url[start - 1] != ":" or re.search("[/?#]", url[:start]))):
        return url
    start += 2
    ends = re.compile("[/?#]").search(url, start)
    end = ends.start() if ends else len(url)
    at = url.rfind("@", start, end)
    return url if at < 0 else url[:start] + url[at + 1 :]


def _plain(name: str) -> str:
    return str(scanstring(name + '"', 0)[0]) if "\\" in name else name


def _skip_space(text: str, at: int) -> int:
    return _JSON_SPACE.match(text, at).end()  # type: ignore[union-attr]


def _check(text: str) -> None:
    """Raises ``ValueError`` or ``RecursionError`` where ``text`` is not JSON values, or nests too deep."""
    # First, so that the decoder's own depth is bounded too: it uses the thread's stack.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        nests = accumulate(map(_NESTS.__getitem__, _BRACKETS.findall(_OPEN_STRING.sub("", text))))
        if max(nests, default=0) > MAX_DEPTH:
            raise ValueError("nests too deep")
    at = _skip_space(text, 0)
    while at < len(text):
        is_number = text[at] in "-0123456789"
        end = _decoder.raw_decode(text, at)[1]
        if is_number and text[end : end + 1] in tuple("0123456789.eE"):
            raise ValueError("a number goes on behind its end")
        at = _skip_space(text, end)


def body_kind(content_type: str, encoding: str) -> str:
    """How a body of this content type and content encoding is redacted: ``json``, ``form``, or not at all (empty)."""
    if encoding and encoding.strip().lower() not in ("", "identity"):
        return ""
    content_type = content_type.partition(";")[0].strip().lower()
    if content_type in ("application/json", "application/x-ndjson") or content_type.endswith("+json"):
        return "json"
    return "form" if content_type == "application/x-www-form-urlencoded" else ""
