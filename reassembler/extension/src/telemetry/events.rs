//! What a POST of the Telemetry API says: pure, over the bytes that came.
//!
//! A POST is a JSON array of `{"time":…,"type":…,"record":…}`. It is read element by element and borrowed, so that a body of two megabytes
//! takes no more than itself. A record longer than a POST may be is cut in mid-value, and the next POST repeats the envelope and goes on
//! where the value was cut: neither is valid JSON then. What is whole is taken; the cut value waits in [`Cut`] for its rest.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::cut::{Cut, Rejoined};

/// What is found in a POST, in the order in which it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A record that the function printed: the JSON text of a string or of another value.
    Function(Cow<'b, [u8]>),
    /// Of a string that the function printed, a piece whose other end never came: JSON text without its quotes.
    Fragment(Cow<'b, [u8]>),
    /// `platform.runtimeDone`: the runtime has answered this request, or failed to.
    RuntimeDone {
        /// The request's id.
        request_id: Cow<'b, str>,
    },
    /// `platform.logsDropped`: what the platform could not hand over.
    LogsDropped {
        /// Records that were dropped.
        records: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Something that is not as the API says, and how many bytes of the POST it concerns.
    Problem(Problem, usize),
}

/// What may be wrong with a POST. Whatever of it could be read was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// It is no array of records.
    NotTelemetry,
    /// An element is no JSON, or lacks its type or record.
    BadRecord,
    /// The rest of a cut record never came, or its start did not.
    LostPiece,
    /// A platform record lacks what it should hold.
    BadPlatformRecord,
    /// It is longer than any POST may be; what is past that was not read.
    TooLong,
}

impl Problem {
    /// Its name in counts and logs.
    pub fn name(self) -> &'static str {
        match self {
            Problem::NotTelemetry => "not_telemetry",
            Problem::BadRecord => "bad_record",
            Problem::LostPiece => "lost_piece",
            Problem::BadPlatformRecord => "bad_platform_record",
            Problem::TooLong => "too_long",
        }
    }
}

#[derive(Deserialize)]
struct Element<'b> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'b, str>,
    #[serde(borrow)]
    record: &'b RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeDone<'r> {
    #[serde(borrow)]
    request_id: Cow<'r, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogsDropped {
    dropped_records: u64,
    dropped_bytes: u64,
}

/// What every element begins with as the API writes it; where a POST is damaged, reading goes on at the next.
const ELEMENT: &[u8] = b"{\"time\":\"";

/// Reads a POST. What it leaves unfinished is put into `cut`, and what an earlier one left there is finished.
pub fn read<'b>(post: &'b [u8], cut: &mut Cut, each: &mut dyn FnMut(Event<'b>)) {
    if cut.was_left_by(post) {
        // It came again: all of it was read, and its rest is still to come.
        return;
    }
    let mut at = skip(post, 0, b"");
    if at == post.len() {
        return;
    }
    if post[at] != b'[' {
        each(Event::Problem(Problem::NotTelemetry, post.len()));
        return;
    }
    at = skip(post, at + 1, b"");
    match cut.rejoin(post, at) {
        Rejoined::Nothing => (),
        Rejoined::Whole { kind, value, consumed } => {
            one(&kind, Cow::Owned(value), each);
            at += consumed;
        }
        Rejoined::Longer => return,
        Rejoined::Lost(piece) => {
            each(Event::Problem(Problem::LostPiece, piece.len()));
            if let Some(piece) = piece.of_string() {
                each(Event::Fragment(Cow::Owned(piece)));
            }
        }
    }
    let mut first = true;
    loop {
        at = skip(post, at, b",");
        if matches!(post.get(at), None | Some(b']')) {
            return;
        }
        let mut elements = Deserializer::from_slice(&post[at..]).into_iter::<Element<'b>>();
        match elements.next() {
            Some(Ok(element)) => {
                at += elements.byte_offset();
                one(&element.kind, Cow::Borrowed(element.record.get().as_bytes()), each);
            }
            Some(Err(error)) if error.is_eof() && cut.keep(post, at) => return,
            _ => at = damaged(post, at, first, each),
        }
        first = false;
    }
}

/// Salvages what it can from an element that cannot be read; gives where reading goes on.
fn damaged<'b>(post: &'b [u8], at: usize, first: bool, each: &mut dyn FnMut(Event<'b>)) -> usize {
    let next = memmem::find(&post[at + 1..], ELEMENT).map_or(post.len(), |found| at + 1 + found);
    // A first element that stands like this is the rest of a record whose start another process read, or none.
    match super::cut::rest_of_string(&post[at..next]).filter(|_| first) {
        Some(piece) => {
            each(Event::Problem(Problem::LostPiece, piece.len()));
            each(Event::Fragment(Cow::Borrowed(piece)));
        }
        None => each(Event::Problem(Problem::BadRecord, next - at)),
    }
    next
}

/// One whole element. What this program or others printed beside the function is not looked at: it must not feed itself.
fn one<'b>(kind: &str, record: Cow<'b, [u8]>, each: &mut dyn FnMut(Event<'b>)) {
    let bytes = record.len();
    let event = match kind {
        "function" => Some(Event::Function(record)),
        "platform.runtimeDone" => serde_json::from_slice::<RuntimeDone<'_>>(&record)
            .ok()
            .map(|done| Event::RuntimeDone { request_id: Cow::Owned(done.request_id.into_owned()) }),
        "platform.logsDropped" => serde_json::from_slice::<LogsDropped>(&record)
            .ok()
            .map(|lost| Event::LogsDropped { records: lost.dropped_records, bytes: lost.dropped_bytes }),
        _ => return,
    };
    each(event.unwrap_or(Event::Problem(Problem::BadPlatformRecord, bytes)));
}

/// The requests that a POST says are answered, and nothing else of it: what waits for them need not wait for its lines to be taken.
pub fn answered(post: &[u8]) -> Vec<String> {
    let mut answered = Vec::new();
    if memmem::find(post, b"platform.runtimeDone").is_some() {
        read(post, &mut Cut::default(), &mut |event| {
            if let Event::RuntimeDone { request_id } = event {
                answered.push(request_id.into_owned());
            }
        });
    }
    answered
}

/// Behind white space, and `also`.
fn skip(post: &[u8], mut at: usize, also: &[u8]) -> usize {
    while post.get(at).is_some_and(|byte| byte.is_ascii_whitespace() || also.contains(byte)) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What POSTs say, one after another.
    fn said(posts: &[&[u8]]) -> Vec<String> {
        let (mut cut, mut said) = (Cut::default(), Vec::new());
        for post in posts {
            read(post, &mut cut, &mut |event| {
                said.push(match event {
                    Event::Function(text) => format!("function {}", String::from_utf8_lossy(&text)),
                    Event::Fragment(text) => format!("fragment {}", String::from_utf8_lossy(&text)),
                    Event::RuntimeDone { request_id } => format!("done {request_id}"),
                    Event::LogsDropped { records, bytes } => format!("dropped {records} {bytes}"),
                    Event::Problem(problem, bytes) => format!("{} {bytes}", problem.name()),
                });
            });
        }
        said
    }

    fn function(record: &str) -> String {
        format!(r#"{{"time":"2026-11-28T00:00:00.000Z","type":"function","record":{record}}}"#)
    }

    #[test]
    fn records_of_the_function_and_two_of_the_platform_are_taken() {
        let post = format!(
            r#"[{},{{"time":"t","type":"platform.start","record":{{"requestId":"r1"}}}}, {},
            {{"time":"t","type":"extension","record":"{{\"cap1\":1}}"}},
            {{"time":"t","type":"platform.runtimeDone","record":{{"status":"success","requestId":"r1","spans":[]}}}},
            {{"time":"t","type":"platform.restoreStart","record":{{}}}},
            {{"time":"t","type":"platform.logsDropped","record":{{"reason":"slow","droppedRecords":3,"droppedBytes":900}}}}]"#,
            function(r#""a\nb""#),
            function(r#"{"level":"INFO"}"#),
        );
        let all = [r#"function "a\nb""#, r#"function {"level":"INFO"}"#, "done r1", "dropped 3 900"];
        assert_eq!(said(&[post.as_bytes()]), all);
        assert_eq!(answered(post.as_bytes()), ["r1"]);
        assert!(answered(function("1").as_bytes()).is_empty());
    }

    #[test]
    fn a_record_cut_over_posts_is_joined_wherever_it_was_cut() {
        for record in [r#""before \"naïve\" \\ \u00e9 after""#, r#"{"a":"ï\"}{","b":[1,{"c":2}]}"#] {
            let whole = format!("[{},{}]", function("\"first\""), function(record));
            let value = whole.len() - record.len() - 2;
            for at in value + 1..whole.len() - 2 {
                let envelope = function("");
                let envelope = &envelope[..envelope.len() - 1];
                let (ahead, last) = (&whole.as_bytes()[at..whole.len() - 1], function("\"last\""));
                let rest = [b"[", envelope.as_bytes(), ahead, b",", last.as_bytes(), b"]"];
                let all =
                    ["function \"first\"".to_owned(), format!("function {record}"), "function \"last\"".to_owned()];
                assert_eq!(said(&[&whole.as_bytes()[..at], &rest.concat()]), all, "{at}");
            }
        }
    }

    #[test]
    fn a_record_may_be_cut_more_than_once_and_its_quote_repeated() {
        let envelope = function("");
        let envelope = &envelope[..envelope.len() - 1];
        let posts = [
            format!("[{envelope}\"aaa"),
            format!("[{envelope}bbb"),
            format!("[{envelope}\"ccc\"}},{}]", function("1")),
        ];
        let posts: Vec<_> = posts.iter().map(String::as_bytes).collect();
        assert_eq!(said(&posts), [r#"function "aaabbbccc""#, "function 1"]);
    }

    #[test]
    fn a_record_that_is_cut_twice_is_joined_wherever_it_was_cut() {
        for record in [r#""before \"naïve\" \\ \u00e9 after""#, r#"{"a":"ï\"}{","b":[1,{"c":2}]}"#] {
            let element = function(record);
            let (element, value) = (element.as_bytes(), element.len() - record.len() - 1);
            // The last byte closes the element, and one that closes the record stands before it.
            let cuts = value + 1..element.len() - 1;
            for (one, two) in cuts.clone().flat_map(|one| (one + 1..cuts.end).map(move |two| (one, two))) {
                let posts = [
                    [b"[", &element[..one]].concat(),
                    [b"[", &element[..value], &element[one..two]].concat(),
                    [b"[", &element[..value], &element[two..], b"]"].concat(),
                ];
                let posts = posts.each_ref().map(Vec::as_slice);
                assert_eq!(said(&posts), [format!("function {record}")], "{one} {two}");
            }
        }
    }

    #[test]
    fn a_piece_without_its_other_end_is_told_and_salvaged() {
        let envelope = function("");
        let envelope = &envelope[..envelope.len() - 1];
        let start = format!("[{envelope}\"aaa\\nb\\u00");
        let other = format!("[{}]", function("\"whole\"").replace("00:00:00", "00:00:01"));
        assert_eq!(
            said(&[start.as_bytes(), other.as_bytes()]),
            ["lost_piece 11", r"fragment aaa\nb\u00", "function \"whole\""]
        );
        let rest = format!("[{envelope}zz\\nbbb\"}},{}]", function("1"));
        assert_eq!(said(&[rest.as_bytes()]), ["lost_piece 7", r"fragment zz\nbbb", "function 1"]);
    }

    #[test]
    fn a_repeated_post_says_the_same_again() {
        let post = format!("[{}]", function("\"a\""));
        assert_eq!(said(&[post.as_bytes(), post.as_bytes()]), ["function \"a\""; 2]);
        let envelope = function("");
        let (start, rest) = (
            format!("[{}\"aaa", &envelope[..envelope.len() - 1]),
            format!("[{}bbb\"}}]", &envelope[..envelope.len() - 1]),
        );
        let posts = [&start, &start, &rest, &rest].map(|post| post.as_bytes());
        assert_eq!(said(&posts), [r#"function "aaabbb""#, "lost_piece 3", "fragment bbb"]);
    }

    #[test]
    fn damage_costs_what_is_damaged() {
        assert_eq!(said(&[b"not json"]), ["not_telemetry 8"]);
        assert_eq!(said(&[b"", b"[]", b" \n[ ]"]), Vec::<String>::new());
        let post = format!("[{},{{\"time\":\"t\",\"type\":7}},nonsense,{}]", function("1"), function("2"));
        assert_eq!(said(&[post.as_bytes()]), ["function 1", "bad_record 31", "function 2"]);
        let post =
            [b"[".as_slice(), function("\"\u{1}\"").as_bytes(), b",\xff\xfe,", function("2").as_bytes()].concat();
        assert_eq!(said(&[&post]).last().map(String::as_str), Some("function 2"));
        let post = br#"[{"time":"t","type":"platform.runtimeDone","record":{"status":"x"}}]"#;
        assert_eq!(said(&[post]), ["bad_platform_record 14"]);
    }

    #[test]
    fn text_that_looks_like_an_element_is_what_the_function_printed() {
        let inner = function("{}").replace('"', "\\\"");
        let post = format!("[{}]", function(&format!("\"{inner}\"")));
        assert_eq!(said(&[post.as_bytes()]).len(), 1);
    }
}
