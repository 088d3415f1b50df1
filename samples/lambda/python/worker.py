"""Takes orders off a queue; a batch with one that is no JSON fails whole."""

import json
import logging

from reassemble_emitter import Emitter
from reassemble_emitter.aws_lambda import capture_handler

logging.getLogger().setLevel(logging.INFO)
emitter = Emitter.from_env()


@capture_handler(emitter)
def handler(event, context):
    for message in event["Records"]:
        order = json.loads(message["body"])
        logging.info("%s\n  of %s", order["qty"], order["item"])
    return {"batchItemFailures": []}
