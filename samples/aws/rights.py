"""`reassemble` at work in moto with the template's policies and no other rights."""

import json
import os
import tempfile
from fnmatch import fnmatchcase
from urllib.parse import parse_qs

from judge import run
from stack import REGION, TEMPLATE, Moto, Stack, policy_of, put_code
from trial import ROOT

LOG = ROOT / "samples" / "logs" / "shop.plain.log"


def check_rights(checks, place):
    """`reassemble` with the writing policy and then the merging one beside it; moto refuses what they do not allow."""
    moto = Moto(place)
    try:
        put_code(moto)
        stack = Stack(moto, TEMPLATE, "rights", {})
        bucket, writes, merges = (stack.outputs[key] for key in ("Bucket", "PolicyArn", "MergePolicyArn"))
        # moto takes no conditions: that of the bucket's policy is about TLS, those of the policies are held against what is asked for.
        moto.client("s3").delete_bucket_policy(Bucket=bucket)
        conditions = without_conditions(moto, merges)
        writer, merger = user(moto, "writer", writes), user(moto, "merger", writes, merges)
        may_write, may_merge = (actions_of(policy_of(moto, arn)) for arn in (writes, merges))
        moto.enforce()

        lines = LOG.read_text(encoding="utf-8").splitlines(keepends=True)
        halves = [place / "first.log", place / "second.log"]
        for path, half in zip(halves, (lines[::2], lines[1::2])):
            path.write_text("".join(half), encoding="utf-8")
        to = stack.outputs["Destination"]
        moto.forget_calls()
        # The second half twice, by a reader that knows nothing of the first time: what is there already is compared.
        for arguments in ([halves[0]], [halves[1]], [halves[1]], ["--check", halves[0]]):
            stored(checks, moto, place, writer, *arguments, "--to", to)
        written = asked(moto, bucket)
        refused = reassemble(moto, place, writer, "merge", to)
        is_refused = refused.returncode != 0 and "s3:ListBucket" in refused.stderr
        checks.true(f"rights: merging without the policy for it: {refused.stderr}", is_refused)
        moto.forget_calls()
        stored(checks, moto, place, merger, "merge", to)
        merged = asked(moto, bucket)
    finally:
        moto.stop()
    checks.same("rights: what is done to store, and what is allowed for it", done(written), may_write)
    checks.same("rights: what merging does besides, and what is allowed for it", done(merged) - may_write, may_merge)
    listed = {prefix for what, prefix, _ in merged if what == "s3:ListBucket"}
    pattern = conditions["StringLike"]["s3:prefix"]
    checks.same("rights: listings, and whether their prefix is allowed", {fnmatchcase(one, pattern) for one in listed}, {True})


def user(moto, name, *policies):
    """The keys of a user with these policies."""
    iam = moto.client("iam")
    iam.create_user(UserName=name)
    for arn in policies:
        iam.attach_user_policy(UserName=name, PolicyArn=arn)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def actions_of(policy):
    lists = [statement["Action"] for statement in policy["Statement"]]
    return {action for actions in lists for action in ([actions] if isinstance(actions, str) else actions)}


def without_conditions(moto, arn):
    """Takes the conditions out of a policy; gives them."""
    policy, conditions = policy_of(moto, arn), {}
    for statement in policy["Statement"]:
        conditions.update(statement.pop("Condition", {}))
    moto.client("iam").create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(policy), SetAsDefault=True)
    return conditions


def reassemble(moto, place, keys, *arguments):
    key, secret = keys
    aws = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": REGION}
    store = ["--s3-endpoint", moto.url, "--s3-path-style", "--state", tempfile.mkdtemp(dir=place)]
    return run(*arguments, *store, env={**os.environ, **aws})


def stored(checks, moto, place, keys, *arguments):
    ran = reassemble(moto, place, keys, *arguments)
    what = " ".join(str(argument) for argument in arguments)
    checks.true(f"rights: reassemble {what} ended with {ran.returncode}: {ran.stdout}{ran.stderr}", ran.returncode == 0)


def asked(moto, bucket):
    """What moto was asked for of a bucket: action, prefix of a listing, status."""
    calls = []
    for method, url, status in moto.calls():
        of_bucket, _, key = url.path.removeprefix("/").partition("/")
        if of_bucket == bucket:
            query = parse_qs(url.query, keep_blank_values=True)
            calls.append((action(method, key, query), query.get("prefix", [None])[0], status))
    return calls


def done(calls):
    return {what for what, _, status in calls if status < 400}


def action(method, key, query):
    """What a role needs for a call ("Actions, resources, and condition keys for Amazon S3" in the service authorization reference)."""
    if not key:
        return "s3:ListBucketMultipartUploads" if "uploads" in query else "s3:ListBucket"
    if method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"
    return "s3:GetObject" if method in ("GET", "HEAD") else "s3:PutObject"
