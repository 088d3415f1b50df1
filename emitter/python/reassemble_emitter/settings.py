"""What an emitter is set to, by calls, by the environment, or both. The README's table is this module's contract."""

import os
import re
import socket
import sys
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .lines import MAX_LIMIT, MIN_LIMIT
from .redact import Redactor

_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"([0-9]+)(?:\s*(KiB|MiB|GiB))?")
_SECRET = re.compile(r"[!-~]{32,1024}")
_MAX_SECRET_BYTES = 1024
_LISTS = (
    "only_methods",
    "skip_methods",
    "only_paths",
    "skip_paths",
    "only_body_types",
    "skip_body_types",
    "redact_headers",
    "keep_headers",
    "redact_names",
    "keep_names",
)


class SettingsError(ValueError):
    """A setting has a value that it cannot have; the message names it and what it can be."""


@dataclass(frozen=True)
class Settings:
    """What an emitter is set to. ``Settings(service="shop")`` sets by a call, :meth:`env` by the environment, :meth:`set` by calls again; what is
    applied later wins, and lists grow.

    A value that a setting cannot have raises :class:`SettingsError`.
    """

    #: The service's name; empty: the program's.
    service: str = ""
    #: ``stdout``, ``stderr``, ``off``, ``fd:N`` (an open descriptor, not closed), or a file's path (appended to, created with mode 0600).
    output: str = "stdout"
    #: The longest line in bytes, newline included: 512 to 262,144.
    line_limit: int = 4096
    #: Bytes of each body that are captured.
    body_limit: int = 1 << 20
    #: Bytes that may wait to be written.
    queue_limit: int = 32 << 20
    #: The share of captures that is taken, from 0 to 1.
    sample_rate: float = 1
    #: ``trace``, or ``id`` where clients choose their traceparent.
    sample_by: str = "trace"
    #: Captures a second for each endpoint; ``None``: no limit.
    rate_limit: Optional[float] = None
    #: ``sampled``: errors as any other; ``always``: what ends with an error is captured though sampling or the rate limit leaves it out.
    errors: str = "sampled"
    #: HTTP methods, compared without case.
    only_methods: Tuple[str, ...] = ()
    skip_methods: Tuple[str, ...] = ()
    #: Paths; ``*`` at the end: all that begin so.
    only_paths: Tuple[str, ...] = ()
    skip_paths: Tuple[str, ...] = ()
    #: Content types of bodies, as paths.
    only_body_types: Tuple[str, ...] = ()
    skip_body_types: Tuple[str, ...] = ()
    #: Headers whose values are secrets, beside the shared list, and those taken from it.
    redact_headers: Tuple[str, ...] = ()
    keep_headers: Tuple[str, ...] = ()
    #: Names of secrets in query strings, forms and JSON, beside the shared list, and those taken from it; ``*`` at an end stands for any characters.
    redact_names: Tuple[str, ...] = ()
    keep_names: Tuple[str, ...] = ()
    #: Whether JSON and form bodies are looked through for names of secrets.
    redact_bodies: bool = True
    #: Bytes of a body that are looked through; a longer one is left out.
    redact_buffer: int = 64 << 10
    #: The secret that lines are signed with: 32 to 1,024 printable ASCII characters without white space.
    signing_key: Optional[str] = None
    #: Seconds between ``meta`` lines, at least.
    meta_every: float = 60.0

    def __post_init__(self) -> None:
        for name in _LISTS:
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        _require(MIN_LIMIT <= self.line_limit <= MAX_LIMIT, "line_limit", self.line_limit, "from 512 to 262144")
        _require(0 <= self.sample_rate <= 1, "sample_rate", self.sample_rate, "a share from 0 to 1")
        _require(self.sample_by in ("trace", "id"), "sample_by", self.sample_by, "trace or id")
        _require(self.errors in ("sampled", "always"), "errors", self.errors, "sampled or always")
        _require(self.rate_limit is None or self.rate_limit > 0, "rate_limit", self.rate_limit, "a number above 0")
        for name in ("body_limit", "queue_limit", "redact_buffer"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "a number of bytes")
        if self.signing_key is not None and not _SECRET.fullmatch(self.signing_key):
            raise SettingsError("signing_key holds no secret to sign with (32 to 1,024 printable characters without white space)")

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name != "signing_key")
        return f"Settings({shown}, signing_key={'set' if self.signing_key else None})"

    def set(self, **changes: Any) -> "Settings":
        """These settings with ``changes``; lists grow."""
        for name in _LISTS:
            if name in changes:
                value = changes[name]
                changes[name] = getattr(self, name) + ((value,) if isinstance(value, str) else tuple(value))
        return replace(self, **changes)

    def env(self, environ: Optional[Mapping[str, str]] = None) -> "Settings":
        """These settings with what the ``CAPTURE_…`` variables of ``environ`` (the process's, unless given) set. An empty variable is as if it were unset."""
        given = os.environ if environ is None else environ
        changes: Dict[str, Any] = {}
        for name, read in _VARIABLES.items():
            text = given.get(name)
            if text:
                changes[name[len("CAPTURE_") :].lower()] = read(name, text)
        if "service" not in changes and not self.service and given.get("OTEL_SERVICE_NAME"):
            changes["service"] = given["OTEL_SERVICE_NAME"]
        key, file = given.get("CAPTURE_SIGNING_KEY"), given.get("CAPTURE_SIGNING_KEY_FILE")
        if key and file:
            raise SettingsError("CAPTURE_SIGNING_KEY and CAPTURE_SIGNING_KEY_FILE are both set; set one of them")
        if key or file:
            changes["signing_key"] = _secret("CAPTURE_SIGNING_KEY", key) if key else _secret(file or "", _read_secret(file or ""))
        return self.set(**changes)

    def redactor(self) -> Redactor:
        """What is secret by these settings."""
        return Redactor(self.redact_headers, self.keep_headers, self.redact_names, self.keep_names)


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise SettingsError(f"{name}={value!r} is not {expected}")


def _refused(name: str, text: str, expected: str) -> SettingsError:
    return SettingsError(f'{name}="{text}" is not {expected}')


def _text(name: str, text: str) -> str:
    return text


def _list(name: str, text: str) -> Tuple[str, ...]:
    return tuple(item for item in map(str.strip, text.split(",")) if item)


def _size(low: int = 0, high: Optional[int] = None, expected: str = "a number of bytes (4096, 64KiB, 8MiB, 1GiB)") -> Callable[[str, str], int]:
    def read(name: str, text: str) -> int:
        found = _SIZE.fullmatch(text.strip())
        if found:
            value = int(found.group(1)) * _UNITS.get(found.group(2), 1)
            if low <= value and (high is None or value <= high):
                return value
        raise _refused(name, text, expected)

    return read


def _number(fits: Callable[[float], bool], expected: str) -> Callable[[str, str], float]:
    def read(name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise _refused(name, text, expected) from None
        if not fits(value):
            raise _refused(name, text, expected)
        return value

    return read


def _word(*words: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in words:
            raise _refused(name, text, " or ".join(f"`{word}`" for word in words))
        return text

    return read


def _on_off(name: str, text: str) -> bool:
    return _word("on", "off")(name, text) == "on"


def _read_secret(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            # Whatever file is named, it costs no memory.
            return file.read(2 * _MAX_SECRET_BYTES)
    except (OSError, ValueError) as fault:
        raise SettingsError(f"the secret to sign with can't be read from {path}") from fault


def _secret(source: str, text: str) -> str:
    # White space around it, such as a file's last newline, is not part of it.
    text = text.strip()
    if not _SECRET.fullmatch(text):
        raise SettingsError(f"{source} holds no secret to sign with (32 to 1,024 printable characters without white space)")
    return text


_VARIABLES: Dict[str, Callable[[str, str], Any]] = {
    "CAPTURE_SERVICE": _text,
    "CAPTURE_OUTPUT": _text,
    "CAPTURE_LINE_LIMIT": _size(MIN_LIMIT, MAX_LIMIT, "a number of bytes from 512 to 262144"),
    "CAPTURE_BODY_LIMIT": _size(),
    "CAPTURE_QUEUE_LIMIT": _size(),
    "CAPTURE_SAMPLE_RATE": _number(lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    "CAPTURE_SAMPLE_BY": _word("trace", "id"),
    "CAPTURE_RATE_LIMIT": _number(lambda value: 0 < value < float("inf"), "a number of captures a second above 0"),
    "CAPTURE_ERRORS": _word("sampled", "always"),
    **{f"CAPTURE_{name.upper()}": _list for name in _LISTS},
    "CAPTURE_REDACT_BODIES": _on_off,
    "CAPTURE_REDACT_BUFFER": _size(),
}


def program_name() -> str:
    """What the program is called: its script's name without ``.py``, or the module's that ``-m`` runs."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        name = spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name
        if name != "__main__":
            return str(name).rpartition(".")[2]
    script = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c") else "python"
    return script[:-3] if script.endswith(".py") else script


def host_name() -> str:
    """The host's name as the system has it; empty where it tells none."""
    try:
        return socket.gethostname()
    except OSError:
        return ""
