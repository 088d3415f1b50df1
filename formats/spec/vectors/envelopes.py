"""Vectors of logs in the envelopes of container runtimes and loggers (envelope/)."""

import json

from builder import A, B, REQUEST, body, exchange, is_utf8, js, req, res, vector

STAMP = "2025-11-20T10:00:00.123456789Z"
PIECE = 16384


def v(name, *args, **keys):
    vector("envelope/" + name, *args, **keys)


def docker(text, stream="stdout", **keys):
    """One record of Docker's json-file driver, in its spelling: `<`, `>` and `&` are escaped."""
    whole = js({"log": text, "stream": stream} | keys | {"time": STAMP})
    return whole.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def pieces(text, size=PIECE):
    data = text.encode()
    return [data[at:at + size].decode() for at in range(0, len(data), size)]


def docker_pieces(text, stream="stdout"):
    """A line as the driver cuts it: the newline counts into the last piece."""
    cut = pieces(text)
    cut[-1] += "\n"
    return [docker(piece, stream) for piece in cut]


def cri(text, stream="stdout", tag="F"):
    return f"{STAMP} {stream} {tag} {text}"


def cri_pieces(text, stream="stdout"):
    cut = pieces(text)
    return [cri(piece, stream, "P") for piece in cut[:-1]] + [cri(cut[-1], stream, "F")]


def long_request(capture, length):
    """A body that makes req(capture, body) exactly `length` bytes long."""
    data = b"x" * length
    while excess := len(req(capture, data)) - length:
        data = data[:-excess] if excess > 0 else data + b"x" * -excess
    return data


def stored(capture, data):
    return exchange(capture, request=REQUEST | {"body": body(data)})


def interleave(*streams):
    """Takes from each stream in turn."""
    streams, out = [list(stream) for stream in streams], []
    while any(streams):
        out += [stream.pop(0) for stream in streams if stream]
    return out


def docker_vectors():
    odd = b'<a href="x?y&z">\\n\t</a>'
    v("docker", "Docker's json-file: ordinary lines, both streams, attributes, its escapes of `<`, `>` and `&`.",
      [docker("listening on :8080\n"), docker(req(body=odd) + "\n", attrs={"env": "prod"}), docker("\n", "stderr"), docker("WARN " + res() + "\n", "stderr")],
      [stored(A, odd)], 2)
    lengths = [PIECE - 2, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE]
    data = [long_request(f"c{at}", length) for at, length in enumerate(lengths)]
    lines = [each for at, one in enumerate(data) for each in docker_pieces(req(f"c{at}", one)) + docker_pieces(res(f"c{at}"))]
    v("docker-16k", "Lines at and around 16 KiB, where the driver cuts them into pieces.", lines,
      [stored(f"c{at}", one) for at, one in enumerate(data)], 10)
    one, two = long_request(A, 3 * PIECE + 100), long_request(B, 2 * PIECE + 5000)
    v("docker-interleaved", "Pieces of stdout and stderr interleaved: each stream is joined by itself.",
      interleave(docker_pieces(req(A, one)), docker_pieces(req(B, two), "stderr")) + docker_pieces(res(A)) + docker_pieces(res(B), "stderr"),
      [stored(A, one), stored(B, two)], 4)
    v("docker-no-end", "A last piece that never ended is read as a line when the input ends; a torn one is counted.",
      [docker(req() + "\n"), docker(res()), docker(req(B)[:100], "stderr")], [exchange()], 3, bad={"torn": 1})
    v("docker-looks-alike", "A JSON line with a `log` that is no record of the driver is read as it stands.",
      [js({"log": req(), "level": "info"}), js({"log": res(), "stream": 1, "time": STAMP})], [exchange()], 2)
    v("docker-logger", "A JSON logger's record, with the capture in a string, in Docker's record: two envelopes.",
      [docker(js({"level": "info", "msg": req()}) + "\n"), docker(js({"level": "info", "rec": json.loads(res())}) + "\n")], [exchange()], 2)


def cri_vectors():
    v("cri", "CRI: full lines of both streams, an empty line, a tag behind the flag, a prefix before the record.",
      [cri("listening"), cri(req()), cri("", "stderr"), cri("x"), cri("INFO " + res(), "stderr", "F:a:b")], [exchange()], 2)
    one, two = long_request(A, 3 * PIECE + 100), long_request(B, 2 * PIECE + 5000)
    v("cri-interleaved", "P and F pieces of two streams interleaved: each stream is joined by itself.",
      interleave(cri_pieces(req(A, one)), cri_pieces(req(B, two), "stderr")) + cri_pieces(res(A)) + cri_pieces(res(B), "stderr"),
      [stored(A, one), stored(B, two)], 4)
    whole = req(body=("ü" * 60).encode()).encode()
    cuts = [whole[at:at + 37] for at in range(0, len(whole), 37)]
    assert any(not is_utf8(cut) for cut in cuts)
    v("cri-cut-anywhere", "Pieces cut between any bytes, within a character too; an empty P piece, and an empty F piece that ends the line.",
      [cri("", tag="P")] + [cri("", tag="P").encode() + cut for cut in cuts] + [cri(""), cri(res())], [stored(A, ("ü" * 60).encode())], 2)
    v("cri-no-end", "P pieces with no end, then the end of the input.",
      [cri(req()), cri(res()[:50], tag="P"), cri(res()[50:], tag="P"), cri(req(B)[:80], "stderr", "P")], [exchange()], 3, bad={"torn": 1})
    v("cri-offset", "A time with an offset, as some runtimes write it; a line that only looks alike is read as it stands.",
      [cri(req()).replace("Z", "+01:00", 1), STAMP + " stdlog F " + res()], [exchange()], 2)


def logger_vectors():
    v("json-string", "A JSON logger with the line in a string field, wherever that stands.",
      [js({"level": "info", "time": 1763632800, "msg": req(), "pid": 7}), js({"@timestamp": STAMP, "message": "x"}),
       js({"kubernetes": {"pod": "web-1"}, "message": res() + "\n"})], [exchange()], 2)
    v("json-string-cut", "A logger that cut its own record off: nothing in it counts.",
      [js({"level": "info", "msg": req(B)})[:-30], js({"msg": req()}), js({"msg": res()})], [exchange()], 2)
    v("nested-object", "A JSON logger that took the record for an object, and one that merged it with its own keys.",
      [js({"level": "info", "record": json.loads(req())}), js({"level": "info", "ts": 1} | json.loads(res()))], [exchange()], 2)
    v("re-serialised", "A shipper that parsed the line and wrote it anew: sorted keys, white space, escaped non-ASCII, `0.0`.",
      [json.dumps({"fields": json.loads(req(body="é😀".encode()).replace('"seq":0', '"seq":0.0'))}, sort_keys=True), json.dumps({"log": {"x": json.loads(res())}}, sort_keys=True)],
      [stored(A, "é😀".encode())], 2)


def build():
    docker_vectors()
    cri_vectors()
    logger_vectors()
