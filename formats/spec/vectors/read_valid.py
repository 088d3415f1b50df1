"""Vectors of logs in which everything is taken (read/valid)."""

import gzip
import json

from builder import (A, B, REQ, REQUEST, RES, RESPONSE, TS, TS2, b64, body, crc, exchange, incomplete, js, line, record, req, res,
                     tail, vector)


def v(name, *args, **keys):
    vector("read/valid/" + name, *args, **keys)


def stored_request(data, **keys):
    return {key: REQUEST[key] for key in ("method", "url")} | keys | {"body": body(data)}


def stored_response(data, **keys):
    return {key: RESPONSE[key] for key in ("ts", "us", "status")} | keys | {"body": body(data)}


def spelling():
    v("two-prints", "The smallest emitter: two lines with a head and `of`, and no body.",
      [line(A, "req", 0, head={"ts": TS, "method": "GET", "url": "/"}, of=1), line(A, "res", 0, head={"status": 204}, of=1)],
      [exchange(service=..., request={"method": "GET", "url": "/", "body": body(b"")}, response={"status": 204, "body": body(b"")})], 2)
    v("one-line-each", "A request and a response of one line each, with crc and tail.", [req(), res()], [exchange()], 2)
    head = REQ | {"host": "web-1", "inst": "5f2a9c01", "n": 17, "dir": "in", "proto": "h2", "headers": [["content-type", "application/json"], ["x-a", "1"], ["x-a", "2"]],
                  "peer": "10.0.0.9:4711", "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "parent": B,
                  "tags": {"tenant": "blue"}, "rate": 0.25, "why": "sample"}
    answer = RES | {"headers": [["Content-Type", "text/plain; charset=utf-8"]]}
    v("every-key", "Every key of the heads and tails, in its place in the stored exchange and in the stored order.",
      [req(body=b"{}", head=head, tail=tail(b"{}", us=700)),
       res(head=answer, tail=tail(b"pong", us=1834, trailers=[["grpc-status", "0"]], error="reset by peer", truncated=True, full_len=9))],
      [exchange(host="web-1", inst="5f2a9c01", n=17, dir="in", proto="h2", duration_us=1834, error="reset by peer",
                request={"method": "POST", "url": REQ["url"], "headers": head["headers"], "us": 700, "body": body(b"{}", type="application/json")},
                response={"ts": TS2, "us": 1500, "status": 201, "headers": answer["headers"], "trailers": [["grpc-status", "0"]],
                          "body": body(b"pong", type="text/plain; charset=utf-8", truncated=True, full_len=9)},
                **{key: head[key] for key in ("trace", "parent", "peer", "tags", "rate", "why")})], 2)
    shuffled = dict(reversed(record(A, "req", 0, b"ping", head=REQ, of=1, tail=tail(b"ping")).items()))
    v("keys-in-any-order", "A record's keys stand in any order; `cap1` may be the last.", [js(shuffled), res()], [exchange()], 2)
    spaced = json.dumps(record(A, "req", 0, b"ping", head=REQ, of=1, tail=tail(b"ping")), indent=1).replace("\n", "\t").replace('{\t "cap1"', '{ \t\r"cap1" ', 1)
    v("white-space", "Any JSON white space between tokens, before the key `cap1` too.", ["  " + spaced + "  ", res()], [exchange()], 2)
    escaped = req(body='é/"\\\n😀'.encode()).replace("é", "\\u00E9").replace("/", "\\/").replace("😀", "\\ud83d\\uDE00")
    v("escapes-in-values", "Strings in any escaped spelling, surrogate pairs and escaped keys (not `cap1`) included.",
      [escaped.replace('"part"', '"p\\u0061rt"').replace('"req"', '"r\\u0065q"'), res()],
      [exchange(request=stored_request('é/"\\\n😀'.encode()))], 2)
    v("unknown-keys", "A record's unknown keys are ignored, twice too, `cap2` too; their values may be anything.",
      [req()[:-1] + ',"zzz":[{"cap1":"x"}],"zzz":null,"cap2":1,"":{"a":[]}}', res()], [exchange()], 2)
    v("another-version-before", "A record may bear the key of another version too, before its own, without becoming one of that version.",
      ['{"cap2":"x",' + req()[1:], res()[:-1] + ',"cap0":{}}'], [exchange()], 2)
    v("own-key-with-escapes", "`cap1` spelled with escapes is an unknown key beside `cap1` as it is written.",
      [req()[:-1] + ',"c\\u0061p1":7}', '{"cap\\u0031":"x",' + res()[1:]], [exchange()], 2)
    v("zero-as-a-fraction", "Integers as some shippers write them: `0.0`, `1e0`, `15.00e2`, `-0`.",
      [req().replace('"seq":0', '"seq":0.0').replace('"of":1', '"of":1e0').replace('"len":4', '"len":4.0'),
       res().replace('"seq":0', '"seq":-0').replace('"us":1500', '"us":15.00e2').replace('"status":201', '"status":201.0')], [exchange()], 2)
    v("crc-in-capitals", "Hex digits of `crc` may be capitals, in a record and in a tail.",
      [req().replace(crc(b"ping"), crc(b"ping").upper()), res()], [exchange()], 2)
    v("no-crc", "A hand-written emitter leaves `crc` and the tail out.",
      [line(A, "req", 0, head=REQ, text="ping", of=1), line(A, "res", 0, head=RES, b64=b64(b"pong"), of=1)], [exchange()], 2)
    v("lone-surrogate", "A lone surrogate is read as U+FFFD, and the crc is over that.",
      [req(body="a\ufffdb\ufffd\ufffdA".encode()).replace("a\ufffdb\ufffd\ufffdA", "a\\ud800b\\udc00\\uDBFF\\u0041"), res()],
      [exchange(request=stored_request("a\ufffdb\ufffd\ufffdA".encode()))], 2)
    v("crlf-and-nul", "CRLF line ends, a hole of NUL bytes before a line, and no newline at the end.",
      b"\0" * 64 + req().encode() + b"\r\n\r\n" + res().encode(), [exchange()], 2, lines=3)
    v("shortest-and-longest-id", "Ids of 1 and of 64 characters.",
      [req("."), res("."), req("aZ0._:-" + "x" * 57), res("aZ0._:-" + "x" * 57)], [exchange("."), exchange("aZ0._:-" + "x" * 57)], 4)
    v("largest-numbers", "The largest `of` there is sizes nothing; what is missing is named as one range.",
      [req(of=2**31), res()], [incomplete(A, "request_chunk_missing:1-2147483647")], 2)
    v("unsigned-reader", "A signed line is read as any other where no key is set.",
      [line(A, "req", 0, b"ping", headf=js(REQ), of=1, tailf=js(tail(b"ping")), sig="00112233445566778899aabbccddeeff"), res()],
      [exchange()], 2)
    sig = {"sig": "00112233445566778899AABBCCDDEEFF"}
    other = REQ | {"service": "other"}
    ignored = [{"head": other, "tail": tail(b"other")}, {"head": "{}", "tail": None}, {"head": {}, "tail": {"crc": 7}}]
    v("signed-line-ignores-head-and-tail", "On a line with `sig` neither `head` nor `tail` is taken or judged, beside fragments or alone.",
      [each for at, more in enumerate(ignored) for each in (
          js(record(f"c{at}", "req", 0, b"ping", headf=js(REQ), of=1, tailf=js(tail(b"ping"))) | more | sig), res(f"c{at}"))]
      + [js(sig | record(A, "req", 0, b"ping", head=REQ, of=1, tail=tail(b"other"))), res()]
      + [js(record(B, "req", 0, b"ping", headf=js(REQ), of=1) | sig).replace('"of"', '"head":{},"head":{},"tail":1,"tail":2,"of"'), res(B)],
      [*(exchange(f"c{at}") for at in range(3)), exchange(A, "request_head_missing", service=..., ts=TS2, request={"body": body(b"ping")}), exchange(B)], 10)
    v("signed-line-empty-is-absent", "Of a signed line an empty fragment or piece is as if it were not there, so that lines which only differ in that repeat each other.",
      [js(record(A, "req", 0, b"ping", headf=js(REQ), of=1) | sig), js(record(A, "req", 0, b"ping", headf=js(REQ), of=1, tailf="") | sig),
       js(record(A, "res", 0, headf=js(RES), of=1) | sig), js(record(A, "res", 0, b"", headf=js(RES), of=1, tailf="") | sig)],
      [exchange(response=RESPONSE | {"body": body(b"")})], 4, repeated=2)
    v("meta-signed", "A signed `meta` record has its counters in `headf`; its `head` is not looked at.",
      [js(record(A, "meta", 0, headf=js({"ts": TS, "begun": 1}), head=7, of=1) | sig), req(), res()], [exchange()], 3, meta=1)


def places():
    v("after-a-prefix", "Records behind a timestamp, a level, and braces that are no JSON.",
      ["2025-11-20T10:00:00Z INFO {checkout} [x={1}] " + req(), "E1120 main.rs:7] {} " + res() + " trailing {"], [exchange()], 2)
    v("in-a-string", "A record inside a string of a logger's record, escaped once.",
      [js({"level": "info", "msg": "capture: " + req() + "\n"}), js({"msg": res(), "level": "info"})], [exchange()], 2)

    def wrap(text, levels):
        for _ in range(levels):
            text = js({"msg": text})
        return text

    v("in-strings-three-deep", "A record inside a string inside a string inside a string.", [wrap(req(), 3), wrap(res(), 2)], [exchange()], 2)
    v("in-strings-eight-deep", "A record inside eight strings, each in an object.", [wrap(req(), 8), res()], [exchange()], 2)
    v("in-a-string-with-quotes-as-u0022", "Quotes in a string as System.Text.Json escapes them.",
      [js({"msg": req()}).replace('\\"', '\\u0022'), js({"msg": js({"log": res()})}).replace('\\"', '\\u0022')], [exchange()], 2)
    v("nested", "A record as an object in a logger's record, and in an array.",
      ['{"level":"info","ts":1,"rec":' + req() + "}", '{"a":[0,{"b":[' + res() + '],"c":"d"}]}'], [exchange()], 2)
    v("nested-sixteen-deep", "Sixteen objects and arrays around a record are followed.",
      ['{"a":' * 8 + '{"a":[' * 4 + req() + "]}" * 4 + "}" * 8, res()], [exchange()], 2)
    v("in-an-array", "A line that is an array of records.", ["[" + req() + "," + res() + "]"], [exchange()], 2)
    v("merged-by-a-logger", "A logger's own keys stand among a record's.",
      ['{"level":"info","time":1700000000,"msg":"cap","msg":"again",' + req()[1:-1] + ',"caller":{"file":"a.go"}}', res()], [exchange()], 2)
    v("several-in-one-line", "Two whole exchanges in one line, in text, a string and an object.",
      [req() + res(B) + " " + js({"log": res() + req(B)})], [exchange(), exchange(B)], 4)
    v("body-like-a-capture-line", "What a body says is never taken for a record: bare in a text, escaped, and nested in a logger's string.",
      [req(body=res(B).encode()), js({"msg": res(body=("x " + js(req(B))).encode())})],
      [exchange(request=stored_request(res(B).encode()), response=stored_response(("x " + js(req(B))).encode()))], 2)
    v("head-like-a-capture-line", "Nothing inside a record is searched: neither its tags nor unknown keys of its head.",
      [req(head=REQ | {"tags": {"t": res(B)}, "x": record(B, "req", 0, of=1)}), res()],
      [exchange(tags={"t": res(B)}, more={"request": {"x": record(B, "req", 0, of=1)}})], 2)
    v("escaped-outside-json", "An escaped record counts only inside a whole JSON object: not in a logfmt value, nor in a bare JSON string.",
      ["level=info msg=" + json.dumps(req(B)), json.dumps(req(B)), "x " + js({"msg": req(B)})[:-1], req(), res()], [exchange()], 2)
    v("not-utf8-around", "Bytes that are not UTF-8 before, behind and around a record do not hurt it.",
      [b"\xff\xfe caf\xe9 " + req().encode() + b" \x80", b'{"name":"\xe9\xff","rec":' + res().encode() + b"}"], [exchange()], 2)
    v("nothing-here", "Lines without records: ordinary text, JSON without captures, `cap` with no number, half a marker, empty lines.",
      ["hello", "", '{"cap":"x"}', '{"capital":1}', "cap1", '{"ca', "{}{}{{{{"], [], 0)


def parts():
    long = "Grüße, 世界 😀 ".encode() * 40
    cuts = [long[:100], long[100:101], long[101:333], long[333:]]
    v("pieces", "Pieces in several chunks; multi-byte characters cut between base64 pieces come together again.",
      [line(A, "req", 0, head=REQ)] + [line(A, "req", seq + 1, cut, binary=True) for seq, cut in enumerate(cuts)]
      + [line(A, "req", 5, of=6, tail=tail(long)), res()], [exchange(request=stored_request(long))], 7)
    mixed = b"plain \xe2\x82\xac then \xff\x00\x01"
    v("text-and-base64-mixed", "One body in text pieces and base64 pieces; what is not UTF-8 is stored as base64.",
      [line(A, "req", 0, mixed[:9], head=REQ), line(A, "req", 1, mixed[9:], binary=True, of=2, tail=tail(mixed)), res()],
      [exchange(request=stored_request(mixed))], 3)
    head, end = js(REQ | {"tags": {"name": "Zoë 😀"}}), js(tail(b"ping", us=12))
    v("fragments", "Head and tail in fragments, cut between their characters and within their escapes.",
      [line(A, "req", 0, headf=head[:60]), line(A, "req", 1, headf=head[60:-6]), line(A, "req", 2, b"pi", headf=head[-6:]),
       line(A, "req", 3, b"ng", tailf=end[:7]), line(A, "req", 4, of=5, tailf=end[7:]), res()],
      [exchange(request=stored_request(b"ping", us=12), tags={"name": "Zoë 😀"})], 6)
    three = [line(A, "req", 0, b"a", head=REQ), line(A, "req", 1, b"b"), line(A, "req", 2, b"c", of=3, tail=tail(b"abc"))]
    want = exchange(request=stored_request(b"abc"))
    v("out-of-order", "Chunks in any order, `of` and tail first.", [three[2], res(), three[0], three[1]], [want], 4)
    v("response-first", "The whole response before the request.", [res(), *three], [want], 4)
    v("interleaved", "Two captures interleaved; the one that is whole first comes out first.",
      [req(A, of=2, tail=...), req(B), res(A), res(B), line(A, "req", 1, of=2)], [exchange(B), exchange(A)], 5)
    v("repeated", "Chunks that repeat, before the exchange is whole and late, change nothing and open nothing.",
      [three[0], three[0], three[1], three[0], three[2], res(), three[1], res()], [want], 8, repeated=4)
    again = '{ "seq":0.0, "head":' + js(dict(reversed(REQ.items()))) + f', "part":"req","b64":"{b64(b"ping")}","tail":{js(dict(reversed(tail(b"ping").items())))}, "of":1.0,"cap1":"{A}"' + "}"
    v("repeated-in-another-spelling", "A repeat is known by what it says once decoded: another key order, base64 for text, no crc.",
      [req(), again, res()], [exchange()], 3, repeated=1)
    v("repeated-with-fractions", "Numbers of heads and tails are compared by value, as a shipper may have rewritten them.",
      [req(), res(), req(B), req(B).replace('"seq":0', '"seq":0.0').replace('"len":4', '"len":4.0').replace('"of":1', '"of":1e0'),
       res(B)], [exchange(), exchange(B)], 5, repeated=1)
    v("one-way", "A one-way request is complete without a response.",
      [req(head=REQ | {"oneway": True}, tail=tail(b"ping", us=9))],
      [exchange(oneway=True, duration_us=9, response=None, request=stored_request(b"ping", us=9))], 1)
    v("one-way-answered", "Where a one-way request has a response all the same, that must be whole too.",
      [line(A, "res", 1, of=2), req(head=REQ | {"oneway": True}), line(A, "res", 0, b"pong", head=RES)], [exchange(oneway=True)], 3)
    v("meta", "`meta` opens no exchange.",
      [line("m1", "meta", 0, head={"ts": TS, "service": "checkout", "inst": "5f2a", "begun": 9, "finished": 9, "dropped": 0, "sampled_out": 3}, of=1),
       req(), line(A, "meta", 1), res()], [exchange()], 4, meta=2)
    v("not-http", "A query: a status that is a word, known only at the end.",
      [req(head={"ts": TS, "service": "checkout", "dir": "out", "proto": "postgres", "method": "query", "url": "postgres://db/shop"}, body=b'{"sql":"select 1"}'),
       res(head={"ts": TS2}, body=b"[[1]]", tail=tail(b"[[1]]", us=420, status="42P01"))],
      [exchange(dir="out", proto="postgres", duration_us=420, request={"method": "query", "url": "postgres://db/shop", "body": body(b'{"sql":"select 1"}')},
                response={"ts": TS2, "status": "42P01", "body": body(b"[[1]]")})], 2)
    v("status-at-the-end", "The tail's status stands; another one of the head is kept in `more`.",
      [req(), res(head=RES | {"status": 200}, tail=tail(b"pong", status="UNAVAILABLE"))],
      [exchange(response=stored_response(b"pong") | {"status": "UNAVAILABLE"}, more={"response": {"status": 200}})], 2)
    v("marks", "`at` becomes marks at the offsets of their pieces.",
      [req(), line(A, "res", 0, b"po", head=RES, at=10), line(A, "res", 1, b"n"), line(A, "res", 2, b"g", at=2500, of=3, tail=tail(b"pong"))],
      [exchange(response={key: RESPONSE[key] for key in ("ts", "us", "status")} | {"body": {"len": 4, "marks": [[0, 10], [3, 2500]], "text": "pong"}})], 4)
    v("truncated", "A body that the emitter cut: complete, and said so.",
      [req(), res(tail=tail(b"pong", truncated=True, full_len=5000000))],
      [exchange(response=stored_response(b"pong") | {"body": body(b"pong", truncated=True, full_len=5000000)})], 2)
    v("dropped-midway", "A capture that could not go on ends with an error.",
      [req(), res(tail={"truncated": True, "error": "queue"})],
      [exchange(error="queue", response=stored_response(b"pong") | {"body": body(b"pong", truncated=True)})], 2)
    packed = gzip.compress(b"ping", mtime=0)
    v("packed-body", "With processing off a packed body stands as captured, and `body_enc` stays.",
      [req(body=packed, binary=True, head=REQ | {"body_enc": "gzip"}), res()],
      [exchange(request=stored_request(packed, body_enc="gzip"))], 2)
    v("unknown-head-keys", "Keys of heads and tails that the format does not know stand in `more`.",
      [req(head=REQ | {"colour": "blue"}, tail=tail(b"ping", x=[1, 2.5])), res(head=RES | {"http": {"a": None}}, tail=tail(b"pong", y=""))],
      [exchange(more={"request": {"colour": "blue"}, "request_tail": {"x": [1, 2.5]}, "response": {"http": {"a": None}}, "response_tail": {"y": ""}})], 2)
    v("head-types", "Known head and tail keys of a wrong type are kept in `more`, and a problem names each.",
      [req(head=REQ | {"n": -1, "dir": "up", "headers": {"a": "b"}, "tags": {"a": 1}, "rate": "all", "oneway": 1, "peer": None}, tail={"len": "4", "crc": "xyz"}),
       res(head=RES | {"status": True, "headers": [["a"]], "us": 1.5}, tail={"trailers": 1, "truncated": "no"})],
      [exchange(A, *(f"head_type:request:{key}" for key in ("n", "dir", "headers", "tags", "rate", "oneway", "peer")),
                "tail_type:request:len", "tail_type:request:crc", *(f"head_type:response:{key}" for key in ("us", "status", "headers")),
                "tail_type:response:trailers", "tail_type:response:truncated", response={"ts": TS2, "body": body(b"pong")},
                more={"request": {"n": -1, "dir": "up", "headers": {"a": "b"}, "tags": {"a": 1}, "rate": "all", "oneway": 1, "peer": None},
                      "request_tail": {"len": "4", "crc": "xyz"},
                      "response": {"us": 1.5, "status": True, "headers": [["a"]]}, "response_tail": {"trailers": 1, "truncated": "no"}})], 2)


def times():
    old = "1999-12-31T23:59:59Z"
    without = {key: value for key, value in REQ.items() if key != "ts"}
    v("ts-missing", "A missing `ts` gives way to the time of reading.", [req(head=without), res()], [exchange(A, "ts_unusable", ts="*")], 2)
    v("ts-unusable", "A `ts` before 2000, too far ahead, not a time, or not a string gives way, and is kept in `more`.",
      [req(A, head=REQ | {"ts": old}), res(A), req(B, head=REQ | {"ts": "9999-01-01T00:00:00Z"}), res(B),
       req("c", head=REQ | {"ts": "yesterday"}), res("c"), req("d", head=REQ | {"ts": 1763632800}), res("d")],
      [exchange(A, "ts_unusable", ts="*", more={"request": {"ts": old}}),
       exchange(B, "ts_unusable", ts="*", more={"request": {"ts": "9999-01-01T00:00:00Z"}}),
       exchange("c", "ts_unusable", ts="*", more={"request": {"ts": "yesterday"}}),
       exchange("d", "head_type:request:ts", "ts_unusable", ts="*", more={"request": {"ts": 1763632800}})], 8)
    v("ts-with-an-offset", "Any RFC 3339 time is usable and stands as it was written.",
      [req(head=REQ | {"ts": "2025-11-20T12:00:00+02:00"}), res()], [exchange(ts="2025-11-20T12:00:00+02:00")], 2)


def missing():
    v("request-only", "A request whose response never came.", [req()], [incomplete(A, "response_missing", response=None)], 1)
    v("response-only", "A response whose request never came: its `ts` is the exchange's, and nothing says the service.",
      [res()], [incomplete(A, "request_missing", service=..., ts=TS2, request=None)], 1)
    middle = [line(A, "res", 0, b"aa", head=RES), line(A, "res", 1, b"bb"), line(A, "res", 4, b"\xff\xfe", binary=True, at=7),
              line(A, "res", 5, b"ff", of=9, tail=tail(b"whatever", us=5))]
    v("middle-missing", "Missing chunks are named as ranges; the body is the contiguous start, the rest stands in `fragments`.",
      [req(), *middle],
      [incomplete(A, "response_chunk_missing:2-3", "response_chunk_missing:6-8", response=stored_response(b"aabb") | {"body": body(b"aabb", pieces=[2, 2])},
                  fragments=[{"part": "res", "seq": 4, "at": 7, "b64": b64(b"\xff\xfe"), "crc": crc(b"\xff\xfe")},
                             {"part": "res", "seq": 5, "of": 9, "text": "ff", "crc": crc(b"ff"), "tail": tail(b"whatever", us=5)}])], 5)
    v("end-missing", "A part whose `of` never came.", [req(of=..., tail=...), res()], [incomplete(A, "request_end_missing")], 2)
    v("start-missing", "The first chunk never came: no head, an empty start, everything in `fragments`.",
      [line(A, "req", 1, b"ng", of=2, tail=tail(b"ping")), res()],
      [incomplete(A, "request_chunk_missing:0", "request_head_missing", service=..., ts=TS2, request={"body": body(b"", pieces=[])},
                  fragments=[{"part": "req", "seq": 1, "of": 2, "text": "ng", "crc": crc(b"ng"), "tail": tail(b"ping")}])], 2)
    head = js(REQ)
    v("head-fragment-missing", "A head whose fragments are not all there can't be read; they stand in `fragments`.",
      [line(A, "req", 0, headf=head[:20]), line(A, "req", 2, b"ping", headf=head[40:], of=3), res()],
      [incomplete(A, "request_chunk_missing:1", "request_head_missing", service=..., ts=TS2, request={"body": body(b"")},
                  fragments=[{"part": "req", "seq": 0, "headf": head[:20]},
                             {"part": "req", "seq": 2, "of": 3, "headf": head[40:], "text": "ping", "crc": crc(b"ping")}])], 3)
    v("head-missing", "A part without a head is whole, and bears a problem.",
      [line(A, "req", 0, b"ping", of=1), res()],
      [exchange(A, "request_head_missing", service=..., ts=TS2, request={"body": body(b"ping")})], 2)
    v("head-fragments-no-json", "Fragments that join to no JSON object.",
      [line(A, "req", 0, b"ping", headf='["a"]', of=1, tailf="{"), res()],
      [exchange(A, "request_head_missing", "request_tail_missing", service=..., ts=TS2, request={"body": body(b"ping")},
                fragments=[{"part": "req", "seq": 0, "of": 1, "headf": '["a"]', "tailf": "{"}])], 2)
    v("len-and-crc-of-the-whole", "A tail whose `len` and `crc` do not fit the joined pieces.",
      [req(tail={"len": 5, "crc": crc(b"other")}), res()], [incomplete(A, "request_len", "request_crc")], 2)
    v("many-gaps", "Of many gaps 31 are named, and one range from the 32nd on spans the rest.",
      [req(), line(A, "res", 0, b"x", head=RES)] + [line(A, "res", seq, b"y") for seq in range(2, 82, 2)] + [line(A, "res", 82, of=83)],
      [incomplete(A, *(f"response_chunk_missing:{seq}" for seq in range(1, 63, 2)), "response_chunk_missing:63-81", response=stored_response(b"x"),
                  fragments=[{"part": "res", "seq": seq, "text": "y", "crc": crc(b"y")} for seq in range(2, 82, 2)] + [{"part": "res", "seq": 82, "of": 83}])], 43)
    v("open-ones-in-order", "Incomplete exchanges come at the end, in the order of their first chunks.",
      [req(B), res("x"), req(A), res(A), req("y")],
      [exchange(A), incomplete(B, "response_missing", response=None), incomplete("x", "request_missing", service=..., ts=TS2, request=None),
       incomplete("y", "response_missing", response=None)], 5)


def build():
    spelling()
    places()
    parts()
    times()
    missing()
