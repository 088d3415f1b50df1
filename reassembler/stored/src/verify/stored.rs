//! One stored exchange, read for what can be compared: bodies and fragments become [`Run`]s while they are parsed, and nothing else of them is
//! kept.

use std::fmt;
use std::io::Read as _;

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use reassemble_formats::{CaptureId, Part};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use super::part::{cut, in_order, rate};
use super::prints::{Facts, Field, List, Run};

/// A stored exchange.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: CaptureId,
    pub(super) complete: bool,
    /// What decides where it is stored.
    pub(super) service: Option<String>,
    pub(super) ts: String,
    pub(super) facts: Facts,
    /// Whether `ts` is the time of reading.
    pub(super) ts_is_reading: bool,
    /// The request and the response, where anything of them came.
    pub(super) parts: [Option<StoredPart>; 2],
}

/// A part of a stored exchange.
#[derive(Debug)]
pub(super) struct StoredPart {
    pub(super) has_head: bool,
    pub(super) body: StoredBody,
    pub(super) extent: Extent,
    /// What came behind a gap, by `seq`.
    pub(super) fragments: Vec<(u32, Run)>,
}

/// How many chunks a stored body was joined from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many; others are missing behind them.
    Chunks(u32),
    /// All that came; and whether the end was among them.
    All {
        /// Whether it is known how many there are.
        ended: bool,
    },
}

/// A stored body as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoredBody {
    /// Within the exchange.
    Inline(Run),
    /// An object of its own.
    Object {
        /// Its key, relative to the root.
        key: String,
        /// Its SHA-256 in hex.
        sha256: String,
        /// Its length.
        len: u64,
        /// What was captured, where that was another body: its encoding was undone.
        captured: Option<Run>,
    },
}

impl Stored {
    /// Makes a stored exchange of what was parsed.
    ///
    /// # Errors
    /// A sentence that tells what is wrong with it.
    pub(super) fn new(line: Line) -> Result<Stored, String> {
        if line.v != 1 {
            return Err(format!("it has format {}, and this program knows 1", line.v));
        }
        let id = CaptureId::parse(line.id.as_bytes()).ok_or("its id is none")?;
        let facts = line.facts();
        let has = |problem: &str| line.problems.iter().any(|told| told == problem);
        let part = |part: Part, body: BodyKeys| {
            let name = part.name();
            let gap = line.problems.iter().filter_map(|problem| gap(problem, name)).min();
            let ended = !has(&format!("{name}_end_missing"));
            let extent = gap.map_or(Extent::All { ended }, Extent::Chunks);
            let of_part = line.fragments.iter().filter(|fragment| fragment.part == part.tag());
            // A head's fragments stand there too where they could not be joined; their pieces are in the body.
            let behind_gap = of_part.filter(|fragment| gap.is_some_and(|gap| fragment.seq >= gap));
            Ok::<_, String>(StoredPart {
                has_head: !has(&format!("{name}_head_missing")),
                body: body.body()?,
                extent,
                fragments: behind_gap.map(|fragment| (fragment.seq, fragment.piece().unwrap_or_default())).collect(),
            })
        };
        let request = line.request.map(|request| part(Part::Request, request.body)).transpose()?;
        let response = line.response.map(|response| part(Part::Response, response.body)).transpose()?;
        Ok(Stored {
            id,
            complete: line.complete,
            facts,
            ts_is_reading: has("ts_unusable"),
            parts: [request, response],
            service: line.service,
            ts: line.ts,
        })
    }
}

/// Where a gap begins that a problem names: `request_chunk_missing:3-5`.
fn gap(problem: &str, part: &str) -> Option<u32> {
    let seqs = problem.strip_prefix(part)?.strip_prefix("_chunk_missing:")?;
    seqs.split('-').next()?.parse().ok()
}

/// An exchange's keys as they are stored, but for those that are not compared.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    v: u64,
    id: String,
    service: Option<String>,
    host: Option<String>,
    inst: Option<String>,
    n: Option<u64>,
    dir: Option<String>,
    proto: Option<String>,
    ts: String,
    duration_us: Option<u64>,
    complete: bool,
    problems: Vec<String>,
    request: Option<Request>,
    response: Option<Response>,
    trace: Option<String>,
    parent: Option<String>,
    peer: Option<String>,
    tags: Option<Map<String, Value>>,
    rate: Option<Number>,
    why: Option<String>,
    error: Option<String>,
    #[serde(default)]
    oneway: bool,
    #[serde(default)]
    fragments: Vec<Fragment>,
}

#[derive(Debug, Deserialize)]
struct Request {
    method: Option<String>,
    url: Option<String>,
    headers: Option<Vec<(String, String)>>,
    trailers: Option<Vec<(String, String)>>,
    us: Option<u64>,
    body: BodyKeys,
}

#[derive(Debug, Deserialize)]
struct Response {
    ts: Option<String>,
    us: Option<u64>,
    status: Option<Value>,
    headers: Option<Vec<(String, String)>>,
    trailers: Option<Vec<(String, String)>>,
    body: BodyKeys,
}

#[derive(Debug, Deserialize)]
struct Fragment {
    part: String,
    seq: u32,
    text: Option<Text>,
    b64: Option<Base64>,
}

impl Fragment {
    fn piece(&self) -> Option<Run> {
        self.text.as_ref().map(|text| text.0).or(self.b64.as_ref().map(|bytes| bytes.0))
    }
}

#[derive(Debug, Deserialize)]
struct BodyKeys {
    len: u64,
    captured: Option<Captured>,
    #[serde(default)]
    truncated: bool,
    full_len: Option<u64>,
    text: Option<Text>,
    b64: Option<Base64>,
    #[serde(rename = "ref")]
    key: Option<String>,
    sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Captured {
    len: u64,
    crc: String,
}

impl BodyKeys {
    fn body(self) -> Result<StoredBody, String> {
        let captured = match self.captured {
            Some(Captured { len, crc }) => {
                let crc = u32::from_str_radix(&crc, 16).map_err(|_| "a body's captured crc is none")?;
                Some(Run { len, crc })
            }
            None => None,
        };
        let bytes = match (self.text, self.b64, self.key, self.sha256) {
            (Some(Text(run)), None, None, None) | (None, Some(Base64(run)), None, None) => run,
            (None, None, Some(key), Some(sha256)) => {
                return Ok(StoredBody::Object { key, sha256, len: self.len, captured });
            }
            _ => return Err("a body has not one of text, b64, and ref with sha256".to_owned()),
        };
        if bytes.len != self.len {
            return Err(format!("a body's len is {}, and it has {} bytes", self.len, bytes.len));
        }
        Ok(StoredBody::Inline(captured.unwrap_or(bytes)))
    }
}

impl Line {
    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts.set(Field::Service, self.service.as_ref());
        facts.set(Field::Host, self.host.as_ref());
        facts.set(Field::Inst, self.inst.as_ref());
        facts.set(Field::N, self.n.as_ref());
        facts.set(Field::Dir, self.dir.as_ref());
        facts.set(Field::Proto, self.proto.as_ref());
        facts.set(Field::Ts, Some(&self.ts));
        facts.set(Field::Duration, self.duration_us.as_ref());
        facts.set(Field::Trace, self.trace.as_ref());
        facts.set(Field::Parent, self.parent.as_ref());
        facts.set(Field::Peer, self.peer.as_ref());
        facts.set(Field::Tags, self.tags.as_ref().map(in_order).as_ref());
        facts.set(Field::Rate, self.rate.as_ref().map(rate).as_ref());
        facts.set(Field::Why, self.why.as_ref());
        facts.set(Field::Error, self.error.as_ref());
        facts.set(Field::Oneway, Some(&true).filter(|_| self.oneway));
        if let Some(request) = &self.request {
            facts.set(Field::Method, request.method.as_ref());
            facts.set(Field::RequestUs, request.us.as_ref());
            facts.set(Field::RequestCut, cut(request.body.truncated, request.body.full_len).as_ref());
            facts.set_url(request.url.as_deref(), true);
            facts.set_pairs(List::RequestHeaders, request.headers.as_ref(), true);
            facts.set_pairs(List::RequestTrailers, request.trailers.as_ref(), true);
        }
        if let Some(response) = &self.response {
            facts.set(Field::ResponseTs, response.ts.as_ref());
            facts.set(Field::ResponseUs, response.us.as_ref());
            facts.set(Field::Status, response.status.as_ref().map(ToString::to_string).as_ref());
            facts.set(Field::ResponseCut, cut(response.body.truncated, response.body.full_len).as_ref());
            facts.set_pairs(List::ResponseHeaders, response.headers.as_ref(), true);
            facts.set_pairs(List::ResponseTrailers, response.trailers.as_ref(), true);
        }
        facts
    }
}

/// Text of which only the run is kept.
#[derive(Debug)]
struct Text(Run);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfText;
        impl Visitor<'_> for OfText {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Run::of(text.as_bytes())))
            }
        }
        deserializer.deserialize_str(OfText)
    }
}

/// Base64 of which only the run of what it says is kept.
#[derive(Debug)]
struct Base64(Run);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfBase64;
        impl Visitor<'_> for OfBase64 {
            type Value = Base64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Base64, E> {
                let mut decoder = DecoderReader::new(text.as_bytes(), &STANDARD);
                let (mut run, mut buffer) = (Run::default(), [0; 4096]);
                loop {
                    match decoder.read(&mut buffer) {
                        Ok(0) => return Ok(Base64(run)),
                        Ok(read) => run.push(&buffer[..read]),
                        Err(_) => return Err(E::custom("b64 is no base64")),
                    }
                }
            }
        }
        deserializer.deserialize_str(OfBase64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(line: &str) -> Result<Stored, String> {
        serde_json::from_str(line).map_err(|error| error.to_string()).and_then(Stored::new)
    }

    const ID: &str = r#""v":1,"id":"a","ts":"2026-11-22T05:00:00Z""#;

    #[test]
    fn bodies_become_the_run_of_what_was_captured() {
        let body = |body: &str| {
            let line = format!(r#"{{{ID},"complete":true,"problems":[],"request":{{"body":{body}}},"response":null}}"#);
            stored(&line).map(|stored| stored.parts.into_iter().flatten().next().unwrap().body)
        };
        assert_eq!(body(r#"{"len":3,"text":"a\"é"}"#), Err("a body's len is 3, and it has 4 bytes".into()));
        assert_eq!(body(r#"{"len":4,"text":"a\"é"}"#), Ok(StoredBody::Inline(Run::of("a\"é".as_bytes()))));
        assert_eq!(body(r#"{"len":2,"b64":"/wA="}"#), Ok(StoredBody::Inline(Run::of(&[255, 0]))));
        let undone = r#"{"len":0,"encoding":"gzip","captured":{"len":9,"crc":"0000000a"},"text":""}"#;
        assert_eq!(body(undone), Ok(StoredBody::Inline(Run { len: 9, crc: 10 })));
        let apart = StoredBody::Object { key: "k".into(), sha256: "s".into(), len: 7, captured: None };
        assert_eq!(body(r#"{"len":7,"ref":"k","sha256":"s"}"#), Ok(apart));
        for wrong in [r#"{"len":0}"#, r#"{"len":1,"b64":"?"}"#, r#"{"len":1,"text":"a","b64":"YQ=="}"#] {
            assert!(body(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_lies_behind_a_gap_is_told_from_what_could_not_be_joined() {
        let line = format!(
            r#"{{{ID},"complete":false,"problems":["request_chunk_missing:2-3","request_chunk_missing:5","response_end_missing","response_head_missing","continues","timeout"],
            "request":{{"body":{{"len":1,"text":"x"}}}},"response":{{"body":{{"len":0,"text":""}}}},
            "fragments":[{{"part":"req","seq":0,"headf":"x"}},{{"part":"req","seq":4,"text":"ab"}},{{"part":"res","seq":1,"headf":"x"}}]}}"#
        );
        let stored = stored(&line).unwrap();
        assert!(!stored.complete && !stored.ts_is_reading);
        let [Some(request), Some(response)] = stored.parts else { panic!("both parts") };
        assert_eq!((request.extent, request.fragments), (Extent::Chunks(2), vec![(4, Run::of(b"ab"))]));
        assert_eq!((response.extent, response.fragments), (Extent::All { ended: false }, vec![]));
        assert!(request.has_head && !response.has_head);
    }

    #[test]
    fn what_is_no_exchange_is_refused() {
        for line in ["", "{}", "[1]", &format!(r#"{{{ID},"complete":true,"problems":[]}} x"#)] {
            assert!(stored(line).is_err(), "{line}");
        }
        let other = r#"{"v":2,"id":"a","ts":"t","complete":true,"problems":[],"request":null,"response":null}"#;
        assert_eq!(stored(other).unwrap_err(), "it has format 2, and this program knows 1");
        assert!(stored(&other.replace(r#""v":2,"id":"a""#, r#""v":1,"id":"a b""#)).is_err());
    }
}
