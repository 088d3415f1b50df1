//! Captures as an emitter writes them, with a memory of what they hold.

use std::collections::BTreeMap;

use reassemble_formats::write::{LineLimit, PartTag, PartWriter, RequestHead, ResponseHead, Status, Tail};

/// Text with what has to be escaped, once or twice, and characters of several bytes: pieces of it are cut in awkward places.
const WORDS: [&str; 8] =
    ["tea ", "\"quoted\" ", "naïve ", "日本語 ", "line\n", "back\\slash ", "😀", "{\"cap1\":\"no\"} "];

/// Awkward text of so many bytes or a few more. Which word comes next is drawn; who draws is told how long the text is so far.
pub fn text(bytes: usize, mut draw: impl FnMut(usize) -> usize) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(WORDS[draw(text.len()) % WORDS.len()]);
    }
    text
}

/// The lines of one part.
pub fn part(id: &str, part: PartTag, head: String, body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut writer = PartWriter::new(id, part, head, LineLimit::DEFAULT).unwrap();
    writer.body(body, &mut lines);
    writer.finish(&Tail::default(), &mut lines);
    lines
}

/// Bodies of request and response, by the capture's id.
pub type Bodies = BTreeMap<String, (Vec<u8>, Vec<u8>)>;

/// Makes captures, each with other bodies than the last.
#[derive(Debug, Default)]
pub struct Captures {
    /// Those that were made.
    pub made: Bodies,
}

/// The lines of one capture.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Those of its request.
    pub request: Vec<String>,
    /// Those of its response.
    pub response: Vec<String>,
}

impl Capture {
    /// All of them.
    pub fn lines(&self) -> Vec<String> {
        self.request.iter().chain(&self.response).cloned().collect()
    }
}

impl Captures {
    /// A capture whose response has about so many bytes.
    pub fn one(&mut self, response_bytes: usize) -> Capture {
        let number = self.made.len();
        let id = format!("fn.{number}");
        let response = text(response_bytes, |length| number * 5 + length * 7).into_bytes();
        let request = format!("order {number}").into_bytes();
        let head = RequestHead {
            ts_us: Some(1_795_824_000_000_000),
            service: "fn".into(),
            method: "POST".into(),
            url: "/orders".into(),
            ..RequestHead::default()
        };
        let status = ResponseHead { status: Some(Status::Code(200)), ..ResponseHead::default() };
        let capture = Capture {
            request: lines(part(&id, PartTag::Req, head.to_json(), &request)),
            response: lines(part(&id, PartTag::Res, status.to_json(), &response)),
        };
        self.made.insert(id, (request, response));
        capture
    }

    /// The lines of so many small captures.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).flat_map(|number| self.one(number * 97 % 9_000).lines()).collect()
    }
}

fn lines(text: Vec<u8>) -> Vec<String> {
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}
