use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use reassemble_formats::exchange::{Body, Content, Fragment, Request, Response};
use reassemble_formats::layout::Partition;
use reassemble_formats::{CaptureId, Piece, Sum};
use reassemble_store::{Spool, SpoolConfig};

use super::bodies::Bodies;
use super::*;
use crate::patient::PatientSpool;

fn processor() -> Processor {
    let config = ProcessConfig {
        redact: true,
        redact_headers: vec!["X-Secret".into()],
        redact_query: vec!["pin".into()],
        decode: true,
        decode_incomplete: true,
        decode_limit_bytes: 10_000,
    };
    let retention = Retention { normal_days: 30, errors_days: 90, incomplete_days: 7 };
    Processor::new(&config, retention, 1 << 20).unwrap()
}

fn exchange<'a>(headers: &[(&'a str, &'a str)], status: u64) -> Exchange<'a> {
    let response = Response {
        status: Some(status.into()),
        headers: Some(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()),
        ..Response::default()
    };
    Exchange {
        id: CaptureId::parse(b"a").unwrap(),
        service: Some("shop".into()),
        host: None,
        inst: None,
        n: None,
        dir: None,
        proto: None,
        ts: "2025-11-22T05:00:00Z".into(),
        duration_us: None,
        complete: true,
        problems: vec![],
        request: None,
        response: Some(response),
        trace: None,
        parent: None,
        peer: None,
        tags: None,
        rate: None,
        why: None,
        error: None,
        oneway: false,
        fragments: vec![],
        more: serde_json::Map::new(),
        source: None,
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What becomes of a body that was captured with some encodings, where bodies of more than `inline_bytes` are objects of their own. It comes in
/// pieces of 7 bytes.
fn stored(captured: &[u8], encodings: &[String], inline_bytes: u64) -> (Body<'static>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(SpoolConfig { min_free_bytes: 0, ..SpoolConfig::new(dir.path()) }).unwrap();
    let state = spool.reader();
    let mut spool = PatientSpool { spool, gauges: Arc::default(), board: Arc::default() };
    let partition = Partition::new(processor().normal, None, 0);
    let mut bodies = Bodies {
        spool: &mut spool,
        state: &state,
        partition: &partition,
        complete: true,
        inline_bytes,
        decode_limit_bytes: 10_000,
    };
    let pieces: Vec<Piece> = captured.chunks(7).map(Piece::new).collect();
    let mut body = Body { content: Content::Pieces(&pieces), ..Body::default() };
    let mut problems = Vec::new();
    let undone = bodies.store(&mut body, None, encodings, &mut problems).unwrap();
    assert_eq!(undone, body.encoding.is_some());
    let content = match body.content {
        Content::Pieces(pieces) => Content::Bytes(pieces.iter().flat_map(|piece| piece.bytes().into_owned()).collect()),
        Content::Bytes(bytes) => Content::Bytes(bytes),
        Content::Object { key, sha256, len } => Content::Object { key, sha256, len },
    };
    (Body { encoding: body.encoding, captured: body.captured, content, ..Body::default() }, problems)
}

fn processed(headers: &[(&str, &str)], captured: &[u8]) -> (Body<'static>, Vec<String>) {
    let exchange = exchange(headers, 200);
    let encodings = processor().encodings(true, exchange.response.unwrap().headers.as_ref(), None);
    stored(captured, &encodings, 1 << 20)
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
        assert_eq!(body.captured, Some(Sum::of(&captured)));
        assert_eq!(body.encoding.as_deref(), Some(header.to_ascii_lowercase().as_str()));
    }
    let twice = zstd::encode_all(&gzip(&plain)[..], 3).unwrap();
    let (body, _) = processed(&[("content-encoding", "identity, gzip"), ("content-encoding", "zstd")], &twice);
    assert_eq!((body.content, body.encoding.as_deref()), (Content::Bytes(plain), Some("gzip, zstd")));
}

#[test]
fn the_emitters_own_compression_is_undone_first() {
    let headers = vec![("content-encoding".into(), "gzip".into())];
    let encodings = processor().encodings(true, Some(&headers), Some("deflate"));
    assert_eq!(encodings, ["gzip", "deflate"]);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&gzip(b"x")).unwrap();
    let (body, problems) = stored(&zlib.finish().unwrap(), &encodings, 1 << 20);
    assert_eq!((body.content, problems), (Content::Bytes(b"x".to_vec()), vec![]));
}

#[test]
fn a_body_beyond_the_inline_limit_is_an_object_whether_decoded_or_not() {
    let plain = vec![b'x'; 9_000];
    let object = |body: &Body<'_>| match &body.content {
        Content::Object { len, .. } => Some(*len),
        Content::Bytes(_) | Content::Pieces(_) => None,
    };
    let gzipped = gzip(&plain);
    assert!(gzipped.len() < 1_000);
    let (body, _) = stored(&gzipped, &["gzip".into()], 1_000);
    assert_eq!((object(&body), body.captured.map(|captured| captured.len)), (Some(9_000), Some(gzipped.len() as u64)));
    let (body, problems) = stored(&plain, &["gzip".into()], 1_000);
    assert_eq!((object(&body), body.captured, &*problems[0]), (Some(9_000), None, "decode:gzip"));
    assert_eq!(object(&stored(&plain, &[], 1_000).0), Some(9_000));
    assert_eq!(object(&stored(&plain, &[], 9_000).0), None);
}

#[test]
fn what_lies_behind_the_end_of_an_encoding_was_captured_all_the_same() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(b"x").unwrap();
    let captured = [zlib.finish().unwrap(), vec![7; 200_000]].concat();
    let (body, _) = stored(&captured, &["deflate".into()], 1 << 20);
    assert_eq!(body.content, Content::Bytes(b"x".to_vec()));
    assert_eq!(body.captured, Some(Sum::of(&captured)));
}

#[test]
fn a_body_encoded_again_and_again_is_left_as_it_is() {
    let mut captured = b"x".to_vec();
    let mut encodings = Vec::new();
    for _ in 0..4 {
        captured = gzip(&captured);
        encodings.push("gzip".to_owned());
    }
    let (body, problems) = stored(&captured, &encodings, 1 << 20);
    assert_eq!((body.content, problems), (Content::Bytes(captured), vec!["decode:gzip".to_owned()]));
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
    let mut exchange = exchange(&[("Set-Cookie", "a=b"), ("x-secret", "s"), ("Content-Type", "text/plain")], 200);
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
    processor().redact(&mut exchange);
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
    let class = |status: u64, complete: bool| processor().class(&Exchange { complete, ..exchange(&[], status) }).days();
    assert_eq!((class(200, true), class(499, true), class(500, true), class(500, false)), (30, 30, 90, 7));
}
