"""Captures what a service is asked and answers, as capture lines on its standard output.

>>> from reassemble_emitter import Emitter
>>> from reassemble_emitter.asgi import CaptureMiddleware   # or .wsgi
>>> app = CaptureMiddleware(app, Emitter.from_env())        # doctest: +SKIP

- :mod:`reassemble_emitter.asgi` and :mod:`reassemble_emitter.wsgi` capture what a server answers.
- :mod:`reassemble_emitter.requests`, :mod:`reassemble_emitter.httpx` and :mod:`reassemble_emitter.urllib3` capture what it asks of others.
- :meth:`Emitter.begin` captures anything else: queries, messages, jobs.

What holds: the app never waits, for a thread of the emitter's own writes, and redacts and cuts what requests' threads leave it of a queue that is bounded in
bytes; bodies are captured as they stream by and pass unchanged; secrets stay in; no line is spread over two writes; a fault of the emitter never reaches the app.
"""

from .capture import Capture
from .context import CaptureContext, current_context
from .core import Counts
from .emitter import Emitter
from .identity import TraceParent
from .settings import Settings, SettingsError

__all__ = ["Capture", "CaptureContext", "Counts", "Emitter", "Settings", "SettingsError", "TraceParent", "current_context"]
