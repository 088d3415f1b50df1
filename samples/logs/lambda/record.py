#!/usr/bin/env python3
"""Records the streams: the sample functions (samples/lambda) under their runtime clients, as check.py there runs them.

    record.py [FUNCTION-LANGUAGE…]    writes every stream unless some are named, and expected.json

Not deterministic: ids and times are those of the recording. What is recorded was judged before; paths of the machine become those of Lambda.
"""

import json
import sys
import tempfile
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent.parent
ROOT = SAMPLES.parent
sys.path.insert(0, str(SAMPLES / "lambda"))

from check import FORMATS, Trial, called, summary  # noqa: E402
from languages import LANGUAGES  # noqa: E402

# The longest first, for one may hold another.
PATHS = {
    str(ROOT / "emitter" / "node"): "/var/task/node_modules/reassemble-emitter",
    str(ROOT / "emitter" / "python"): "/var/task",
    **{str(language.folder): "/var/task" for language in LANGUAGES.values()},
    sys.prefix: "/var/lang",
    sys.base_prefix: "/var/lang",
}


def recorded(language, name, log_format, place, server):
    """The stream's text and its exchanges. Lambda gives frames to every client that knows them."""
    trial = Trial(language, name, log_format, LANGUAGES[language].is_framing, place, server)
    with tempfile.TemporaryDirectory() as captures:
        events = trial.judge(Path(captures))
    if trial.faults:
        sys.exit(f"{language} {name} {log_format}: {trial.faults}")
    text = "\n".join(events) + "\n"
    for path, told in PATHS.items():
        text = text.replace(path, told)
    if str(ROOT) in text or str(Path.home()) in text:
        sys.exit(f"{language} {name} {log_format}: a path of this machine is in the stream")
    return text, summary(trial.exchanges)


def laid_out(expected):
    """An exchange a line."""
    streams = (f"{json.dumps(name)}: [\n" + ",\n".join(map(json.dumps, exchanges)) + "\n]" for name, exchanges in expected.items())
    return "{\n" + ",\n".join(streams) + "\n}\n"


def main(named):
    file = HERE / "expected.json"
    expected = json.loads(file.read_text(encoding="utf-8")) if named else {}
    server = called()
    for language, kind in LANGUAGES.items():
        wanted = [name for name in kind.functions if not named or f"{name}-{language}" in named]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as place:
            kind.build(Path(place))
            for name, log_format in product(wanted, FORMATS):
                stream = HERE / f"{name}-{language}.{log_format.lower()}.ndjson"
                text, expected[stream.name] = recorded(language, name, log_format, Path(place), server)
                stream.write_text(text, encoding="utf-8")
                print(f"{len(text):8} {stream.name}")
    file.write_text(laid_out(expected), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
