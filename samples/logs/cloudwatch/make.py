#!/usr/bin/env python3
"""Puts ../shop.plain.log into every form in which CloudWatch Logs hands lines on, from the documented shapes.

    python3 make.py            writes the files
    python3 make.py --check    fails where a file does not hold what would be written

Compressed data is compared by what it holds: compressors differ.
"""

import base64
import gzip
import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = datetime(2026, 11, 22, 9, 58, 30, tzinfo=timezone.utc)
ACCOUNT = "123456789012"
GROUP = "/ecs/shop"
FILTER = "to-firehose"
STREAMS = ["shop/storefront/0f3a", "shop/checkout/77b1", "shop/catalog/c2d9"]
EVENTS_A_DOCUMENT = 16


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def document(stream, numbered):
    """As CloudWatch Logs writes it: no white space, ids of 56 digits, times in milliseconds."""
    first = int(START.timestamp() * 1000)
    events = [{"id": f"{3 * 10**55 + number:056}", "timestamp": first + number, "message": line} for number, line in numbered]
    return compact({
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": GROUP,
        "logStream": stream,
        "subscriptionFilters": [FILTER],
        "logEvents": events,
    })


def control():
    return compact({
        "messageType": "CONTROL_MESSAGE",
        "owner": "CloudwatchLogs",
        "logGroup": "",
        "logStream": "",
        "subscriptionFilters": [],
        "logEvents": [{"id": "", "timestamp": int(START.timestamp() * 1000), "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}],
    })


def packed(text):
    return gzip.compress(text.encode(), mtime=0)


def encoded(text):
    return base64.b64encode(packed(text)).decode()


def documents(lines):
    """The lines dealt out to three streams, so that most captures are spread over several documents of several streams."""
    dealt = {stream: [] for stream in STREAMS}
    for number, line in enumerate(lines):
        dealt[STREAMS[number // 2 % len(STREAMS)]].append((number, line))
    made = []
    for stream, numbered in dealt.items():
        for at in range(0, len(numbered), EVENTS_A_DOCUMENT):
            made.append(document(stream, numbered[at:at + EVENTS_A_DOCUMENT]))
    # Firehose gathers them as they come.
    return made[::2] + made[1::2]


def files():
    lines = (HERE.parent / "shop.plain.log").read_text().splitlines()
    all_of_one = document(STREAMS[0], list(enumerate(lines)))
    spread = [control(), *documents(lines)]
    stamped = [f"{(START + timedelta(milliseconds=number)).isoformat(timespec='milliseconds').replace('+00:00', 'Z')} {line}\n" for number, line in enumerate(lines)]
    kinesis = [{
        "kinesis": {"kinesisSchemaVersion": "1.0", "partitionKey": STREAMS[0], "sequenceNumber": str(4 * 10**55 + number),
                    "data": encoded(text), "approximateArrivalTimestamp": START.timestamp()},
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000006:{4 * 10**55 + number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/forwarder",
        "awsRegion": "eu-central-1",
        "eventSourceARN": f"arn:aws:kinesis:eu-central-1:{ACCOUNT}:stream/logs",
    } for number, text in enumerate(spread)]
    firehose = [{"recordId": f"4954612{number:04}", "approximateArrivalTimestamp": int(START.timestamp() * 1000), "data": encoded(text)}
                for number, text in enumerate(spread)]
    return {
        "firehose.gz": b"".join(map(packed, spread)),
        "export.gz": packed("".join(stamped)),
        "awslogs.event.json": compact({"awslogs": {"data": encoded(all_of_one)}}).encode(),
        "kinesis.event.json": compact({"Records": kinesis}).encode(),
        "firehose.event.json": compact({
            "invocationId": "bc9a7f6d-1f4e-4b6b-8a53-6d1d0a5e3c11",
            "deliveryStreamArn": f"arn:aws:firehose:eu-central-1:{ACCOUNT}:deliverystream/logs",
            "region": "eu-central-1",
            "records": firehose,
        }).encode(),
    }


def plainly(name, data):
    """What a file holds, without compression."""
    if name.endswith(".gz"):
        return gzip.decompress(data)

    def undone(value):
        if isinstance(value, dict):
            return {key: gzip.decompress(base64.b64decode(each)).decode() if key == "data" and isinstance(each, str) else undone(each)
                    for key, each in value.items()}
        return [undone(each) for each in value] if isinstance(value, list) else value

    return undone(json.loads(data))


def main():
    made = files()
    if "--check" in sys.argv[1:]:
        wrong = [name for name, data in made.items()
                 if not (HERE / name).exists() or plainly(name, (HERE / name).read_bytes()) != plainly(name, data)]
        sys.exit("not as generated: " + ", ".join(wrong) if wrong else 0)
    for name, data in made.items():
        (HERE / name).write_bytes(data)
        print(f"{len(data):8} {name}")


if __name__ == "__main__":
    main()
