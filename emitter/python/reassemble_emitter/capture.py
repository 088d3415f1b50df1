"""One capture on the side of the app: counts and cuts what passes, and makes sure that both halves end.

Invariants: a half that has begun is ended exactly once, when its capture is collected at the latest; once a piece was left out, none follows it. A
capture that is held (C-2.3) has queued nothing: its messages wait here, counted against the queue's limit, until its response tells what becomes of them.
"""

import time
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Iterable, List, Mapping, Optional, Tuple, Type, Union

from .heads import Headers, Start, Text
from .http import header
from .lines import MAX_ERROR_BYTES
from .queue import CLOSING_BYTES, MESSAGE_BYTES, Message
from .writer import BEGIN, BODY, END, REQ, RES, RESPOND, Track

if TYPE_CHECKING:
    from .core import Core

#: What is kept of a held request's body.
HELD_BODY_BYTES = 64 * 1024

Body = Union[bytes, bytearray, memoryview, str]
#: Headers as an app gives them: pairs, or a mapping.
AnyHeaders = Union[Mapping[Text, Text], Iterable[Tuple[Text, Text]]]

#: What a part says whose client went away.
DISCONNECTED = "client disconnected"


def pairs_of(headers: Optional[AnyHeaders]) -> Optional[Headers]:
    """Headers as pairs of texts or bytes, whatever the app gave."""
    if headers is None:
        return None
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(_text(name), _text(value)) for name, value in pairs]


def _text(value: Any) -> Text:
    return value if isinstance(value, (str, bytes)) else str(value)


def cost_of(headers: Optional[Headers]) -> int:
    """What headers take of the queue's limit."""
    return sum(map(len, chain.from_iterable(headers))) + MESSAGE_BYTES * len(headers) if headers else 0


def describe(fault: BaseException) -> str:
    """A fault by the names of its types and of what caused it: what it says may hold secrets."""
    names: List[str] = []
    seen: Optional[BaseException] = fault
    while seen is not None and len(names) < 8:
        names.append(type(seen).__name__)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ": ".join(names)


class Half:
    """The request or the response of a capture."""

    __slots__ = ("_capture", "_part", "begun", "ended", "seen", "_taken", "expected", "_cut")

    def __init__(self, capture: "Optional[Capture]", part: int) -> None:
        # None once the half has ended, so that captures are no cycles, and where nothing is captured.
        self._capture = capture
        self._part = part
        self.begun = part == REQ
        self.ended = False
        #: Bytes of the body that passed.
        self.seen = 0
        self._taken = 0
        #: How long the body will be, where that is known: a half that is given up after so many bytes is whole.
        self.expected: Optional[int] = None
        self._cut = ""

    def leave_out(self) -> None:
        """Captures nothing of the body, which is not empty; its length is still counted."""
        self._cut = self._cut or "setting"

    def filter_body(self, headers: Headers) -> None:
        """Leaves the body out where bodies of the content type that its headers name are."""
        types = self._capture._core.body_types if self._capture is not None else None
        if types is not None and not types.is_open and not types.lets_content_type(header(headers, "content-type") or ""):
            self._cut = self._cut or "type"

    def body(self, data: Body) -> None:
        """Takes the next piece of the body."""
        capture = self._capture
        if capture is None or not data:
            return
        if isinstance(data, str):
            data = data.encode("utf-8", "replace")
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        self.seen += size
        if self._cut:
            return
        room = capture._core.settings.body_limit - self._taken
        if size > room:
            self._cut = "setting"
            data, size = memoryview(data).cast("B")[:room], room
            if not room:
                return
        track = capture._track
        if track.left_out[self._part]:
            return
        # Bytes never change and are shared with the queue; all else is copied.
        piece = data if type(data) is bytes else bytes(data)
        if capture._push((BODY, track, self._part, piece), size + MESSAGE_BYTES):
            self._taken += size
        else:
            self._cut = "queue" if capture._held is None else "setting"

    @property
    def is_whole(self) -> bool:
        """Whether all that was expected has passed."""
        return self.expected == self.seen

    def end(self, trailers: Optional[Headers] = None) -> None:
        """Ends the half, with trailers where there were any."""
        self._close("", trailers, self.seen)

    def fail(self, error: str) -> None:
        """Ends the half before its time."""
        self._close(error, None, self.expected)

    def give_up(self, error: str) -> None:
        """Ends the half where its owner has left it: well if all that was expected has passed."""
        if self.begun and self.is_whole:
            self.end()
        else:
            self.fail(error)

    def _close(self, error: str, trailers: Optional[Headers], full_len: Optional[int]) -> None:
        capture = self._capture
        if capture is None:
            return
        if not self.begun:
            capture._respond(None, None, failed=error != "")
            if self._capture is None:
                return
        self.ended = True
        truncated = False
        if error or (self._cut and (self.seen or self._cut != "type")):
            error = "queue" if self._cut == "queue" else error[:MAX_ERROR_BYTES]
            truncated = True
        us = capture._elapsed_us()
        ends = (END, capture._track, self._part, us, trailers, error, truncated, full_len)
        cost = len(error) + (cost_of(trailers) if trailers else 0)
        if cost <= CLOSING_BYTES // 4:
            capture._push_reserved(ends)
        elif not capture._push(ends, cost + MESSAGE_BYTES):
            capture._push_reserved((*ends[:4], None, "queue", True, full_len))
        self._capture = None


class _Held:
    """What a capture that sampling left out would queue."""

    __slots__ = ("start", "start_cost", "messages", "cost", "body_bytes")

    def __init__(self, start: Start, cost: int) -> None:
        self.start = start
        self.start_cost = self.cost = cost
        self.messages: List[Tuple[Message, int]] = []
        self.body_bytes = 0


class Capture:
    """One capture under way; see :meth:`Emitter.begin`. As a context manager it ends with its block, with the name of what the block raised.

    One that is not captured (sampled out, the queue full, output ``off``) takes all calls and does nothing. One that is let go of before
    :meth:`finish` ends as truncated. No method raises for a fault of the emitter.
    """

    __slots__ = ("id", "_core", "_track", "_held", "_start_ns", "_ts_us", "_oneway", "request", "response", "_error", "__weakref__")

    def __init__(self, core: "Optional[Core]" = None, id: str = "", ts_us: int = 0, oneway: bool = False) -> None:
        #: The capture's id; ``None`` where it is not captured.
        self.id: Optional[str] = None
        # None where nothing is captured; then neither half has an owner.
        self._core: Any = core
        self._track = Track(id, not oneway)
        self._held: Optional[_Held] = None
        self._start_ns = time.monotonic_ns()
        self._ts_us = ts_us
        self._oneway = oneway
        self._error = ""
        #: The halves, for those who write integrations.
        owner = None if core is None else self
        self.request = Half(owner, REQ)
        self.response = Half(owner, RES)

    def request_body(self, data: Body) -> None:
        """Adds to the request's body: a statement, arguments, a message. Text is taken as UTF-8."""
        self.request.body(data)

    def respond(self, status: Union[int, str, None] = None, headers: Optional[AnyHeaders] = None) -> None:
        """Begins the response: an HTTP status as an integer, any other protocol's (an SQLSTATE, a gRPC status name) as text."""
        self._respond(status, pairs_of(headers))

    def response_body(self, data: Body) -> None:
        """Adds to the response's body: rows as JSON, a reply."""
        if not self.response.begun:
            self._respond(None, None)
        self.response.body(data)

    def error(self, error: Union[str, BaseException]) -> None:
        """Says what went wrong; the capture then ends with it. Of an exception the names of its type and of its causes' are kept."""
        self._error = describe(error) if isinstance(error, BaseException) else str(error)

    def finish(self) -> None:
        """Ends the capture."""
        error, self._error = self._error, ""
        if self._oneway and self._held is not None:
            self._keep() if error else self._let_go()
        if error and self._oneway:
            self.request.fail(error)
        self.request.end()
        if not self._oneway:
            if error:
                self.response.fail(error)
            self.response.end()

    def __enter__(self) -> "Capture":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], fault: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if fault is not None:
            self.error(fault)
        self.finish()

    def __del__(self) -> None:
        try:
            self.abandon()
        except Exception:
            pass

    def abandon(self) -> None:
        """Ends what is open where nobody will go on with it."""
        if self._core is None:
            return
        request, response = self.request, self.response
        if not request.ended:
            request.give_up("body not read to its end" if request.seen else "body not read")
        if not self._oneway and not response.ended:
            response.give_up("body dropped before its end" if response.begun else "cancelled")
        if self._held is not None:
            self._let_go()

    def _begin(self, start: Start, cost: int) -> bool:
        """Has the capture admitted; false where it is dropped."""
        core, track = self._core, self._track
        if core.sink.is_gone or not core.start_writer() or not core.queue.admit(track, (BEGIN, track, start), cost):
            core.drop()
            self._detach()
            return False
        self.id = track.id
        return True

    def _detach(self) -> None:
        """From here on nothing is captured."""
        self._core = self.request._capture = self.response._capture = None

    def _hold(self, start: Start, cost: int) -> bool:
        """Holds the capture back until its response begins; false where there is no room for that."""
        core = self._core
        if core.sink.is_gone or not core.queue.reserve(cost):
            # Nobody knows whether it would have been an error.
            core.drop()
            self._detach()
            return False
        self._held = _Held(start, cost)
        self.id = self._track.id
        return True

    def _let_go(self) -> None:
        """Leaves a held capture out."""
        core, held = self._core, self._held
        self._held = self.id = None
        self._detach()
        if held is not None:
            core.queue.release(held.cost)
            core.sample_out()

    def _keep(self) -> None:
        """Captures a held capture after all."""
        held, self._held = self._held, None
        assert held is not None
        self._core.queue.release(held.cost)
        if not self._begin(held.start, held.start_cost):
            self.id = None
            return
        for message, cost in held.messages:
            if message[0] == END:
                cut = self.request._cut == "queue"
                self._push_reserved((*message[:4], None, "queue", True, message[-1]) if cut else message)
            elif self.request._cut != "queue" and not self._push(message, cost):
                self.request._cut = "queue"

    def _respond(self, status: Union[int, str, None], headers: Optional[Headers], failed: bool = False) -> None:
        half = self.response
        if self._core is None or half.begun or self._oneway:
            return
        if self._held is not None:
            if failed or (isinstance(status, int) and status >= 500):
                self._keep()
            else:
                self._let_go()
            if self._core is None:
                return
        half.begun = True
        track = self._track
        us = self._elapsed_us()
        at = self._ts_us + us
        if not self._push((RESPOND, track, at, us, status, headers), cost_of(headers) + MESSAGE_BYTES):
            # No room for the headers: it begins without them, and its body is left out.
            self._push_reserved((RESPOND, track, at, us, status, None))
            half._cut = "queue"

    def _assist(self) -> None:
        """Has this thread cut into lines what is queued, once its response is on its way: for integrations, which know when it is."""
        if self._core is not None:
            self._core.assist()

    def _elapsed_us(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // 1000

    def _push(self, message: Message, cost: int) -> bool:
        held = self._held
        if held is None:
            return bool(self._core.queue.push(message, cost))
        queue = self._core.queue
        if message[0] == BODY:
            piece = message[3]
            room = HELD_BODY_BYTES - held.body_bytes
            if len(piece) > room:
                # As much as is kept; the rest is left out.
                if room and queue.reserve(room + MESSAGE_BYTES):
                    held.messages.append(((*message[:3], piece[:room]), room + MESSAGE_BYTES))
                    held.cost += room + MESSAGE_BYTES
                    held.body_bytes += room
                return False
            held.body_bytes += len(piece)
        if not queue.reserve(cost):
            return False
        held.cost += cost
        held.messages.append((message, cost))
        return True

    def _push_reserved(self, message: Message) -> None:
        if self._held is not None:
            self._held.messages.append((message, 0))
        else:
            self._core.queue.push_reserved(message)
