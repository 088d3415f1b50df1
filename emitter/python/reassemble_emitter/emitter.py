"""The emitter: the handle that an app holds, what becomes of it in a forked child, and how it ends."""

import atexit
import os
from multiprocessing import util as multiprocessing_util
from types import TracebackType
from typing import Any, Dict, Mapping, Optional, Set, Type, Union

from .capture import AnyHeaders, Capture, pairs_of
from .context import CaptureContext, current
from .core import Core, Counts
from .identity import TraceParent
from .settings import Settings
from .sink import Sink
from .writer import REOPEN, TELL

#: How many seconds the process's end waits for the output.
EXIT_PATIENCE_S = 2.0

# Kept until they are shut down: what they have queued must not go with the last handle.
_emitters: "Set[Emitter]" = set()


class Emitter:
    """Takes captures, which a thread of its own writes.

    ``Emitter(Settings(service="shop"))`` is set by calls, ``Emitter.from_env()`` by the environment. Raises :class:`SettingsError` where a setting has
    a value that it can't have or the output can't be opened. Nothing that it does later raises.

    At the process's end, and where it is used as a context manager at its block's, what is queued is written, for two seconds at most. A process that is
    forked captures on in the child as a process of its own.
    """

    def __init__(self, settings: Optional[Settings] = None) -> None:
        self.settings = settings or Settings()
        self._core: Optional[Core] = None
        if self.settings.output != "off":
            self._core = Core(self.settings, Sink.open(self.settings.output))
            _emitters.add(self)
            multiprocessing_util.register_after_fork(self, _end_with_multiprocessing_child)

    @classmethod
    def from_env(cls, environ: Optional[Mapping[str, str]] = None, **settings: Any) -> "Emitter":
        """An emitter that ``settings`` (see :class:`Settings`) and then the environment set."""
        return cls(Settings(**settings).env(environ))

    @property
    def is_on(self) -> bool:
        """Whether anything can be captured: the output is not ``off``, and nobody has shut the emitter down."""
        return self.open_core() is not None

    @classmethod
    def disabled(cls) -> "Emitter":
        """An emitter that captures nothing and runs no thread."""
        return cls(Settings(output="off"))

    def begin(
        self,
        proto: str,
        method: str,
        url: str,
        *,
        direction: str = "out",
        headers: Optional[AnyHeaders] = None,
        peer: Optional[str] = None,
        trace: Union[TraceParent, str, None] = None,
        parent: Optional[str] = None,
        tags: Optional[Dict[str, str]] = None,
        oneway: bool = False,
    ) -> Capture:
        """Begins a capture of anything that no integration sees: ``proto`` is the protocol (``postgres``, ``kafka``, …), ``method`` the operation,
        ``url`` the target.

        ``direction`` is ``out`` where this app calls and ``in`` where it was called. ``headers`` are pairs of names and values, or a mapping; bytes that are
        not UTF-8 are written as Latin-1. ``trace`` and ``parent`` are those of the inbound request within which the code runs, unless given. ``oneway``: no
        response will come.
        """
        core = self.open_core()
        if core is None:
            return Capture()
        context = current.get()
        if isinstance(trace, str):
            trace = TraceParent.parse(trace)
        if context is not None:
            trace = trace or context.trace
            parent = parent or context.id
        peer, parent = (None if text is None else str(text) for text in (peer, parent))
        tags = {str(name): str(value) for name, value in tags.items()} if tags else None
        started = core.start(str(proto), str(method), str(url), str(direction), pairs_of(headers), peer, trace, parent, tags, oneway)
        return started or Capture()

    def open_core(self) -> Optional[Core]:
        """What integrations begin captures with; ``None`` where nothing is captured."""
        core = self._current_core()
        return None if core is None or core.queue.is_closed else core

    def counts(self) -> Counts:
        """What happened so far in this process."""
        core = self._current_core()
        return core.counts() if core else Counts()

    def flush(self, timeout: float = EXIT_PATIENCE_S) -> bool:
        """Waits until all that was captured so far is written, at most ``timeout`` seconds; false where that was not enough."""
        core = self._current_core()
        if core is None:
            return True
        if core.queue.is_closed:
            return core.shut_down(timeout)
        return core.flush(timeout)

    def settle(self, timeout: float = EXIT_PATIENCE_S) -> bool:
        """As :meth:`flush`, with a ``meta`` line behind it: for servers that end without the interpreter's exit hooks. Captures may follow."""
        core = self._current_core()
        if core is None or core.queue.is_closed:
            return True
        if core.start_writer():
            core.queue.order((TELL,))
        return self.flush(timeout)

    def reopen(self) -> None:
        """Opens an output file again, after the file there was renamed away; any other output goes on."""
        core = self._current_core()
        if core is not None and core.start_writer():
            core.queue.order((REOPEN,))

    def shutdown(self, timeout: float = EXIT_PATIENCE_S) -> bool:
        """Ends the emitter: nothing new is captured, and what is open ends with the error ``shutdown``. Waits for the output at most ``timeout``
        seconds; false where that was not enough."""
        core = self._current_core()
        _emitters.discard(self)
        return core is None or core.shut_down(timeout)

    def __enter__(self) -> "Emitter":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], fault: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.shutdown()

    def _current_core(self) -> Optional[Core]:
        core = self._core
        if core is not None and core.pid != os.getpid():
            # Some servers fork without Python's own hooks.
            core = self._core = core.forked()
        return core


def context_of(capture: Optional[Capture], trace: TraceParent) -> CaptureContext:
    """The context of an inbound request."""
    return CaptureContext(capture.id if capture else None, trace)


def _after_fork() -> None:
    for emitter in list(_emitters):
        emitter._current_core()


def _at_exit() -> None:
    # All are closed before any is waited for, so that they share the patience.
    emitters = list(_emitters)
    for emitter in emitters:
        emitter.shutdown(0)
    for emitter in emitters:
        emitter.shutdown()


def _end_with_multiprocessing_child(emitter: Emitter) -> None:
    # Such a child ends without the interpreter's exit hooks.
    multiprocessing_util.Finalize(None, emitter.shutdown, exitpriority=0)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
