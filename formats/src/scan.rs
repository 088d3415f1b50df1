//! Finds the records in a line, wherever they stand: bare, behind a prefix, inside strings escaped once or more, as nested objects.
//!
//! Invariants (capture-line specification, "Finding records"):
//! - Nothing inside a record is searched: a captured body may hold text that looks like a capture line.
//! - An escaped or nested record counts only inside a JSON object that itself parses whole.
//! - Behind anything torn, at its front or its end, only a bare marker, `{"cap1":`, is looked for. A quote inside a JSON string always stands behind a
//!   backslash, so no text within a string can show a bare marker, however the line was cut.

use memchr::{memchr, memmem};

use crate::decode::decode;
use crate::json::{JsonError, Members, StringSpan, skip_array, skip_space, skip_string, skip_value, unescape};
use crate::record::{BadReason, RecordSink};

/// Deepest nesting of what encloses a record: objects, arrays, and strings within strings.
pub const MAX_NESTING: usize = 16;

/// What every record holds, at any level of escaping: its key's letters. [`is_hint`] looks at what stands around them.
pub(crate) const HINT: &[u8] = b"cap";

/// What bears the key's quote: the quote itself, behind any number of backslashes, or the end of its escape `\u0022`, as .NET writes it.
const QUOTES: [&[u8]; 2] = [b"\"", b"0022"];

/// Reports every record of one line (with or without its newline) to `sink`, in the order in which they stand.
pub fn scan_line(line: &[u8], sink: &mut dyn RecordSink) {
    Scanner::default().line(line, sink);
}

/// Scans lines one after the other, with memory that it uses again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scanner {
    /// Where pieces are decoded.
    scratch: Vec<u8>,
    /// What strings that enclose a line say: one for each level that is not being read.
    spare: Vec<Vec<u8>>,
}

/// Memory that a scanner keeps from line to line, in bytes for each buffer.
const KEPT_BYTES: usize = 64 << 10;

/// Whether records may stand in a text.
pub(crate) fn may_hold_records(text: &[u8]) -> bool {
    memmem::find_iter(text, HINT).any(|at| is_hint(text, at))
}

/// Whether the letters at `at` may be those of a record's key: a quote stands before them and a digit behind.
pub(crate) fn is_hint(text: &[u8], at: usize) -> bool {
    text.get(at + HINT.len()).is_some_and(u8::is_ascii_digit) && QUOTES.iter().any(|quote| text[..at].ends_with(quote))
}

/// The last place in a text that may show a record.
fn last_hint(text: &[u8]) -> Option<usize> {
    // Forwards: looking for three bytes backwards takes ten times as long.
    memmem::find_iter(text, HINT).filter(|at| is_hint(text, *at)).last()
}

impl Scanner {
    /// Reports every record of one line.
    pub(crate) fn line(&mut self, line: &[u8], sink: &mut dyn RecordSink) {
        self.text(line, 0, sink);
        self.give_back();
    }

    /// Reports the bare records of a line.
    pub(crate) fn bare_line(&mut self, line: &[u8], sink: &mut dyn RecordSink) {
        self.bare(line, 0, sink);
        self.give_back();
    }

    fn text(&mut self, text: &[u8], nesting: usize, sink: &mut dyn RecordSink) {
        let mut at = 0;
        let mut last = None;
        while let Some(found) = text.get(at..).and_then(|rest| memchr(b'{', rest)) {
            let start = at + found;
            at = match bare_marker(text, start) {
                Some(version) => match self.record(text, start, version, sink) {
                    Some(end) => end,
                    None => return self.bare(text, start + 1, sink),
                },
                None => {
                    // Looked up once it is needed: a line that is a record and nothing else needs it not.
                    let Some(last) = *last.get_or_insert_with(|| last_hint(text)) else { return };
                    if start > last {
                        return;
                    }
                    match skip_object(text, start) {
                        Skipped::Whole(end) if is_inner(text, start, end) => return self.bare(text, start + 1, sink),
                        Skipped::Whole(end) => {
                            self.object(text, start, nesting, sink);
                            end
                        }
                        Skipped::NotJson => start + 1,
                        Skipped::Torn => return self.bare(text, start + 1, sink),
                        Skipped::TooDeep => return sink.bad(BadReason::TooDeep),
                    }
                }
            };
        }
    }

    /// Goes on behind something torn: only bare markers count.
    fn bare(&mut self, text: &[u8], mut at: usize, sink: &mut dyn RecordSink) {
        while let Some(found) = text.get(at..).and_then(|rest| memchr(b'{', rest)) {
            let start = at + found;
            at = match bare_marker(text, start) {
                Some(version) => self.record(text, start, version, sink).unwrap_or(start + 1),
                None => start + 1,
            };
        }
    }

    /// Reports the record whose object starts at `start`; gives the offset behind it, or nothing where it is not whole.
    fn record(&mut self, text: &[u8], start: usize, version: &[u8], sink: &mut dyn RecordSink) -> Option<usize> {
        if version != b"1" {
            match skip_value(text, start, 0) {
                Ok(end) => {
                    self.object(text, start, 0, sink); // The key of this version may stand behind it.
                    return Some(end);
                }
                Err(JsonError::TooDeep) => sink.bad(BadReason::TooDeep),
                Err(JsonError::Broken) => sink.bad(BadReason::Torn),
            }
            return None;
        }
        match decode(text, start, &mut self.scratch) {
            Ok((record, end)) => {
                sink.record(record);
                Some(end)
            }
            Err((reason, end)) => {
                sink.bad(reason);
                end
            }
        }
    }

    /// Searches a whole object that starts at `start` and is enclosed by `nesting` others: it is a record, or its values are searched.
    fn object(&mut self, text: &[u8], start: usize, nesting: usize, sink: &mut dyn RecordSink) {
        // The object was walked before, so no step of this walk can fail; where one did, nothing more of it is searched.
        let mut unknown = None;
        let mut values = Vec::new();
        let Ok(mut members) = Members::new(text, start, 0) else { return };
        while let Ok(Some(member)) = members.next_member() {
            match record_version(member.key.raw(text)) {
                Some(b"1") => {
                    self.record(text, start, b"1", sink);
                    return;
                }
                Some(version) => unknown = Some(version),
                None => (),
            }
            let Ok(end) = skip_value(text, member.value, 1) else { return };
            if may_hold_records(&text[member.value..end]) {
                values.push(member.value);
            }
            members.seek(end);
        }
        if unknown.is_some() {
            return sink.bad(BadReason::UnknownVersion);
        }
        for value in values {
            self.value(text, value, nesting + 1, sink);
        }
    }

    fn value(&mut self, text: &[u8], at: usize, nesting: usize, sink: &mut dyn RecordSink) {
        if !matches!(text.get(at), Some(b'{' | b'[' | b'"')) {
            return;
        }
        if nesting > MAX_NESTING {
            return sink.bad(BadReason::TooDeep);
        }
        match text[at] {
            b'{' => self.object(text, at, nesting, sink),
            b'[' => {
                let mut elements = Vec::new();
                if skip_array(text, at, 0, |element| elements.push(element)).is_ok() {
                    for element in elements {
                        if skip_value(text, element, 0).is_ok_and(|end| may_hold_records(&text[element..end])) {
                            self.value(text, element, nesting + 1, sink);
                        }
                    }
                }
            }
            _ => {
                if let Ok(span) = skip_string(text, at) {
                    self.string(text, span, nesting, sink);
                }
            }
        }
    }

    /// Searches what a string says as a line of its own.
    fn string(&mut self, text: &[u8], span: StringSpan, nesting: usize, sink: &mut dyn RecordSink) {
        if !span.escaped {
            return; // A record holds quotes, and those would be escaped here.
        }
        // What holds an unknown escape is no string, and nothing of it is searched.
        self.said_by(span.raw(text), nesting, sink).unwrap_or_default();
    }

    /// Reports every record of one line that is given as the inside of a JSON string; nothing of it where that holds an unknown escape.
    pub(crate) fn escaped_line(&mut self, raw: &[u8], sink: &mut dyn RecordSink) -> Result<(), JsonError> {
        let scanned = self.said_by(raw, 0, sink);
        self.give_back();
        scanned
    }

    /// Searches what the inside of a string says.
    fn said_by(&mut self, raw: &[u8], nesting: usize, sink: &mut dyn RecordSink) -> Result<(), JsonError> {
        let mut said = self.spare.pop().unwrap_or_default();
        said.clear();
        let unescaped = unescape(raw, &mut said);
        if unescaped.is_ok() {
            self.text(&said, nesting, sink);
        }
        self.spare.push(said);
        unescaped
    }

    /// One giant line must not hold its memory for good.
    fn give_back(&mut self) {
        self.scratch.truncate(KEPT_BYTES);
        self.scratch.shrink_to(KEPT_BYTES);
        self.spare.iter_mut().for_each(|spare| spare.shrink_to(KEPT_BYTES));
    }
}

/// Whether the whole object from `start` to `end` stands behind a key or within a row of values: then what encloses it was torn at its
/// front, and it may be the inside of a record.
fn is_inner(text: &[u8], start: usize, end: usize) -> bool {
    let before = text[..start].trim_ascii_end();
    before.ends_with(b"[")
        || before.strip_suffix(b":").is_some_and(|key| key.trim_ascii_end().ends_with(b"\""))
        || before.strip_suffix(b",").is_some_and(|row| row.trim_ascii_end().ends_with(b"}"))
        || matches!(text.get(skip_space(text, end)), Some(b',' | b'}' | b']'))
}

/// The version where a record's key, `"cap"` with a number, is the first key of the object that starts at `at`.
fn bare_marker(text: &[u8], at: usize) -> Option<&[u8]> {
    let key = skip_space(text, at + 1);
    let rest = text.get(key..)?.strip_prefix(b"\"")?.strip_prefix(HINT)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0 && rest.get(digits) == Some(&b'"')).then(|| &rest[..digits])
}

/// The version in a record's key (without quotes), where it is one.
fn record_version(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(HINT).filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

enum Skipped {
    /// A whole object, up to this offset.
    Whole(usize),
    /// A brace of ordinary text: not even one key stands behind it.
    NotJson,
    /// An object that begins and never ends as one.
    Torn,
    TooDeep,
}

fn skip_object(text: &[u8], start: usize) -> Skipped {
    match skip_value(text, start, 0) {
        Ok(end) => Skipped::Whole(end),
        Err(JsonError::TooDeep) => Skipped::TooDeep,
        Err(JsonError::Broken) => match Members::new(text, start, 0).and_then(|mut members| members.next_member()) {
            Ok(_) => Skipped::Torn,
            Err(_) => Skipped::NotJson,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[derive(Default)]
    struct Found(Vec<String>);

    impl RecordSink for Found {
        fn record(&mut self, record: Record) {
            self.0.push(match record {
                Record::Chunk(chunk) => chunk.id.to_string(),
                Record::Meta(_) => "meta".into(),
            });
        }
        fn bad(&mut self, reason: BadReason) {
            self.0.push(format!("!{reason}"));
        }
        fn long_line(&mut self, bytes: u64) {
            self.0.push(format!("long {bytes}"));
        }
    }

    fn found(line: &str) -> Vec<String> {
        let mut found = Found::default();
        scan_line(line.as_bytes(), &mut found);
        found.0
    }

    fn record(id: &str) -> String {
        format!(r#"{{"cap1":"{id}","part":"req","seq":0,"of":1}}"#)
    }

    /// A JSON string that says `text`.
    fn quoted(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn records_are_found_wherever_they_stand() {
        let (a, b) = (record("a"), record("b"));
        assert_eq!(found(&a), ["a"]);
        assert_eq!(found(&format!("2026-11-22 INFO {{x}} {{\"k\":1}} {a}{b} bye {{")), ["a", "b"]);
        assert_eq!(found(&format!(r#"{{"log":{},"time":"x"}}"#, quoted(&format!("pre {a}\n")))), ["a"]);
        let thrice = (0..3).fold(a.clone(), |text, _| format!(r#"{{"m":{}}}"#, quoted(&text)));
        assert_eq!(found(&thrice), ["a"]);
        assert_eq!(found(&format!(r#"{{"level":"info","rec":[1,{a},{{"deep":{b}}}]}}"#)), ["a", "b"]);
        assert_eq!(found(r#"{"level":"info","part":"req","cap1":"m","seq":0,"of":1,"n":{"cap1":"no"}}"#), ["m"]);
    }

    #[test]
    fn nothing_inside_a_record_is_taken() {
        let evil = record("evil");
        let carrying = format!(r#"{{"cap1":"a","part":"req","seq":0,"text":{},"head":{{"x":{evil}}}}}"#, quoted(&evil));
        assert_eq!(found(&carrying), ["a"]);
        let in_logger = format!(r#"{{"log":{}}}"#, quoted(&carrying));
        assert_eq!(found(&in_logger), ["a"]);
        // However such a line is cut at its end, the text within is never taken; the nested object is bare, as a record is.
        let text_only =
            format!(r#"{{"cap1":"a","part":"req","seq":0,"head":{{"u":{0}}},"text":{0},"of":1}}"#, quoted(&evil));
        for cut in 0..text_only.len() {
            for line in [&text_only[..cut], &text_only[cut..]] {
                assert!(!found(line).contains(&"evil".to_owned()), "{line}");
            }
            assert!(!found(&format!("{}{}", &text_only[..cut], record("b"))).contains(&"evil".to_owned()), "{cut}");
        }
        let wrapped = format!(r#"{{"log":{},"stream":"stdout"}}"#, quoted(&text_only));
        for cut in 0..wrapped.len() {
            assert!(!found(&wrapped[..cut]).contains(&"evil".to_owned()), "{cut}");
            assert!(!found(&wrapped[cut..]).contains(&"evil".to_owned()), "{cut}");
        }
    }

    #[test]
    fn a_whole_record_behind_a_torn_one_is_taken() {
        let a = r#"{"cap1":"a","part":"req","seq":0,"head":{"ts":"x"},"text":"abc"#;
        assert_eq!(found(&format!("{a}{}", record("b"))), ["!torn", "b"]);
        assert_eq!(found(a), ["!torn"]);
        assert_eq!(found(&format!(r#"{{"level":"info","msg":"abc{}"#, record("b"))), ["b"]);
    }

    #[test]
    fn other_versions_and_depths_are_counted() {
        assert_eq!(
            found(r#"{"cap2":"a"} {"x":1,"cap12":{}} {"cap2":"#),
            ["!unknown_version", "!unknown_version", "!torn"]
        );
        let deep = |levels: usize| format!("{}{}{}", r#"{"a":"#.repeat(levels), record("a"), "}".repeat(levels));
        assert_eq!(found(&deep(MAX_NESTING)), ["a"]);
        assert_eq!(found(&deep(MAX_NESTING + 1)), ["!too_deep"]);
        assert_eq!(found(&deep(10_000)), ["!too_deep"]);
        assert_eq!(
            found(r#"{"cap2":"a","part":"req","seq":0,"cap1":"b"} {"cap2":"c","x":{"cap1":"d"}}"#),
            ["b", "!unknown_version"]
        );
        assert_eq!(found("a \"capital\" idea {\"cap\":1}"), Vec::<String>::new());
    }

    #[test]
    fn hostile_lines_take_linear_time() {
        // Each would take minutes where every brace is tried to the line's end.
        for line in [
            r#"{"a":"#.repeat(200_000),
            r#"{"cap1":"#.repeat(100_000),
            r#"{"a":{},"#.repeat(100_000),
            "{".repeat(1 << 20),
        ] {
            let bad = found(&format!("{line}\"cap1\""));
            assert!(bad.len() <= 100_000);
        }
    }
}
