"""Which methods, paths and content types are captured, and how many captures a second each endpoint may begin."""

import re
import time
from typing import Callable, Dict, Iterable, List

from .native import new_reentrant_lock

#: So many endpoints have a bucket of their own; the later ones share one.
MAX_ENDPOINTS = 1024
_SHARED = ""
_VARIABLE = re.compile(r"(?<=/)(?:[^/]*[0-9][^/]*|[^/]{33,})")


class Filter:
    """What is let in and what is kept out: let in where ``only`` is empty or one of it fits, and none of ``skip`` does. ``*`` at an end stands for anything."""

    def __init__(self, only: Iterable[str], skip: Iterable[str], ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        self._only = _matcher(only, ignore_case)
        self._skip = _matcher(skip, ignore_case)
        #: Whether all is let in.
        self.is_open = self._only is None and self._skip is None

    def lets(self, text: str) -> bool:
        """Whether ``text`` is let in."""
        if self.is_open:
            return True
        if self._ignore_case:
            text = text.lower()
        return (self._only is None or self._only(text)) and not (self._skip is not None and self._skip(text))

    def lets_content_type(self, value: str) -> bool:
        """Whether a content type is, its parameters left aside. A body without one counts as of the empty type."""
        return self.lets(value.partition(";")[0].strip())


def _matcher(patterns: Iterable[str], ignore_case: bool) -> "Callable[[str], bool] | None":
    texts = [pattern.lower() if ignore_case else pattern for pattern in patterns]
    if not texts:
        return None
    exact = frozenset(text for text in texts if not text.endswith("*"))
    starts = tuple(text[:-1] for text in texts if text.endswith("*"))
    return lambda text: text in exact or text.startswith(starts)


def path_of(url: str) -> str:
    """The path of a URL or of a request's target."""
    start = url.find("://")
    if start >= 0 and "/" not in url[:start]:
        slash = url.find("/", start + 3)
        url = url[slash:] if slash >= 0 else "/"
    return url.partition("?")[0].partition("#")[0]


def endpoint(method: str, path: str) -> str:
    """Method and path, with ``*`` for each segment that holds a digit or is longer than 32 characters."""
    return f"{method} {_VARIABLE.sub('*', path)}"


class RateLimit:
    """A bucket for each endpoint: it holds at most ``max(1, limit)`` captures and gains ``limit`` a second; a capture takes one."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._most = max(1.0, limit)
        self._clock = clock
        self._lock = new_reentrant_lock()
        # Each endpoint's captures left, and when that was.
        self._buckets: Dict[str, List[float]] = {}

    def takes(self, name: str) -> bool:
        """Whether a capture of the endpoint ``name`` may begin now."""
        now = self._clock()
        with self._lock:
            bucket = self._buckets.get(name)
            if bucket is None:
                if len(self._buckets) >= MAX_ENDPOINTS:
                    name = _SHARED
                bucket = self._buckets.setdefault(name, [self._most, now])
            left = min(self._most, bucket[0] + (now - bucket[1]) * self._limit)
            bucket[:] = (left - 1 if left >= 1 else left, now)
            return left >= 1
