"""The SAM template as CloudFormation gets it, and made in a moto server.

moto makes a stack's bucket, queue, log group, role, policies, layer and function. What else the template has of the bucket and of subscriptions is made by
the calls that CloudFormation would make, from the properties as moto resolves them.
"""

import io
import json
import logging
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import boto3
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from trial import Fault, free_port, wait_for

# It counts what it transformed, and wants that published.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

TEMPLATE = Path(__file__).resolve().parent / "sam" / "template.yaml"
REGION = "eu-north-1"
# moto's.
ACCOUNT = "123456789012"
# Where `sam deploy` would have put the zips.
CODE_BUCKET = "code"
NOTHING = {"Ref": "AWS::NoValue"}
# What moto does not make, or not whole.
TOLD = (
    "AWS::IAM::Role",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::Lambda::Function",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Logs::SubscriptionFilter",
)


class Moto:
    """A moto server. Until `enforce`, whoever asks may do everything."""

    def __init__(self, place):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = place / "moto.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)],
                stdout=log,
                stderr=log,
                env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "1000000"},
            )
        wait_for(self.port, self.process, "moto", lambda: self.log.read_text(encoding="utf-8", errors="replace")[-2000:])

    def client(self, service, keys=("nobody", "nothing", None)):
        key, secret, token = keys
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
        )

    def enforce(self):
        """Holds every call from now on to the caller's policies."""
        as_text = {"Content-Type": "text/plain"}
        urlopen(Request(f"{self.url}/moto-api/reset-auth", data=b"0", headers=as_text), timeout=60).close()

    def calls(self):
        """What it was asked for since `forget_calls`: method, URL, status."""
        text = re.sub(r"\x1b\[[\d;]*m", "", self.log.read_text(encoding="utf-8", errors="replace"))
        told = re.findall(r'"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/[\d.]+" (\d+)', text)
        return [(method, urlsplit(url), int(status)) for method, url, status in told]

    def forget_calls(self):
        os.truncate(self.log, 0)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Stack:
    """The template's resources with these parameters."""

    def __init__(self, moto, template, name, parameters):
        self.moto = moto
        fragment = transformed(template, parameters)
        kinds = {logical: resource["Type"] for logical, resource in fragment["Resources"].items()}
        # moto tells what it made of properties where they are an output.
        for logical, kind in kinds.items():
            if kind in TOLD:
                resource = fragment["Resources"][logical]
                condition = {"Condition": resource["Condition"]} if "Condition" in resource else {}
                fragment["Outputs"][f"Resolved{logical}"] = {
                    "Value": {"Fn::ToJsonString": resource["Properties"]},
                    **condition,
                }
        cloudformation = moto.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(fragment),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if stack["StackStatus"] != "CREATE_COMPLETE":
            raise Fault(f"stack {name}: {stack['StackStatus']} {stack.get('StackStatusReason', '')}")
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.properties = {
            logical: json.loads(self.outputs.pop(f"Resolved{logical}"))
            for logical, kind in kinds.items()
            if f"Resolved{logical}" in self.outputs
        }
        for logical, properties in self.properties.items():
            self.call(kinds[logical], properties)

    def call(self, kind, properties):
        """What CloudFormation would do for a resource besides what moto does."""
        if kind == "AWS::S3::Bucket":
            s3, bucket = self.moto.client("s3"), self.outputs["Bucket"]
            s3.put_public_access_block(
                Bucket=bucket, PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"]
            )
            rules = [api_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
            s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
        elif kind == "AWS::S3::BucketPolicy":
            policy = json.dumps(properties["PolicyDocument"])
            self.moto.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=policy)
        elif kind == "AWS::Logs::SubscriptionFilter":
            self.moto.client("logs").put_subscription_filter(
                logGroupName=properties["LogGroupName"],
                filterName="captures",
                filterPattern=properties["FilterPattern"],
                destinationArn=properties["DestinationArn"],
            )
        elif kind == "AWS::Lambda::EventInvokeConfig":
            self.moto.client("lambda").put_function_event_invoke_config(**properties)


def api_rule(rule):
    """A rule as S3's API takes it, of CloudFormation's."""
    made = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule["Prefix"]}}
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return made


def transformed(template, parameters):
    """The template as SAM has CloudFormation apply it, with code where `sam deploy` would have put it."""
    fragment = yaml_parse(template.read_text(encoding="utf-8"))
    for resource in fragment["Resources"].values():
        for key in ("CodeUri", "ContentUri"):
            path = resource["Properties"].get(key)
            if path is not None:
                resource["Properties"][key] = f"s3://{CODE_BUCKET}/{Path(path).name}"
    return without_nothing(transform(fragment, parameters, ManagedPolicyLoader(None)), parameters)


def without_nothing(fragment, parameters):
    """Takes out what is not there under these parameters, as CloudFormation does, and moto does not in lists."""
    values = {name: parameters.get(name, told.get("Default")) for name, told in fragment["Parameters"].items()}

    def holds(condition):
        [(function, of)] = condition.items()
        if function == "Fn::Not":
            return not holds(of[0])
        if function == "Fn::Or":
            return any(holds(one) for one in of)
        if function == "Fn::Equals":
            first, second = (values[one["Ref"]] if isinstance(one, dict) else one for one in of)
            return str(first) == str(second)
        raise Fault(f"no condition has been written with {function} before")

    def chosen(node):
        while isinstance(node, dict) and "Fn::If" in node:
            name, this, other = node["Fn::If"]
            node = this if holds(fragment["Conditions"][name]) else other
        return node

    def settled(node):
        node = chosen(node)
        if isinstance(node, dict):
            return {key: settled(value) for key, value in node.items() if chosen(value) != NOTHING}
        if isinstance(node, list):
            return [settled(one) for one in node if chosen(one) != NOTHING]
        return node

    return {**fragment, "Resources": settled(fragment["Resources"])}


def put_code(moto):
    """Zips for layer and function: moto looks for them, and runs nothing."""
    s3 = moto.client("s3")
    s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("bootstrap", "")
    for name in ("reassemble-extension-x86_64.zip", "reassemble-forwarder-x86_64.zip"):
        s3.put_object(Bucket=CODE_BUCKET, Key=name, Body=zipped.getvalue())


def policy_of(moto, arn):
    iam = moto.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
