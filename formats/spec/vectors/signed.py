"""Vectors of logs that are read with keys (signed/)."""

import json

from builder import A, B, REQ, REQUEST, RES, RESPONSE, TS, body, crc, exchange, incomplete, js, line, record, req, res, sign, signed, tail, vector

ALL, SOME, STRANGER = ("8d0f3c2e9a7b465180d2b6f4c1e3a597", "51ab7e0c42d96f38b1e7a4c5d08f9263-payments", "no-key-file-has-this-secret-in-it")
KEYS = f"""# two keys, as while one is replaced by the other
2026-11 {ALL} *

\tpayments.1\t{SOME}  payments,  checkout\x20
"""


def v(name, about, log, exchanges, records, bad_sig=0, **others):
    bad = ({"bad_sig": bad_sig} if bad_sig else {}) | others.pop("bad", {})
    vector("signed/" + name, about, log, exchanges, records, bad=bad, keys=KEYS, **others)


def sreq(secret=ALL, capture=A, data=b"ping", **keys):
    return signed(secret, capture, "req", 0, data, **({"head": REQ, "of": 1, "tail": tail(data)} | keys))


def sres(secret=ALL, capture=A, data=b"pong", **keys):
    return signed(secret, capture, "res", 0, data, **({"head": RES, "of": 1, "tail": tail(data)} | keys))


def changed(text, /, **keys):
    """A signed line with other values under the same signature."""
    return js(json.loads(text) | keys)


def build():
    v("signed", "A signed request and response, each on a line.", [sreq(), sres()], [exchange()], 2)
    v("either-key", "Captures signed by one key and by the other, lines interleaved.",
      [sreq(ALL, A), sreq(SOME, B), sres(ALL, A), sres(SOME, B)], [exchange(A), exchange(B)], 4)
    head, end = js(REQ), js(tail("žluťoučký kůň".encode() + b"\xff"))
    pieces = [{"headf": head[:20]}, {"headf": head[20:], "piece": "žluťoučký ".encode(), "at": 0}, {"piece": "kůň".encode() + b"\xff", "binary": True, "at": 2100},
              {"tailf": end[:9]}, {"tailf": end[9:], "of": 5}]
    lines = [sign(ALL, record(A, "req", seq, each.pop("piece", None), **each)) for seq, each in enumerate(pieces)]
    whole = exchange(request={"method": "POST", "url": REQUEST["url"],
                              "body": body("žluťoučký kůň".encode() + b"\xff", marks=[[0, 0], [14, 2100]])})
    v("pieces", "Fragments, text and base64, times and a count, each under its line's signature; lengths are in bytes.",
      [*map(js, lines), sres()], [whole], 6)
    respelled = json.dumps(json.loads(sreq()) | {"seq": 0.0, "sig": json.loads(sreq())["sig"].upper()}, sort_keys=True, indent=1).replace("\n", " ")
    v("any-spelling", "A signature survives every envelope: re-serialised, nested, in a string, behind a prefix.",
      [js({"fields": json.loads(respelled)}), "INFO " + js({"msg": sres()})], [exchange()], 2)
    v("added-keys", "What was added to a signed line is not taken: `head`, `tail`, unknown keys, an empty fragment.",
      [changed(sreq(), head=REQ | {"service": "other"}, tail=tail(b"other"), zzz=1), changed(sres(tail=None), tail={"error": "x"}, tailf="")],
      [exchange()], 2)
    v("unsigned", "Unsigned lines, and those that a stranger signed, are bad, whatever their ids.",
      [req(), res(), req(B), sreq(STRANGER), sres(STRANGER, B), sreq(), sres()], [exchange()], 7, bad_sig=5)
    forged = [{"cap1": B}, {"part": "res"}, {"seq": 1}, {"of": 2}, {"at": 0}, {"text": "PING", "crc": crc(b"PING")}, {"headf": js(REQ | {"service": "other"})},
              {"tailf": "{}"}, {"sig": "00112233445566778899aabbccddeeff"}]
    v("forged", "A copied signature fits nothing else: not another id, part, number, count, time, piece, head or tail.",
      [*(changed(sreq(), **each) for each in forged), js({k: x for k, x in json.loads(sreq()).items() if k != "of"}), sreq(), sres()],
      [exchange()], 12, bad_sig=10)
    moved = json.loads(sreq(tail=None, data=b"{}"))
    moved["tailf"] = moved.pop("text")
    v("moved", "The same bytes under another key are another line.", [js(moved), sreq(), sres()], [exchange()], 3, bad_sig=1)
    v("copied", "A signed line that is copied is a repeat of itself, before its exchange is stored and after.",
      [sreq(), sreq(), sres(), sreq(), sres()], [exchange()], 5, repeated=3)
    v("two-keys", "A capture's first good line sets its key: lines that fit another are bad, and the rest is missing.",
      [sreq(ALL), sres(SOME), sreq(SOME, B), sreq(ALL, B), sres(SOME, B)],
      [exchange(B), incomplete(A, "response_missing", response=None)], 5, bad_sig=2)
    other = REQ | {"service": "catalog"}
    stored = exchange(service="catalog")
    v("services", "A key signs for its services alone; a capture of another is not stored, and its chunks are bad.",
      [sreq(SOME, B, head=other), sres(SOME, B), sreq(ALL, head=other), sres(ALL), sreq(SOME, "c", head=REQ | {"service": "checkout,payments"}), sreq(SOME, B, head=other)],
      [stored], 6, bad_sig=3, repeated=1)
    v("service-comes-last", "The service is judged when the capture is complete, whichever part came first.",
      [sres(SOME, B), sreq(SOME, B, head=other), sres(SOME), sreq(SOME)], [exchange()], 4, bad_sig=2)
    v("no-service", "What names no service any key may sign: nothing is lost where the request's head is.",
      [sres(SOME), sreq(SOME, B, head={"ts": TS}), sres(SOME, B)],
      [exchange(B, service=..., request={"body": body(b"ping")}), incomplete(A, "request_missing", service=..., ts=RES["ts"], request=None)], 3)
    meta = {"ts": TS, "service": "checkout", "begun": 1}
    v("meta", "Counters are signed too, and for the key's services.",
      [signed(SOME, A, "meta", 0, head=meta, of=1), signed(ALL, A, "meta", 0, head=meta | {"service": "x"}, of=1), line(A, "meta", 0, head=meta, of=1),
       signed(SOME, A, "meta", 0, head=meta | {"service": "x"}, of=1), changed(signed(ALL, A, "meta", 0, head=meta, of=1), headf=js(meta | {"begun": 9})),
       js(sign(ALL, record(A, "meta", 0, headf=js(meta), of=1)) | {"seq": 1})],
      [], 6, meta=2, bad_sig=4)
    v("bad-otherwise", "What is bad for another reason is counted by one of them; a crc is not signed, and is checked.",
      [changed(sreq(), crc="00000000"), sreq()[:-1], changed(sreq(), sig="00"),
       changed(signed(SOME, A, "meta", 0, head=meta, of=1), sig="00"), sreq(), sres()], [exchange()], 6, bad={"bad_crc": 1, "torn": 1, "bad_type": 2})
