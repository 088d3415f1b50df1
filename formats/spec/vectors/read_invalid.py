"""Vectors of logs in which some record is bad or contradicts another (read/invalid)."""

import json

from builder import A, B, REQ, REQUEST, RES, b64, body, crc, exchange, incomplete, js, line, record, req, res, tail, vector


def v(name, *args, **keys):
    vector("read/invalid/" + name, *args, **keys)


def bad(name, about, *records, reason=None):
    """Each record alone is bad for the reason; a good exchange around them is untouched."""
    reason = reason or name.replace("-", "_")
    v(name, about, [req(), *records, res()], [exchange()], 2 + len(records), bad={reason: len(records)})


def swap(key, value):
    """A request of the capture B with the JSON text `value` for `key`."""
    whole = record(B, "req", 0, b"ping", head=REQ, of=1, tail=tail(b"ping"))
    whole.pop(key, None)
    return js(whole)[:-1] + f',"{key}":{value}' + "}"


def without(*keys):
    return js({key: value for key, value in record(B, "req", 0, b"ping", head=REQ, of=1).items() if key not in keys})


def reasons():
    bad("torn", "A record that is cut anywhere behind its marker, also in a string of a whole object.",
        req(B)[:-1], '{"cap1"', '{ "cap1":"x","part":"re', req(B)[:90], js({"msg": req(B)[:60]}), req(B).replace('"part"', "part"),
        req(B).replace("ping", "pi\tng"), req(B).replace("ping", "pi\\xng"), req(B).replace('"seq":0', '"seq":00'), '{"cap2":')
    good = line(B, "req", 0, at=7, of=1)
    bad("no-json", "What JSON does not allow, behind a marker.",
        *(good.replace("7", value) for value in ("07", "+7", "7.", ".7", "7e", "7e+", "-", "0x7", "NaN", "TRUE", "'7'", "7,", "7 7", "", "[7,]", "{7:7}", '"\\u00g0"', '"\\ud8"')),
        good.replace(",", ",,", 1), good.replace(":", "", 1), good.replace('"of"', "'of'"), good.replace('"of"', "/* */" + '"of"'), reason="torn")
    v("torn-before-whole", "A whole record is found right behind a torn one, whatever the cut left open.",
      ['{"cap1":"x","part":"req","text":"abc' + req(), req(B)[:70] + req(B)[:30] + res(), '{"level":"info","msg":"abc' + req(B), '{"msg":"a\\' + res(B)],
      [exchange(), exchange(B)], 7, bad={"torn": 3})
    evil = req(B, body=b"x" + req(A).encode() + b"y")
    v("torn-body-like-a-capture-line", "However a line is cut, text within its strings is never taken for a record.",
      [evil[:cut] for cut in range(240, len(evil), 37)] + [js({"log": evil})[:-2], js({"log": evil})[40:]], [], len(range(240, len(evil), 37)),
      bad={"torn": len(range(240, len(evil), 37))})
    escaped = js({"t": res(B)})
    v("torn-front-like-a-capture-line", "A line whose start is lost: objects in it may be the inside of a record, so only bare markers count.",
      [each + req(f"r{at}", b"", tail=...) for at, each in enumerate((
          'ch","tags":' + escaped + '},"text":"x"}', escaped + '},"text":"x"} ', '{"ts":"x","tags":' + escaped + '},"of":1}', '"a" : \t' + escaped,
          "}, " + escaped, "[" + escaped + "]", escaped + " ]", escaped + ",", '{"msg":1}, ' + escaped))],
      [incomplete(f"r{at}", "response_missing", response=None, request=REQUEST | {"body": body(b"")}) for at in range(9)], 9)
    bad("unknown-version", "Another number behind `cap` in a whole object; nothing inside is searched.",
        '{"cap2":"x","part":"req","seq":0,"of":1}', '{"cap01":{}}', '{"level":"info","cap10":' + req(B) + "}", js({"msg": '{"cap2":1}'}))
    bad("bad-id", "An id that is not 1 to 64 of its characters.",
        *(swap("cap1", value) for value in ('""', "7", "null", '"a b"', '"../x"', '"é"', '"a/b"', json.dumps("a" * 65), '["x"]')))
    bad("bad-part", "A part that is missing or none of the three.",
        without("part"), *(swap("part", value) for value in ('"request"', '"REQ"', '""', "1", "null")))
    bad("bad-seq", "A number that is missing, negative, fractional, too large or no number.",
        without("seq"), *(swap("seq", value) for value in ("-1", "0.5", "2147483648", "1e400", '"0"', "true", "null", "1e-3")))
    bad("bad-of", "A count that is not an integer from 1 to 2³¹.", *(swap("of", value) for value in ("0", "-1", "1.5", "2147483649", '"1"', "[]", "null")))
    bad("bad-type", "Known keys with a wrong JSON type.",
        *(swap(key, value) for key, value in (("head", '"{}"'), ("head", "[]"), ("head", "null"), ("tail", "7"), ("at", '"5"'), ("at", "-1"), ("at", "9007199254740992"), ("at", "0.5"),
                                              ("text", "1"), ("text", '{"a":1}'))),
        js(record(B, "req", 0, headf={}, of=1)), js(record(B, "req", 0, tailf=1, of=1)), js(record(B, "req", 0, b64=False, of=1)))
    bad("duplicate-key", "A known key twice, equal or not, in any spelling; `head` with `headf`, `tail` with `tailf`.",
        req(B)[:-1] + ',"seq":0}', req(B)[:-1] + ',"cap1":"' + B + '"}', req(B)[:-1] + ',"te\\u0078t":"ping"}', req(B)[:-1] + ',"tail":{}}',
        req(B, headf="{}"), req(B, tailf="{}"))
    bad("text-and-b64", "`text` and `b64` on one line.", req(B, b64=b64(b"ping")), js({"msg": req(B, b64="")}))
    bad("bad-b64", "Base64 that is not standard, not padded, padded amiss, or with bits left over.",
        *(js(record(B, "req", 0, b64=value, of=1)) for value in ("cGluZw", "cGluZw=", "cGlu Zw==", "cGluZ-_=", "cGluZx==", "=", "a", "cGluZw==\n", "cGlu====", "cG==luZw")))
    bad("bad-crc", "A crc that does not fit or is malformed.",
        req(B, crc_of=b"other"), *(swap("crc", json.dumps(value)) for value in ("", "0", crc(b"ping")[:7], crc(b"ping") + "0", "0x" + crc(b"ping")[2:], " " + crc(b"ping")[1:])))
    half = "é".encode()[:1]
    bad("not-utf8", "A whole record whose bytes are not UTF-8: any byte, half a character, a surrogate.",
        *(req(B).encode().replace(b"ping", b"pi" + raw + b"ng") for raw in (b"\xff", half, b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80")))

    def deep(levels, text):
        return '{"a":' * levels + text + "}" * levels

    strings = req(B)
    for _ in range(17):
        strings = js({"m": strings}) if len(strings) < 20_000 else '{"m":' + strings + "}"
    bad("too-deep", "A record enclosed by more than 16 objects, arrays and strings, or an object nested more than 64 deep.",
        deep(17, req(B)), '{"a":[' + "[" * 16 + req(B) + "]" * 16 + "]}", deep(100, req(B)), deep(5000, '{"cap1":"'), req(B)[:-1] + ',"x":' + deep(70, "1") + "}",
        strings)


def conflicts():
    v("bad-one-among-good", "A bad chunk counts as lost; a good repeat of it takes its place.",
      [req(crc_of=b"x"), req(), res()], [exchange()], 3, bad={"bad_crc": 1})
    v("lost-to-a-bad-crc", "A bad chunk with no good repeat is missing.",
      [req(), line(A, "res", 0, b"po", head=RES), line(A, "res", 1, b"ng", crc_of=b"x", of=2, tail=tail(b"pong"))],
      [incomplete(A, "response_end_missing", response={"ts": RES["ts"], "us": 1500, "status": 201, "body": body(b"po")})], 3, bad={"bad_crc": 1})
    v("conflict", "Where two chunks differ the first stands, and the exchange bears a problem for each `seq`.",
      [req(), req(body=b"PING"), line(A, "res", 0, b"po", head=RES), line(A, "res", 1, b"NG"), line(A, "res", 0, b"PO", head=RES), line(A, "res", 0, b"P0"),
       line(A, "res", 2, of=3)],
      [exchange(A, "conflict:request:0", "conflict:response:0", response={"ts": RES["ts"], "us": 1500, "status": 201, "body": body(b"poNG")})], 7, conflicting=3)
    v("seq-past-of", "A `seq` at or past the first `of` is a conflict, whichever came first.",
      [line(A, "req", 0, b"ping", head=REQ), line(A, "req", 7, b"early"), line(A, "req", 1, of=2), line(A, "req", 2, b"late"), res()],
      [exchange(A, "conflict:request:2", "conflict:request:7")], 5, conflicting=2)
    v("of-conflict", "The first `of` stands; a chunk with another one is taken where it fits.",
      [line(A, "req", 0, b"pi", head=REQ, of=2), line(A, "req", 1, b"ng", of=5), res()], [exchange(A, "of_conflict:request")], 3)
    v("late-conflict", "A chunk of an exchange that is already stored whole opens nothing, and counts as repeated.",
      [req(), res(), res(body=b"PONG")], [exchange()], 3, repeated=1)


def build():
    reasons()
    conflicts()
