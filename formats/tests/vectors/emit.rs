//! Emit vectors, and what this crate's writer makes of them.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use reassemble_formats::sign::SigningKey;
use reassemble_formats::write::{
    Direction, LineLimit, MetaHead, PartTag, PartWriter, RequestHead, ResponseHead, Status, Tail, Why, header_text,
    write_meta,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// `NAME.json` of `spec/vectors/emit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    #[serde(rename = "what")]
    _what: String,
    limit: usize,
    /// The secret that lines are signed with.
    key: Option<String>,
    id: String,
    part: String,
    head: Value,
    #[serde(default)]
    arrivals: Vec<Arrival>,
    #[serde(default)]
    tail: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arrival {
    text: Option<String>,
    b64: Option<String>,
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

impl Vector {
    /// The body as it arrives.
    pub(crate) fn arrivals(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for arrival in &self.arrivals {
            let bytes = match (&arrival.text, &arrival.b64) {
                (Some(text), None) => text.clone().into_bytes(),
                (None, Some(b64)) => STANDARD.decode(b64).unwrap(),
                _ => panic!("an arrival is text or b64"),
            };
            all.extend(std::iter::repeat_n(bytes, arrival.times));
        }
        all
    }

    fn head_json(&self) -> String {
        let head = &self.head;
        let text = |key: &str| Cow::Owned(head[key].as_str().unwrap_or_default().to_owned());
        let number = |key: &str| head[key].as_u64();
        let ts_us = head["ts"].as_str().map(|ts| ts.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        match self.part.as_str() {
            "req" => RequestHead {
                ts_us,
                service: text("service"),
                host: text("host"),
                inst: text("inst"),
                n: number("n"),
                dir: head["dir"].as_str().map(|dir| if dir == "in" { Direction::In } else { Direction::Out }),
                proto: text("proto"),
                method: text("method"),
                url: text("url"),
                headers: pairs(&head["headers"]),
                peer: text("peer"),
                trace: text("trace"),
                parent: text("parent"),
                tags: head["tags"].as_object().map_or_else(BTreeMap::new, |tags| {
                    tags.iter()
                        .map(|(k, v)| (Cow::Owned(k.clone()), Cow::Owned(v.as_str().unwrap().to_owned())))
                        .collect()
                }),
                rate: head["rate"].as_f64(),
                why: head["why"].as_str().map(|why| if why == "all" { Why::All } else { Why::Sample }),
                body_enc: text("body_enc"),
                oneway: head["oneway"] == json!(true),
            }
            .to_json(),
            "res" => ResponseHead {
                ts_us,
                us: number("us"),
                status: status(&head["status"]),
                headers: pairs(&head["headers"]),
                body_enc: text("body_enc"),
            }
            .to_json(),
            _ => MetaHead {
                ts_us,
                service: text("service"),
                host: text("host"),
                inst: text("inst"),
                begun: number("begun").unwrap(),
                finished: number("finished").unwrap(),
                dropped: number("dropped").unwrap(),
                sampled_out: number("sampled_out").unwrap(),
            }
            .to_json(),
        }
    }

    /// What the writer makes of a body that arrives so.
    pub(crate) fn lines(&self, arrivals: &[&[u8]]) -> Vec<u8> {
        let limit = LineLimit::new(self.limit).unwrap();
        let key = self.key.as_deref().map(|secret| SigningKey::new(secret).unwrap());
        let mut out = Vec::new();
        let part = match self.part.as_str() {
            "req" => PartTag::Req,
            "res" => PartTag::Res,
            _ => {
                write_meta(&self.id, self.head_json(), limit, key.as_ref(), &mut out).unwrap();
                return out;
            }
        };
        let mut writer = PartWriter::new(&self.id, part, self.head_json(), limit).unwrap().signed(key.as_ref());
        for arrival in arrivals {
            writer.body(arrival, &mut out);
        }
        let tail = Tail {
            us: self.tail["us"].as_u64(),
            status: status(&self.tail["status"]),
            trailers: pairs(&self.tail["trailers"]),
            error: self.tail["error"].as_str().unwrap_or_default().into(),
            truncated: self.tail["truncated"] == json!(true),
            full_len: self.tail["full_len"].as_u64(),
        };
        let chunks = writer.finish(&tail, &mut out);
        assert_eq!(chunks as usize, out.iter().filter(|byte| **byte == b'\n').count());
        out
    }
}

fn status(value: &Value) -> Option<Status<'static>> {
    match value {
        Value::Number(code) => Some(Status::Code(u16::try_from(code.as_u64().unwrap()).unwrap())),
        Value::String(text) => Some(Status::Text(text.clone().into())),
        _ => None,
    }
}

fn pairs(value: &Value) -> Option<Vec<(Cow<'static, str>, Cow<'static, str>)>> {
    let pair = |pair: &Value| {
        let value = match &pair[1] {
            Value::String(text) => text.clone(),
            raw => header_text(&STANDARD.decode(raw["b64"].as_str().unwrap()).unwrap()).into_owned(),
        };
        (Cow::Owned(pair[0].as_str().unwrap().to_owned()), Cow::Owned(value))
    };
    value.as_array().map(|pairs| pairs.iter().map(pair).collect())
}
