#!/usr/bin/env python3
"""Records the streams: the sample functions (samples/lambda) under their runtime clients, as check.py there runs them.

    record.py        writes every stream, and expected.json

Not deterministic: ids and times are those of the recording. What is recorded was judged before; paths of the machine become those of Lambda.
"""

import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent.parent
ROOT = SAMPLES.parent
sys.path.insert(0, str(SAMPLES / "lambda"))

from check import FORMATS, Trial, called, summary  # noqa: E402
from languages import CLASSES, LANGUAGES  # noqa: E402

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


def main():
    expected = {}
    server = called()
    for language, kind in LANGUAGES.items():
        with tempfile.TemporaryDirectory() as place:
            kind.build(Path(place))
            for name in CLASSES:
                for log_format in FORMATS:
                    file = f"{name}-{language}.{log_format.lower()}.ndjson"
                    text, expected[file] = recorded(language, name, log_format, Path(place), server)
                    (HERE / file).write_text(text, encoding="utf-8")
                    print(f"{len(text):8} {file}")
    (HERE / "expected.json").write_text(laid_out(expected), encoding="utf-8")


if __name__ == "__main__":
    main()
