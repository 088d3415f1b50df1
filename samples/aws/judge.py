"""What the checks share: the list of what is wrong, and what `reassemble` says of lifecycle rules."""

import json
import subprocess

from trial import REASSEMBLE, Fault


class Checks:
    def __init__(self):
        self.faults = []

    def same(self, what, found, expected):
        if found != expected:
            self.faults.append(f"{what}: {found!r}, not {expected!r}")

    def true(self, what, holds):
        if not holds:
            self.faults.append(what)


def run(*arguments, **options):
    return subprocess.run([REASSEMBLE, *map(str, arguments)], capture_output=True, text=True, **options)


def printed_rules(prefix, days):
    """What `reassemble lifecycle` prints, of each rule what it does."""
    flags = zip(("--retention", "--retention-errors", "--retention-incomplete"), (f"{number}d" for number in days))
    ran = run("lifecycle", "--to", f"s3://bucket/{prefix}", *(word for flag in flags for word in flag))
    if ran.returncode != 0:
        raise Fault(f"reassemble lifecycle ended with {ran.returncode}: {ran.stderr}")
    return does(json.loads(ran.stdout)["Rules"])


def does(rules):
    """Prefix, action and days of rules, whatever their ids."""
    return sorted(
        (
            rule["Filter"]["Prefix"],
            "expires" if "Expiration" in rule else "aborts",
            rule["Expiration"]["Days"]
            if "Expiration" in rule
            else rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"],
        )
        for rule in rules
        if rule["Status"] == "Enabled"
    )
