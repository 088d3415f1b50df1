use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use reassemble_formats::exchange::{Fragment, Request, Response};

use super::*;

fn processor() -> Processor {
    let config = ProcessConfig {
        redact: true,
        redact_headers: vec!["X-Secret".into()],
        redact_query: vec!["pin".into()],
        decode: true,
        decode_limit_bytes: 10_000,
    };
    Processor::new(&config, Retention::default()).unwrap()
}

fn exchange(headers: &[(&str, &str)], body: &[u8], status: u64) -> Exchange {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut exchange: Exchange = serde_json::from_str(
        r#"{"v":1,"id":"a","service":"shop","ts":"2025-11-22T05:00:00Z","complete":true,"problems":[],"request":null,"response":null}"#,
    )
    .unwrap();
    exchange.response = Some(Response {
        status: Some(status.into()),
        headers: Some(headers),
        body: Body { content: Content::Bytes(body.to_vec()), ..Body::default() },
        ..Response::default()
    });
    exchange
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn processed(headers: &[(&str, &str)], body: &[u8]) -> (Body, Vec<String>) {
    let mut exchange = exchange(headers, body, 200);
    processor().process(&mut exchange, 0);
    (exchange.response.unwrap().body, exchange.problems)
}

#[test]
fn encodings_are_undone_last_first_and_what_was_captured_is_told() {
    let plain = b"hello hello hello".to_vec();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&plain).unwrap();
    let zlib = zlib.finish().unwrap();
    let raw_deflate = zlib[2..zlib.len() - 4].to_vec();
    let zstd = zstd::encode_all(&plain[..], 3).unwrap();
    for (header, captured) in
        [("gzip", gzip(&plain)), ("X-GZIP", gzip(&plain)), ("deflate", zlib), ("deflate", raw_deflate), ("zstd", zstd)]
    {
        let (body, problems) = processed(&[("Content-Encoding", header)], &captured);
        assert_eq!((body.content, problems), (Content::Bytes(plain.clone()), vec![]), "{header}");
        assert_eq!(body.captured, Some(Captured { len: captured.len() as u64, crc: crc_hex(&captured) }));
        assert_eq!(body.encoding.as_deref(), Some(header.to_ascii_lowercase().as_str()));
    }
    let twice = zstd::encode_all(&gzip(&plain)[..], 3).unwrap();
    let (body, _) = processed(&[("content-encoding", "identity, gzip"), ("content-encoding", "zstd")], &twice);
    assert_eq!((body.content, body.encoding.as_deref()), (Content::Bytes(plain), Some("gzip, zstd")));
}

#[test]
fn the_emitters_own_compression_is_undone_first() {
    let mut exchange = exchange(&[("content-encoding", "gzip")], &gzip(&gzip(b"x")), 200);
    exchange.response.as_mut().unwrap().body_enc = Some("gzip".into());
    processor().process(&mut exchange, 0);
    let response = exchange.response.unwrap();
    assert_eq!((response.body.content, response.body_enc), (Content::Bytes(b"x".to_vec()), None));
}

#[test]
fn what_cannot_be_undone_stands_as_captured() {
    let cut = &gzip(b"hello")[..15];
    let bomb = gzip(&vec![0; 10_001]);
    for (encoding, captured, problem) in [
        ("gzip", cut, "decode:gzip"),
        ("gzip", &bomb[..], "decode_limit:gzip"),
        ("zstd", b"no", "decode:zstd"),
        ("br", b"\xff\xff\xff", "decode:br"),
        ("compress", b"x", "decode:compress"),
    ] {
        let (body, problems) = processed(&[("content-encoding", encoding)], captured);
        assert_eq!((body.content, problems), (Content::Bytes(captured.to_vec()), vec![problem.to_owned()]));
        assert!(body.captured.is_none() && body.encoding.is_none());
    }
    assert_eq!(processed(&[("content-encoding", "gzip")], b"").1, Vec::<String>::new());
}

#[test]
fn secrets_are_redacted_wherever_heads_and_tails_went() {
    let mut exchange = exchange(&[("Set-Cookie", "a=b"), ("x-secret", "s"), ("Content-Type", "text/plain")], b"", 200);
    exchange.request = Some(Request {
        url: Some("https://me:pw@shop.test/x?pin=1234&q=1&api_key=z".into()),
        headers: Some(vec![("AUTHORIZATION".into(), "Bearer t".into())]),
        trailers: Some(vec![("cookie".into(), "c".into())]),
        ..Request::default()
    });
    exchange.fragments = vec![Fragment {
        head: Some(serde_json::json!({"url": "http://u:p@h/", "headers": [["cookie", "c"], ["a", "b"], 7]})),
        ..Fragment::default()
    }];
    processor().process(&mut exchange, 0);
    let mut line = Vec::new();
    exchange.write_line(&mut line);
    let line = String::from_utf8(line).unwrap();
    for secret in ["me:pw", "1234", "=z", "Bearer", "\"c\"", "a=b", "\"s\"", "u:p"] {
        assert!(!line.contains(secret), "{secret} in {line}");
    }
    assert!(line.contains("q=1") && line.contains(r#"["a","b"]"#) && line.contains("text/plain"), "{line}");
}

#[test]
fn classes_follow_completeness_and_status() {
    let class = |status: u64, complete: bool| {
        let mut exchange = exchange(&[], b"", status);
        exchange.complete = complete;
        processor().process(&mut exchange, 0).class().days()
    };
    assert_eq!((class(200, true), class(499, true), class(500, true), class(500, false)), (30, 30, 90, 7));
}
