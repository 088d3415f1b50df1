"""How each language's functions are built, and started under its runtime client."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from trial import Fault

HERE = Path(__file__).resolve().parent
# What every language has.
FUNCTIONS = ("web", "worker")


def run(command, folder):
    """Runs a step of a build; what it says is told where it fails."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Fault(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout.decode('utf-8', 'replace')[-1500:]}")


class Python:
    is_framing = True
    functions = FUNCTIONS
    folder = HERE / "python"

    @staticmethod
    def lacks():
        missing = [name for name in ("awslambdaric", "reassemble_emitter", "urllib3") if importlib.util.find_spec(name) is None]
        return f"{', '.join(missing)}: pip install -r requirements-dev.txt" if missing else None

    @staticmethod
    def build(_):
        pass

    @staticmethod
    def command(name, _):
        return [sys.executable, "-m", "awslambdaric", f"{name}.handler"]


class Node:
    is_framing = True
    functions = (*FUNCTIONS, "stream")
    folder = HERE / "node"
    client = folder / "node_modules" / "aws-lambda-ric"
    native = client / "dist" / "rapid-client.node"
    # What npm builds the client's native part with.
    builders = ["npm", "cmake", "make", "c++", "autoconf", "automake", "libtoolize"]

    @classmethod
    def lacks(cls):
        tools = ["node"] if cls.native.exists() else ["node", *cls.builders]
        missing = [tool for tool in tools if shutil.which(tool) is None]
        return ", ".join(missing) or None

    @classmethod
    def build(cls, _):
        if not cls.native.exists():
            run(["npm", "ci", "--no-fund", "--no-audit"], cls.folder)

    @classmethod
    def command(cls, name, _):
        return ["node", str(cls.client / "bin" / "index.mjs"), f"{name}.handler"]


class Go:
    # Its client prints to standard error, and knows no frames.
    is_framing = False
    functions = FUNCTIONS
    folder = HERE / "go"

    @staticmethod
    def lacks():
        return None if shutil.which("go") else "go"

    @classmethod
    def build(cls, place):
        for name in cls.functions:
            run(["go", "build", "-o", place / name, f"./{name}"], cls.folder)

    @staticmethod
    def command(name, place):
        return [str(place / name)]


class Java:
    is_framing = True
    functions = (*FUNCTIONS, "typed")
    folder = HERE / "java"

    @staticmethod
    def lacks():
        missing = [tool for tool in ("mvn", "java") if shutil.which(tool) is None]
        return ", ".join(missing) or None

    @classmethod
    def build(cls, _):
        run(["mvn", "--quiet", "--batch-mode", "compile", "dependency:build-classpath"], cls.folder)

    @classmethod
    def command(cls, name, _):
        classpath = (cls.folder / "target" / "classpath").read_text(encoding="utf-8").strip()
        client = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
        # As Lambda starts it: the client makes a stream of the descriptor that takes frames.
        return ["java", "--add-opens=java.base/java.io=ALL-UNNAMED", "-cp", f"target/classes:{classpath}", client, f"shop.{name.title()}"]


LANGUAGES = {"python": Python, "node": Node, "go": Go, "java": Java}
