//! Captures as an emitter writes them, with a memory of what they hold.

use std::collections::BTreeMap;

use reassemble_formats::write::{LineLimit, PartTag, PartWriter, RequestHead, ResponseHead, Status, Tail};

/// Text with what has to be escaped, once or twice, and characters of several bytes.
const WORDS: [&str; 8] =
    ["tea ", "\"quoted\" ", "naïve ", "日本語 ", "line\n", "back\\slash ", "😀", "{\"cap1\":\"no\"} "];

/// Bodies of request and response, by the capture's id.
pub(crate) type Bodies = BTreeMap<String, (Vec<u8>, Vec<u8>)>;

/// Makes captures, each with other bodies than the last.
#[derive(Default)]
pub(crate) struct Captures {
    pub(crate) made: Bodies,
}

/// The lines of one capture.
pub(crate) struct Capture {
    pub(crate) request: Vec<String>,
    pub(crate) response: Vec<String>,
}

impl Capture {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.request.iter().chain(&self.response).cloned().collect()
    }
}

impl Captures {
    /// A capture whose response has about so many bytes.
    pub(crate) fn one(&mut self, response_bytes: usize) -> Capture {
        let number = self.made.len();
        let id = format!("fn.{number}");
        let mut response = String::new();
        while response.len() < response_bytes {
            response.push_str(WORDS[(number * 5 + response.len() * 7) % WORDS.len()]);
        }
        let (request, response) = (format!("order {number}").into_bytes(), response.into_bytes());
        let head = RequestHead {
            ts_us: Some(1_795_824_000_000_000),
            service: "fn".into(),
            method: "POST".into(),
            url: "/orders".into(),
            ..RequestHead::default()
        };
        let capture = Capture {
            request: part(&id, PartTag::Req, head.to_json(), &request),
            response: part(
                &id,
                PartTag::Res,
                ResponseHead { status: Some(Status::Code(200)), ..ResponseHead::default() }.to_json(),
                &response,
            ),
        };
        self.made.insert(id, (request, response));
        capture
    }

    /// The lines of so many small captures.
    pub(crate) fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).flat_map(|number| self.one(number * 97 % 9_000).lines()).collect()
    }
}

fn part(id: &str, part: PartTag, head: String, body: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut writer = PartWriter::new(id, part, head, LineLimit::DEFAULT).unwrap();
    writer.body(body, &mut lines);
    writer.finish(&Tail::default(), &mut lines);
    String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect()
}
