//! An exchange as its line. Written by hand, because nearly all of it is text that needs no more than a copy.

use serde::Serialize;
use serde_json::{Number, Value};

use super::{Body, Content, EXCHANGE_VERSION, Exchange, Headers, Request, Response, base64_text};
use crate::id::CaptureId;
use crate::piece::{Piece, Spelling};
use crate::write::escape_json;

impl Exchange<'_> {
    /// Appends the exchange as one line of NDJSON, with its newline.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let mut object = Object::new(out);
        object.number(key!("v"), EXCHANGE_VERSION);
        object.id(key!("id"), &self.id);
        object.text(key!("service"), self.service.as_deref());
        object.text(key!("host"), self.host.as_deref());
        object.text(key!("inst"), self.inst.as_deref());
        object.optional_number(key!("n"), self.n);
        object.text(key!("dir"), self.dir.as_deref());
        object.text(key!("proto"), self.proto.as_deref());
        object.text(key!("ts"), Some(&self.ts));
        object.optional_number(key!("duration_us"), self.duration_us);
        object.bool(key!("complete"), self.complete);
        object.value(key!("problems"), &self.problems);
        match &self.request {
            Some(request) => write_request(request, &mut object.object(key!("request"))),
            None => object.null(key!("request")),
        }
        match &self.response {
            Some(response) => write_response(response, &mut object.object(key!("response"))),
            None => object.null(key!("response")),
        }
        object.text(key!("trace"), self.trace.as_deref());
        object.text(key!("parent"), self.parent.as_deref());
        object.text(key!("peer"), self.peer.as_deref());
        if let Some(tags) = &self.tags {
            object.value(key!("tags"), tags);
        }
        if let Some(rate) = &self.rate {
            object.any_number(key!("rate"), rate);
        }
        object.text(key!("why"), self.why.as_deref());
        object.text(key!("error"), self.error.as_deref());
        if self.oneway {
            object.bool(key!("oneway"), true);
        }
        if !self.fragments.is_empty() {
            object.value(key!("fragments"), &self.fragments);
        }
        if !self.more.is_empty() {
            object.value(key!("more"), &self.more);
        }
        object.text(key!("source"), self.source.as_deref());
        drop(object);
        out.push(b'\n');
    }
}

fn write_request(request: &Request<'_>, object: &mut Object<'_>) {
    object.text(key!("method"), request.method.as_deref());
    object.text(key!("url"), request.url.as_deref());
    object.headers(key!("headers"), request.headers.as_ref());
    object.headers(key!("trailers"), request.trailers.as_ref());
    object.optional_number(key!("us"), request.us);
    object.text(key!("body_enc"), request.body_enc.as_deref());
    write_body(&request.body, &mut object.object(key!("body")));
}

fn write_response(response: &Response<'_>, object: &mut Object<'_>) {
    object.text(key!("ts"), response.ts.as_deref());
    object.optional_number(key!("us"), response.us);
    match &response.status {
        Some(Value::String(text)) => object.text(key!("status"), Some(text)),
        Some(Value::Number(number)) => object.any_number(key!("status"), number),
        Some(other) => object.value(key!("status"), other),
        None => (),
    }
    object.headers(key!("headers"), response.headers.as_ref());
    object.headers(key!("trailers"), response.trailers.as_ref());
    object.text(key!("body_enc"), response.body_enc.as_deref());
    write_body(&response.body, &mut object.object(key!("body")));
}

fn write_body(body: &Body<'_>, object: &mut Object<'_>) {
    object.number(key!("len"), body.content.len());
    object.text(key!("type"), body.media_type.as_deref());
    object.text(key!("encoding"), body.encoding.as_deref());
    if let Some(captured) = &body.captured {
        let mut object = object.object(key!("captured"));
        object.number(key!("len"), captured.len);
        object.text(key!("crc"), Some(&format!("{:08x}", captured.crc)));
    }
    if body.truncated {
        object.bool(key!("truncated"), true);
    }
    object.optional_number(key!("full_len"), body.full_len);
    if !body.marks.is_empty() {
        object.value(key!("marks"), &body.marks);
    }
    if !body.pieces.is_empty() {
        object.value(key!("pieces"), &body.pieces);
    }
    match &body.content {
        Content::Bytes(bytes) => write_bytes(bytes, object),
        Content::Pieces(pieces) => match common_spelling(pieces) {
            Some(Spelling::Text) => object.raw(key!("text"), pieces),
            Some(Spelling::Base64 { .. }) => object.raw(key!("b64"), pieces),
            None => {
                let mut bytes = Vec::new();
                pieces.iter().for_each(|piece| piece.append_to(&mut bytes));
                write_bytes(&bytes, object);
            }
        },
        Content::Object { key, sha256, .. } => {
            object.text(key!("ref"), Some(key));
            object.text(key!("sha256"), Some(sha256));
        }
    }
}

fn write_bytes(bytes: &[u8], object: &mut Object<'_>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.text(key!("text"), Some(text)),
        Err(_) => object.text(key!("b64"), Some(&base64_text(bytes))),
    }
}

/// The spelling in which the pieces, joined, are the body as it is stored; none where they must be spelled anew.
fn common_spelling(pieces: &[Piece]) -> Option<Spelling> {
    if pieces.iter().all(|piece| piece.spelling() == Spelling::Text) {
        return Some(Spelling::Text);
    }
    let (last, others) = pieces.split_last()?;
    let is_base64 = |piece: &Piece| matches!(piece.spelling(), Spelling::Base64 { .. });
    let never_text = |piece: &Piece| piece.spelling() == Spelling::Base64 { never_text: true };
    // Base64 joins where no padding stands within it.
    let joins = others.iter().all(|piece| is_base64(piece) && piece.sum().len % 3 == 0) && is_base64(last);
    (joins && pieces.iter().any(never_text)).then_some(Spelling::Base64 { never_text: true })
}

/// A key as it stands behind another member: with its comma, quotes and colon, so that it is one copy.
#[derive(Clone, Copy)]
struct Key(&'static str);

macro_rules! key {
    ($name:literal) => {
        Key(concat!(",\"", $name, "\":"))
    };
}
use key;

/// A JSON object that is being written; it ends when it is dropped.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    begun: bool,
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push(b'}');
    }
}

impl<'o> Object<'o> {
    fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, begun: false }
    }

    fn key(&mut self, key: Key) {
        // The first has no comma before it.
        let start = usize::from(!std::mem::replace(&mut self.begun, true));
        self.out.extend_from_slice(&key.0.as_bytes()[start..]);
    }

    fn text(&mut self, key: Key, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key);
            write_text(text, self.out);
        }
    }

    fn id(&mut self, key: Key, id: &CaptureId) {
        self.key(key);
        self.out.push(b'"');
        id.append_to(self.out);
        self.out.push(b'"');
    }

    fn number(&mut self, key: Key, number: u64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn optional_number(&mut self, key: Key, number: Option<u64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    fn any_number(&mut self, key: Key, number: &Number) {
        match number.as_u64() {
            Some(number) => self.number(key, number),
            None => self.value(key, number),
        }
    }

    fn bool(&mut self, key: Key, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn null(&mut self, key: Key) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    fn value(&mut self, key: Key, value: &impl Serialize) {
        self.key(key);
        // Writing to memory cannot fail, and every key is a string.
        serde_json::to_writer(&mut *self.out, value).unwrap_or_default();
    }

    fn headers(&mut self, key: Key, headers: Option<&Headers<'_>>) {
        let Some(headers) = headers else { return };
        self.key(key);
        self.out.push(b'[');
        for (n, (name, value)) in headers.iter().enumerate() {
            self.out.extend_from_slice(if n == 0 { b"[" } else { b",[" });
            write_text(name, self.out);
            self.out.push(b',');
            write_text(value, self.out);
            self.out.push(b']');
        }
        self.out.push(b']');
    }

    /// Pieces of one spelling, joined.
    fn raw(&mut self, key: Key, pieces: &[Piece]) {
        self.key(key);
        self.out.push(b'"');
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece.raw()));
        self.out.push(b'"');
    }

    fn object(&mut self, key: Key) -> Object<'_> {
        self.key(key);
        Object::new(self.out)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape_json(text, out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::sum::Sum;

    fn exchange() -> Exchange<'static> {
        Exchange {
            id: CaptureId::parse(b"a").unwrap(),
            service: None,
            host: None,
            inst: None,
            n: None,
            dir: None,
            proto: None,
            ts: "t".into(),
            duration_us: None,
            complete: false,
            problems: vec![],
            request: None,
            response: None,
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

    fn line(exchange: &Exchange<'_>) -> String {
        let mut out = Vec::new();
        exchange.write_line(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn body(content: Content<'_>) -> Value {
        let mut out = Vec::new();
        write_body(&Body { content, ..Body::default() }, &mut Object::new(&mut out));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_exchange_is_written_in_the_specified_order() {
        let request = Request {
            method: Some("POST".into()),
            url: Some("/\"x".into()),
            headers: Some(vec![("Host".into(), "shop.test".into()), ("a".into(), "b".into())]),
            us: Some(3),
            body: Body {
                media_type: Some("text/plain".into()),
                content: Content::Bytes("é".into()),
                ..Body::default()
            },
            ..Request::default()
        };
        let response = Response {
            ts: Some("t2".into()),
            us: Some(1510),
            status: Some(200.into()),
            trailers: Some(vec![]),
            body: Body {
                encoding: Some("gzip".into()),
                captured: Some(Sum { len: 9, crc: 10 }),
                truncated: true,
                full_len: Some(7),
                marks: vec![(0, 5)],
                pieces: vec![9, 0],
                content: Content::Bytes(vec![0xff, 0]),
                ..Body::default()
            },
            ..Response::default()
        };
        let exchange = Exchange {
            service: Some("checkout".into()),
            host: Some("h".into()),
            inst: Some("i".into()),
            n: Some(3),
            dir: Some("in".into()),
            proto: Some("http/1.1".into()),
            duration_us: Some(1834),
            complete: true,
            problems: vec!["x".into()],
            request: Some(request),
            response: Some(response),
            trace: Some("t".into()),
            parent: Some("p".into()),
            peer: Some("1.2.3.4:5".into()),
            tags: json!({"k": "v"}).as_object().cloned(),
            rate: Number::from_f64(0.5),
            why: Some("all".into()),
            error: Some("e".into()),
            oneway: true,
            fragments: vec![super::super::Fragment {
                part: "res".into(),
                seq: 2,
                text: Some("x".into()),
                ..Default::default()
            }],
            more: json!({"request": {"k": 1}}).as_object().cloned().unwrap(),
            source: Some("stdin".into()),
            ..exchange()
        };
        let expected = concat!(
            r#"{"v":1,"id":"a","service":"checkout","host":"h","inst":"i","n":3,"dir":"in","proto":"http/1.1","ts":"t","#,
            r#""duration_us":1834,"complete":true,"problems":["x"],"#,
            r#""request":{"method":"POST","url":"/\"x","headers":[["Host","shop.test"],["a","b"]],"us":3,"#,
            r#""body":{"len":2,"type":"text/plain","text":"é"}},"#,
            r#""response":{"ts":"t2","us":1510,"status":200,"trailers":[],"body":{"len":2,"encoding":"gzip","#,
            r#""captured":{"len":9,"crc":"0000000a"},"truncated":true,"full_len":7,"marks":[[0,5]],"pieces":[9,0],"b64":"/wA="}},"#,
            r#""trace":"t","parent":"p","peer":"1.2.3.4:5","tags":{"k":"v"},"rate":0.5,"why":"all","error":"e","oneway":true,"#,
            r#""fragments":[{"part":"res","seq":2,"text":"x"}],"more":{"request":{"k":1}},"source":"stdin"}"#,
        );
        assert_eq!(line(&exchange), format!("{expected}\n"));
    }

    #[test]
    fn what_is_not_there_is_left_out_or_null() {
        let expected = r#"{"v":1,"id":"a","ts":"t","complete":false,"problems":[],"request":null,"response":null}"#;
        assert_eq!(line(&exchange()), format!("{expected}\n"));
        assert_eq!(body(Content::Bytes(vec![])), json!({"len": 0, "text": ""}));
        assert_eq!(body(Content::Pieces(&[])), json!({"len": 0, "text": ""}));
    }

    proptest! {
        #[test]
        fn pieces_are_stored_as_their_bytes_would_be(cuts in proptest::collection::vec((proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'a')], 0..12), any::<bool>()), 0..6), text in "[a-c\\\\\"é😀\n]{0,30}") {
            let mut pieces: Vec<Piece> = cuts.iter().map(|(bytes, _)| Piece::new(bytes)).collect();
            let (bytes, text): (Vec<u8>, _) = (cuts.into_iter().flat_map(|(bytes, _)| bytes).collect(), text.into_bytes());
            prop_assert_eq!(body(Content::Pieces(&pieces)), body(Content::Bytes(bytes)));
            // Text whose characters are cut, so that its pieces are base64 and the whole is not.
            pieces = text.chunks(3).map(Piece::new).collect();
            prop_assert_eq!(body(Content::Pieces(&pieces)), body(Content::Bytes(text)));
        }
    }
}
