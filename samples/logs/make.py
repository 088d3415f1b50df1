#!/usr/bin/env python3
"""Writes the sample logs of a shop: the same captures in every envelope.

    python3 make.py            writes shop.*.log and expected.json
    python3 make.py --check    fails where a file is not what would be written

Three services, some ordinary lines, and everything a capture can be: JSON, pictures, streams, empty bodies, errors, calls from one
service to the next within one trace, a query. Deterministic: the same bytes on every machine.
"""

import json
import random
import struct
import sys
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPEC = HERE.parent.parent / "formats" / "spec"
sys.path[:0] = [str(SPEC), str(SPEC / "vectors" / "emit")]

import check as writer  # noqa: E402  the specification's own writer of capture lines
from reference_reader import read  # noqa: E402

START = datetime(2026, 11, 20, 9, 58, 30, tzinfo=timezone.utc)
SEED = 20261120
SERVICES = {"storefront": ("web-1", 4096), "checkout": ("pay-2", 4096), "catalog": ("cat-1", 65536)}
WORDS = ("amber basket cedar copper cotton daylight ember field granite harbour indigo juniper kettle lantern linen maple "
         "meadow nutmeg oak olive paper pebble quartz river saffron slate thistle timber velvet willow").split()
DOCKER_PIECE_BYTES = 16384


class Shop:
    """Makes captures, and remembers every line with the microsecond at which it was printed."""

    def __init__(self):
        self.random = random.Random(SEED)
        self.now_us = 0
        self.lines = []
        self.numbers = {}
        self.instances = {name: f"{self.below(1 << 64):016x}" for name in SERVICES}

    def below(self, limit):
        """From random() alone, which is the same in every version of Python."""
        value, bits = 0, limit.bit_length()
        for _ in range(0, bits + 24, 24):
            value = value << 24 | int(self.random.random() * (1 << 24))
        return value % limit

    def pick(self, items):
        return items[self.below(len(items))]

    def words(self, count):
        return " ".join(self.pick(WORDS) for _ in range(count))

    def capture_id(self, at_us):
        ms = int((START + timedelta(microseconds=at_us)).timestamp() * 1000)
        value = ms << 80 | 7 << 76 | self.below(1 << 12) << 64 | 2 << 62 | self.below(1 << 62)
        text = f"{value:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def print(self, at_us, service, text):
        self.lines.append((at_us, len(self.lines), service, text))

    def say(self, service, text):
        """An ordinary line of the app."""
        self.print(self.now_us, service, f"{stamp(self.now_us)} INFO {service}: {text}")

    def part(self, at_us, service, capture, part, head, body, tail):
        arrivals = [{"b64": writer.base64.b64encode(body).decode()}]
        vector = {"limit": SERVICES[service][1], "id": capture, "part": part, "head": head, "arrivals": arrivals, "tail": tail}
        for step, line in enumerate(writer.write(vector).decode().splitlines()):
            self.print(at_us + 3 * step, service, line)

    def stream(self, at_us, service, capture, head, events, us):
        """A response that is written as it comes: a line an event, each with the time at which it passed."""
        body = b"".join(events)
        for seq, event in enumerate(events):
            record = {"cap1": capture, "part": "res", "seq": seq} | ({"head": head} if seq == 0 else {})
            record |= {"at": seq * 150_000, "text": event.decode(), "crc": writer.crc(event)}
            if seq + 1 == len(events):
                record |= {"of": len(events), "tail": {"len": len(body), "crc": writer.crc(body), "us": us}}
            self.print(at_us + seq * 150_000, service, writer.compact(record))

    def exchange(self, service, method, path, status=200, request=b"", response=b"", request_type=None, response_type=None, *,
                 out_to=None, within=None, proto="http/1.1", us=None, headers=(), error=None, events=None, lost=False, cut=None,
                 tags=None):
        """One exchange that begins now; gives (capture id, traceparent) for those within it."""
        began, capture = self.now_us, self.capture_id(self.now_us)
        us = us or 900 + self.below(30_000)
        self.numbers[service] = self.numbers.get(service, 0) + 1
        trace = f"{self.below(1 << 128):032x}" if within is None else within[1].split("-")[1]
        trace = f"00-{trace}-{self.below(1 << 64):016x}-01"
        host = f"{out_to or service}.shop.test"
        asked = [["Accept", "*/*"], ["Host", host], ["User-Agent", "curl/8.14.1" if within is None else f"{service}/2.3"]]
        asked += [["Authorization", "[redacted]"]] if path.startswith("/account") else []
        asked += [["Content-Type", request_type]] if request_type else []
        answered = [["content-type", response_type]] if response_type else []
        answered += [list(header) for header in headers]
        head = {"ts": stamp(began), "service": service, "host": SERVICES[service][0], "inst": self.instances[service],
                "n": self.numbers[service], "dir": "out" if out_to else "in", "proto": proto, "method": method,
                "url": path if "://" in path else f"http://{host}{path}", "headers": asked,
                "peer": f"10.1.{self.below(4)}.{self.below(250)}:{32768 + self.below(20000)}", "trace": trace}
        head |= {"parent": within[0]} if within else {}
        head |= ({"tags": tags} if tags else {}) | {"rate": 1, "why": "all"}
        self.part(began, service, capture, "req", head, request, {"us": 60 + self.below(200)})
        if lost:
            return capture, trace
        reply = {"ts": stamp(began + us - us // 5), "us": us - us // 5, "status": status, "headers": answered}
        if events:
            self.stream(began + us - us // 5, service, capture, reply, events, us + 150_000 * (len(events) - 1))
            return capture, trace
        end = {"us": us} | ({"error": error} if error else {})
        if cut:
            response, end = response[:cut], end | {"truncated": True, "full_len": len(response)}
        self.part(began + us - 40, service, capture, "res", reply, response, end)
        return capture, trace

    def meta(self, service):
        count = self.numbers[service]
        head = {"ts": stamp(self.now_us), "service": service, "host": SERVICES[service][0], "inst": self.instances[service],
                "begun": count, "finished": count, "dropped": 0, "sampled_out": 0}
        vector = {"limit": SERVICES[service][1], "id": self.capture_id(self.now_us), "part": "meta", "head": head}
        self.print(self.now_us, service, writer.write(vector).decode().strip())


def stamp(at_us):
    return (START + timedelta(microseconds=at_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def deflate_stored(data):
    """Deflate without compression: the same bytes whatever the zlib."""
    blocks = [data[at:at + 65535] for at in range(0, len(data), 65535)]
    return b"".join(struct.pack("<BHH", at + 1 == len(blocks), len(each), len(each) ^ 0xFFFF) + each for at, each in enumerate(blocks))


def gzip(data):
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflate_stored(data) + struct.pack("<II", zlib.crc32(data), len(data))


def png(side, shade):
    """A small picture: a gradient with a tint."""
    rows = b"".join(b"\0" + bytes(value for x in range(side) for value in ((x * 4 + shade) % 256, (y * 4) % 256, (x ^ y) % 256))
                    for y in range(side))
    idat = b"\x78\x01" + deflate_stored(rows) + struct.pack(">I", zlib.adler32(rows))

    def block(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + block(b"IDAT", idat) + block(b"IEND", b"")


def product(shop, number):
    cents = 199 + shop.below(20000)
    return {"id": number, "name": shop.words(2).title(), "price": cents / 100, "stock": shop.below(500), "tags": [shop.pick(WORDS), shop.pick(WORDS)],
            "description": f"{shop.words(9)} – „{shop.words(2)}“"}


def play(shop):
    """What the shop's visitors do."""
    for service in SERVICES:
        shop.say(service, "listening on 0.0.0.0:8080")
    for visit in range(7):
        shop.now_us += 700_000 + shop.below(900_000)
        shop.say("storefront", f"visit {visit} from {shop.pick(('Berlin', 'Zürich', 'København', '東京'))}")
        products = as_json({"items": [product(shop, 100 * visit + number) for number in range(6)], "next": visit + 1})
        page = shop.exchange("storefront", "GET", f"/products?page={visit}", 200, b"", products, None, "application/json", us=18_000)
        shop.now_us += 700
        call = shop.exchange("storefront", "GET", f"/internal/products?page={visit}", 200, b"", products, None, "application/json",
                             out_to="catalog", within=page, us=9_000)
        shop.now_us += 400
        shop.exchange("catalog", "GET", f"/internal/products?page={visit}", 200, b"", gzip(products), None, "application/json", within=call,
                      us=6_000, headers=[("content-encoding", "gzip"), ("vary", "accept-encoding")])
        shop.now_us += 300_000
        if visit % 3 == 0:
            shop.exchange("catalog", "GET", f"/images/{visit}.png", 200, b"", png(48 + 4 * visit, 30 * visit), None, "image/png", headers=[("cache-control", "max-age=86400")])
        if visit % 2 == 0:
            order = as_json({"basket": [{"product": 100 * visit + at, "count": at + 1} for at in range(3)], "note": shop.words(6), "card": "[redacted]"})
            placed = shop.exchange("checkout", "POST", "/orders", 201, order, as_json({"order": 5000 + visit, "state": "accepted"}),
                                   "application/json", "application/json", us=41_000, tags={"tenant": "blue", "basket": str(visit)})
            shop.now_us += 2_000
            shop.exchange("checkout", "query", "postgres://orders-db/shop", "00000", as_json({"sql": "insert into orders values ($1, $2)", "args": [5000 + visit, "blue"]}),
                          b"[]", out_to="orders-db", within=placed, proto="postgres", us=3_100)
            shop.say("checkout", f"order {5000 + visit} accepted, mailing {shop.pick(WORDS)}@example.test {{not json}}")
        shop.now_us += 150_000
        shop.exchange("checkout", "DELETE", f"/baskets/{visit}", 204)
    shop.now_us += 400_000
    shop.exchange("storefront", "GET", "/nothing-here", 404, b"", b"<!doctype html><title>404</title><p>Nothing here\n", None, "text/html; charset=utf-8")
    shop.exchange("checkout", "POST", "/orders", 400, b'{"basket":', as_json({"error": "the body ends within its JSON"}), "application/json", "application/json")
    shop.exchange("checkout", "POST", "/orders", 500, as_json({"basket": []}), as_json({"error": "empty basket", "trace": shop.words(60)}), "application/json", "application/json")
    shop.now_us += 200_000
    shop.exchange("storefront", "GET", "/recommendations", 502, b"", b"", error="connection refused (os error 111)", out_to="catalog")
    shop.exchange("catalog", "POST", "/import", 202, b"\xff\xfe" + "id;name\r\n1;Öl\r\n".encode("utf-16-le"), b"", "text/csv; charset=utf-16le")
    shop.exchange("storefront", "GET", "/account/orders", 200, b"", as_json([]), None, "application/json")
    events = [f'id: {at}\nevent: stock\ndata: {json.dumps({"product": 100 + at, "stock": shop.below(90)})}\n\n'.encode() for at in range(8)]
    shop.exchange("storefront", "GET", "/stock/live", 200, response_type="text/event-stream", us=4_000, events=events)
    everything = as_json({"items": [product(shop, number) for number in range(130)]})
    shop.exchange("catalog", "GET", "/export", 200, b"", everything, None, "application/json", us=88_000)
    shop.exchange("catalog", "GET", "/export.csv", 200, b"", b"".join(b"%d;%s\n" % (at, shop.words(3).encode()) for at in range(900)), None, "text/csv", cut=8192)
    shop.exchange("storefront", "POST", "/search", 200, as_json({"q": 'a "capture" line: {"cap1":"x","part":"req","seq":0,"of":1}'}), as_json({"items": []}),
                  "application/json", "application/json")
    shop.now_us += 2_000_000
    for service in SERVICES:
        shop.meta(service)
    shop.exchange("checkout", "POST", "/orders", request=as_json({"basket": [{"product": 1, "count": 1}]}), request_type="application/json", lost=True)
    shop.now_us += 1_000
    shop.say("checkout", "SIGTERM: going down")


# --- Envelopes ---------------------------------------------------------------------------------------------------------

def plain(at_us, service, text):
    return [text]


def pieces(text, size):
    data = text.encode()
    return [data[at:at + size] for at in range(0, len(data), size)]


def docker(at_us, service, text):
    """As the json-file driver writes: pieces of 16 KiB, `<`, `>` and `&` escaped, a cut character lost to U+FFFD on both sides."""
    cut = [piece.decode(errors="replace") for piece in pieces(text + "\n", DOCKER_PIECE_BYTES)]
    records = [writer.compact({"log": piece, "stream": "stdout", "time": stamp(at_us)}) for piece in cut]
    return [record.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") for record in records]


def cri(at_us, service, text):
    cut = pieces(text, DOCKER_PIECE_BYTES)
    return [stamp(at_us).encode() + (b" stdout F " if at + 1 == len(cut) else b" stdout P ") + piece for at, piece in enumerate(cut)]


def json_string(at_us, service, text):
    return [writer.compact({"level": "info", "time": stamp(at_us), "service": service, "msg": text})]


def nested(at_us, service, text):
    logger = writer.compact({"level": "info", "time": stamp(at_us), "service": service})[:-1]
    return [logger + (f',"capture":{text}' if text.startswith('{"cap1"') else f',"msg":{writer.compact(text)}') + "}"]


ENVELOPES = {"plain": plain, "docker": docker, "cri": cri, "json-string": json_string, "nested": nested}


def files():
    shop = Shop()
    play(shop)
    shop.lines.sort()
    made, plainly = {}, None
    for name, wrap in ENVELOPES.items():
        wrapped = [each for at_us, _, service, text in shop.lines for each in wrap(at_us, service, text)]
        log = b"".join((each if isinstance(each, bytes) else each.encode()) + b"\n" for each in wrapped)
        result = read(log, now=START + timedelta(days=1))
        plainly = plainly or result
        if result["exchanges"] != plainly["exchanges"]:
            sys.exit(f"{name} does not give the exchanges of plain")
        made[f"shop.{name}.log"] = log
    complete = sum(exchange["complete"] for exchange in plainly["exchanges"])
    counts = plainly["counts"]
    expected = {"complete": complete, "incomplete": len(plainly["exchanges"]) - complete} | {key: counts[key] for key in counts if key != "lines"}
    made["expected.json"] = json.dumps(expected, indent=1).encode() + b"\n"
    return made


def main():
    made = files()
    if "--check" in sys.argv[1:]:
        wrong = [name for name, data in made.items() if not (HERE / name).exists() or (HERE / name).read_bytes() != data]
        sys.exit("not as generated: " + ", ".join(wrong) if wrong else 0)
    for name, data in made.items():
        (HERE / name).write_bytes(data)
        print(f"{len(data):8} {name}")
    print(made["expected.json"].decode())


if __name__ == "__main__":
    main()
