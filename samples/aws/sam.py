"""What the SAM template makes, of several parameters."""

import json
import re
import subprocess
import sys
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from judge import does, printed_rules
from stack import ACCOUNT, REGION, TEMPLATE, Moto, Stack, policy_of, put_code

GROUP = "/ecs/shop"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/5c1d7a52-0000-4000-8000-000000000000"
# (the stack's name, its parameters, the days of complete, failed and incomplete exchanges)
STACKS = [
    ("first", {}, (30, 90, 7)),
    ("forwards", {"ForwardedLogGroup": GROUP, "ForwarderConcurrency": "5"}, (30, 90, 7)),
    ("alike", {"Prefix": "prod/captures", "RetentionErrorsDays": "30", "RetentionIncompleteDays": "30"}, (30, 30, 30)),
    ("keyed", {"KmsKeyArn": KEY, "RetentionDays": "60", "RetentionErrorsDays": "7"}, (60, 7, 7)),
]


def check_sam(checks, place):
    templates = [str(path) for path in sorted(TEMPLATE.parent.glob("*.yaml"))]
    lint = Path(sys.executable).parent / "cfn-lint"
    linted = subprocess.run([lint, *templates], capture_output=True, text=True)
    checks.same("cfn-lint", (linted.returncode, linted.stdout + linted.stderr), (0, ""))
    moto = Moto(place)
    try:
        put_code(moto)
        moto.client("logs").create_log_group(logGroupName=GROUP)
        for name, parameters, days in STACKS:
            stack = Stack(moto, TEMPLATE, name, parameters)
            check_bucket(checks, stack, name, parameters, days)
            if name == "forwards":
                check_forwarder(checks, moto, stack)
            else:
                checks.true(f"{name}: there is no forwarder", "ForwarderArn" not in stack.outputs)
    finally:
        moto.stop()


def check_bucket(checks, stack, name, parameters, days):
    s3, bucket = stack.moto.client("s3"), stack.outputs["Bucket"]
    prefix = parameters.get("Prefix", "captures")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    checks.same(f"{name}: lifecycle rules", does(rules), printed_rules(prefix, days))
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    checks.same(f"{name}: what is public", {kind for kind, is_blocked in blocked.items() if not is_blocked}, set())
    checks.same(f"{name}: kinds of public access that are blocked", len(blocked), 4)
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    by = rule["ApplyServerSideEncryptionByDefault"]
    expected = ("aws:kms", KEY) if "KmsKeyArn" in parameters else ("AES256", None)
    checks.same(f"{name}: encryption", (by["SSEAlgorithm"], by.get("KMSMasterKeyID")), expected)
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    arn = f"arn:aws:s3:::{bucket}"
    expected = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    checks.same(f"{name}: the bucket's policy", policy["Statement"], [expected])
    checks.same(f"{name}: destination", stack.outputs["Destination"], f"s3://{bucket}/{prefix}")
    statements = policy_of(stack.moto, stack.outputs["PolicyArn"])["Statement"]
    keyed = [statement["Resource"] for statement in statements if statement["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]]
    checks.same(f"{name}: the key's use", keyed, [KEY] if "KmsKeyArn" in parameters else [])


def check_forwarder(checks, moto, stack):
    functions, logs = moto.client("lambda"), moto.client("logs")
    arn, own = stack.outputs["ForwarderArn"], "/reassemble/forwards/forwarder"
    function = functions.get_function_configuration(FunctionName=arn)
    checks.same("forwarder: runtime", (function["Runtime"], function["Architectures"]), ("provided.al2023", ["x86_64"]))
    variables = function["Environment"]["Variables"]
    kept = {"REASSEMBLE_RETENTION": "30d", "REASSEMBLE_RETENTION_ERRORS": "90d", "REASSEMBLE_RETENTION_INCOMPLETE": "7d"}
    checks.same("forwarder: variables", variables, {"REASSEMBLE_TO": stack.outputs["Destination"], **kept})
    reserved = functions.get_function_concurrency(FunctionName=arn).get("ReservedConcurrentExecutions")
    checks.same("forwarder: concurrency", reserved, 5)
    told = stack.properties["Forwarder"]
    checks.same("forwarder: where its log goes", told["LoggingConfig"], {"LogGroup": own})
    groups = {group["logGroupName"]: group for group in logs.describe_log_groups()["logGroups"]}
    checks.same("forwarder: days of its log", groups[own].get("retentionInDays"), 14)

    filters = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
    subscribed = [(found["destinationArn"], found["filterPattern"]) for found in filters]
    checks.same("forwarder: the group's subscription", subscribed, [(arn, "cap1")])
    filters = logs.describe_subscription_filters(logGroupName=own)["subscriptionFilters"]
    checks.same("forwarder: subscriptions of its own log group", filters, [])
    allowed = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Parameters"]["ForwardedLogGroup"]["AllowedPattern"]
    checks.same("forwarder: groups that it may be subscribed to", [bool(re.match(allowed, name)) for name in (GROUP, own)], [True, False])
    policy = json.loads(functions.get_policy(FunctionName=arn)["Policy"])
    invokes = [(found["Principal"]["Service"], found["Condition"]["ArnLike"]["AWS:SourceArn"]) for found in policy["Statement"]]
    source = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*"
    checks.same("forwarder: who may invoke it", invokes, [("logs.amazonaws.com", source)])

    queue = stack.outputs["UndeliveredQueue"]
    sqs = moto.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    checks.same("forwarder: seconds for which the queue keeps", attributes["MessageRetentionPeriod"], "1209600")
    checks.same("forwarder: what fails", told["DeadLetterConfig"], {"TargetArn": attributes["QueueArn"]})
    tries = functions.get_function_event_invoke_config(FunctionName=arn)
    checks.same("forwarder: tries", (tries["MaximumRetryAttempts"], tries["MaximumEventAgeInSeconds"]), (2, 21600))
    role = stack.properties["ForwarderRole"]
    checks.same("forwarder: policies", role["ManagedPolicyArns"], [stack.outputs["PolicyArn"]])
    [own_policy] = role["Policies"]
    # AWS gives a log group's ARN with `:*`, which its streams match; moto here without.
    rights = [(statement["Action"], statement["Resource"]) for statement in own_policy["PolicyDocument"]["Statement"]]
    of_log = ["logs:CreateLogStream", "logs:PutLogEvents"]
    checks.same("forwarder: rights", rights, [(of_log, groups[own]["arn"].removesuffix(":*")), ("sqs:SendMessage", attributes["QueueArn"])])
