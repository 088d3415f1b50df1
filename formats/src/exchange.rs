//! The stored exchange, format 1: what a request and its response were, as one JSON object on a line (stored-exchange specification).
//!
//! Field order is the order in which keys are written.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

/// The format's version, written as `v`.
pub const EXCHANGE_VERSION: u64 = 1;

/// One request with its response, or what came of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The version of the format: [`EXCHANGE_VERSION`].
    pub v: u64,
    /// The capture's id.
    pub id: String,
    /// The service that captured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inst: Option<String>,
    /// The how-manieth capture of this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// `in` or `out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// The protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<String>,
    /// When the request began: RFC 3339.
    pub ts: String,
    /// Microseconds from the request's start to the response's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// Whether both parts are whole (or the request is `oneway`).
    pub complete: bool,
    /// What is missing or odd.
    pub problems: Vec<String>,
    /// The request, where anything of it came.
    pub request: Option<Request>,
    /// The response, where anything of it came.
    pub response: Option<Response>,
    /// The W3C traceparent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The id of the capture that caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The other side's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Map<String, Value>>,
    /// The sample rate in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Number>,
    /// Why it was captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What went wrong, as the emitter saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether no response was to come.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oneway: bool,
    /// What came behind a gap, of an incomplete exchange.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fragments: Vec<Fragment>,
    /// Keys of heads and tails that this format does not know, and known ones with values of another type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub more: Map<String, Value>,
    /// Where the first of its lines was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Names and values in order, repeats and case as captured.
pub type Headers = Vec<(String, String)>;

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The method or operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers or metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Headers>,
    /// Trailers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailers: Option<Headers>,
    /// Microseconds from the request's start to its own end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub us: Option<u64>,
    /// How the emitter itself compressed the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_enc: Option<String>,
    /// The body.
    pub body: Body,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
    /// Microseconds from the request's start to the first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub us: Option<u64>,
    /// A number for HTTP, a string elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    /// Headers or metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Headers>,
    /// Trailers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trailers: Option<Headers>,
    /// How the emitter itself compressed the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_enc: Option<String>,
    /// The body.
    pub body: Body,
}

/// A message's body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The content type, from the headers.
    pub media_type: Option<String>,
    /// The Content-Encoding that was undone.
    pub encoding: Option<String>,
    /// What the body was before that.
    pub captured: Option<Captured>,
    /// Whether the emitter cut the body.
    pub truncated: bool,
    /// Its full length in bytes, where it was cut and that is known.
    pub full_len: Option<u64>,
    /// (offset in bytes, microseconds since the part began) of pieces that told when they passed.
    pub marks: Vec<(u64, u64)>,
    /// The bytes, or where they are.
    pub content: Content,
}

/// A body's bytes, or where they are.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Within the exchange: `text` where they are UTF-8, else `b64`.
    Bytes(Vec<u8>),
    /// An object of its own.
    Object {
        /// Its key, relative to the destination's root.
        key: String,
        /// Its SHA-256 in lowercase hex.
        sha256: String,
        /// Its length in bytes.
        len: u64,
    },
}

impl Default for Content {
    fn default() -> Self {
        Content::Bytes(Vec::new())
    }
}

impl Content {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Object { len, .. } => *len,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A body as captured, before its encoding was undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// Length in bytes.
    pub len: u64,
    /// CRC-32, 8 lowercase hex digits.
    pub crc: String,
}

/// A chunk behind a gap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fragment {
    /// `req` or `res`.
    pub part: String,
    /// The chunk's number.
    pub seq: u32,
    /// The claimed number of chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// A head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Value>,
    /// A fragment of a head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headf: Option<String>,
    /// When the piece passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// The piece, where it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The piece, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b64: Option<String>,
    /// The piece's CRC-32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc: Option<String>,
    /// A tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Value>,
    /// A fragment of a tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tailf: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Exchange {
    /// Appends the exchange as one line of NDJSON, with its newline.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        // Writing to memory cannot fail, and every key is a string.
        serde_json::to_writer(&mut *out, self).unwrap_or_default();
        out.push(b'\n');
    }

    /// The response's status as a number, where it is one.
    pub fn status_code(&self) -> Option<u64> {
        self.response.as_ref()?.status.as_ref()?.as_u64()
    }
}

/// CRC-32 as the formats spell it: 8 lowercase hex digits.
pub fn crc_hex(bytes: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(bytes))
}

/// Bytes as base64, the way the formats spell it.
pub fn base64_text(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("len", &self.content.len())?;
        if let Some(media_type) = &self.media_type {
            map.serialize_entry("type", media_type)?;
        }
        if let Some(encoding) = &self.encoding {
            map.serialize_entry("encoding", encoding)?;
        }
        if let Some(captured) = &self.captured {
            map.serialize_entry("captured", captured)?;
        }
        if self.truncated {
            map.serialize_entry("truncated", &true)?;
        }
        if let Some(full_len) = self.full_len {
            map.serialize_entry("full_len", &full_len)?;
        }
        if !self.marks.is_empty() {
            map.serialize_entry("marks", &self.marks)?;
        }
        match &self.content {
            Content::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => map.serialize_entry("text", text)?,
                Err(_) => map.serialize_entry("b64", &base64_text(bytes))?,
            },
            Content::Object { key, sha256, .. } => {
                map.serialize_entry("ref", key)?;
                map.serialize_entry("sha256", sha256)?;
            }
        }
        map.end()
    }
}

/// A body's keys as they are read.
#[derive(Deserialize)]
struct BodyKeys {
    len: u64,
    #[serde(rename = "type")]
    media_type: Option<String>,
    encoding: Option<String>,
    captured: Option<Captured>,
    #[serde(default)]
    truncated: bool,
    full_len: Option<u64>,
    #[serde(default)]
    marks: Vec<(u64, u64)>,
    text: Option<String>,
    b64: Option<String>,
    #[serde(rename = "ref")]
    key: Option<String>,
    sha256: Option<String>,
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let keys = BodyKeys::deserialize(deserializer)?;
        let content = match (keys.text, keys.b64, keys.key, keys.sha256) {
            (Some(text), None, None, None) => Content::Bytes(text.into_bytes()),
            (None, Some(b64), None, None) => Content::Bytes(
                base64::Engine::decode(&base64::engine::general_purpose::STANDARD, b64)
                    .map_err(|_| D::Error::custom("b64 is no base64"))?,
            ),
            (None, None, Some(key), Some(sha256)) => Content::Object { key, sha256, len: keys.len },
            _ => return Err(D::Error::custom("a body has one of text, b64, and ref with sha256")),
        };
        if content.len() != keys.len {
            return Err(D::Error::custom("a body's len is not the length of its bytes"));
        }
        Ok(Body {
            media_type: keys.media_type,
            encoding: keys.encoding,
            captured: keys.captured,
            truncated: keys.truncated,
            full_len: keys.full_len,
            marks: keys.marks,
            content,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_written_in_the_specified_order_and_read_back() {
        let line = concat!(
            r#"{"v":1,"id":"a","service":"checkout","host":"h","inst":"i","n":3,"dir":"in","proto":"http/1.1","#,
            r#""ts":"2026-11-22T05:00:00.000001Z","duration_us":1834,"complete":true,"problems":[],"#,
            r#""request":{"method":"POST","url":"/x","headers":[["Host","shop.test"]],"body":{"len":2,"type":"text/plain","text":"é"}},"#,
            r#""response":{"ts":"t","us":1510,"status":200,"body":{"len":2,"encoding":"gzip","captured":{"len":9,"crc":"0000000a"},"#,
            r#""truncated":true,"full_len":7,"marks":[[0,5]],"b64":"/wA="}},"#,
            r#""trace":"t","parent":"p","peer":"1.2.3.4:5","tags":{"k":"v"},"rate":0.5,"why":"all","error":"e","oneway":true,"#,
            r#""fragments":[{"part":"res","seq":2,"text":"x","crc":"8cdc1683"}],"more":{"request":{"k":1}},"source":"stdin"}"#,
        );
        let exchange: Exchange = serde_json::from_str(line).unwrap();
        let mut out = Vec::new();
        exchange.write_line(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
    }

    #[test]
    fn a_body_that_contradicts_itself_is_refused() {
        for body in
            [r#"{"len":1,"text":""}"#, r#"{"len":1}"#, r#"{"len":1,"text":"a","b64":"YQ=="}"#, r#"{"len":1,"b64":"?"}"#]
        {
            assert!(serde_json::from_str::<Body>(body).is_err(), "{body}");
        }
    }
}
