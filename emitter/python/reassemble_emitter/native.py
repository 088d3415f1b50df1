"""Threads and locks of the system's own, also where gevent has put greenlets in their place: a greenlet that writes to a full pipe would hold the app up,
and what it set for its thread it would set for the app's.
"""

import _thread
import sys
from typing import Any, Callable


def _original(name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    return getattr(_thread, name) if monkey is None else monkey.get_original("_thread", name)


def new_lock() -> "_thread.LockType":
    """A lock that any thread may release; taking and releasing it never runs other greenlets."""
    lock: _thread.LockType = _original("allocate_lock")()
    return lock


def new_reentrant_lock() -> Any:
    """A lock that its own thread may take again."""
    return _original("RLock")()


def thread_id() -> int:
    """Which of the system's threads this one is."""
    number: int = _original("get_ident")()
    return number


def start_thread(run: Callable[[], None]) -> "_thread.LockType":
    """Runs ``run`` on a thread that the process's end does not wait for. The lock can be taken once it has ended.

    Raises ``RuntimeError`` where there can be no thread.
    """
    done = new_lock()
    done.acquire()

    def body() -> None:
        try:
            run()
        finally:
            done.release()

    _original("start_new_thread")(body, ())
    return done
