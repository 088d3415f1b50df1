//! Secrets in pieces of heads that could not be joined.
//!
//! Such a piece is JSON text cut anywhere, so it can't be parsed. Pieces that follow each other are looked at as one text. In it secret headers
//! are recognised as they are always written, `["name","value"]`, and their values blotted out; a `url` goes whole, for it may hold
//! userinfo and parameters and may be cut. Where the piece before is missing, what stands before the end of the first header may be the rest
//! of a secret, and goes too.

use std::ops::Range;

use reassemble_formats::exchange::Fragment;
use reassemble_formats::redact::{REDACTED, Redactor};

/// Redacts the `headf` of fragments, which stand in order of part and `seq`.
pub(super) fn redact(fragments: &mut [Fragment], redactor: &Redactor) {
    for run in fragments.chunk_by_mut(|one, next| one.part == next.part && one.seq + 1 == next.seq) {
        let texts: Vec<String> = run.iter().map(|fragment| fragment.headf.clone().unwrap_or_default()).collect();
        let secrets = secrets(&texts.concat(), run[0].seq > 0, redactor);
        let mut start = 0;
        for (fragment, text) in run.iter_mut().zip(texts) {
            let end = start + text.len();
            if fragment.headf.is_some() {
                fragment.headf = Some(blotted(&text, start, &secrets));
            }
            start = end;
        }
    }
}

/// Where secrets stand in a text, in order. `cut`: whether what came before it is missing.
fn secrets(text: &str, cut: bool, redactor: &Redactor) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut at = 0;
    if cut {
        at = end_of_pair(text);
        secrets.push(0..at);
    }
    while let Some((value, is_secret)) = next_value(&text[at..], redactor) {
        let value = at + value;
        at = value;
        if is_secret {
            at = value + closing_quote(&text[value..]);
            secrets.push(value..at);
        }
    }
    secrets
}

/// Where the first header, or whatever begins there, ends: behind a quote and before its bracket.
fn end_of_pair(text: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        at += closing_quote(&text[at..]) + 1;
        if text[at.min(text.len())..].starts_with(']') {
            return at;
        }
    }
    text.len()
}

/// Where the value of the next header, or of `url`, begins, and whether it is to go.
fn next_value(text: &str, redactor: &Redactor) -> Option<(usize, bool)> {
    let header = text.find("[\"").map(|start| {
        let name = start + 2;
        let end = name + closing_quote(&text[name..]);
        match text[end..].strip_prefix("\",\"") {
            Some(_) => (end + 3, redactor.is_secret_header(&text[name..end])),
            None => (name, false),
        }
    });
    let url = text.find("\"url\":\"").map(|start| (start + 7, true));
    [header, url].into_iter().flatten().min()
}

/// Where the quote stands that ends the string which `text` begins in; its end where there is none.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    let found = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    found.unwrap_or(text.len())
}

/// A piece that starts at `start` of the whole, without what is secret.
fn blotted(text: &str, start: usize, secrets: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for secret in secrets {
        let from = secret.start.saturating_sub(start).min(text.len());
        let to = secret.end.saturating_sub(start).min(text.len());
        if from < to {
            out.push_str(&text[kept..from]);
            out.push_str(REDACTED);
            kept = to;
        }
    }
    out.push_str(&text[kept..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(seq: u32, headf: &str) -> Fragment {
        Fragment { part: "req".into(), seq, headf: Some(headf.into()), ..Fragment::default() }
    }

    fn texts(fragments: &mut [Fragment]) -> Vec<String> {
        redact(fragments, &Redactor::default());
        fragments.iter().map(|fragment| fragment.headf.clone().unwrap()).collect()
    }

    #[test]
    fn however_a_head_is_cut_no_secret_stays() {
        let head = r#"{"url":"http://u:SECRET@h/?key=SECRET","headers":[["Accept","*/*"],["Cookie","a=\"SECRET\""],["authorization","SECRET"],["x","y"]]}"#;
        for first in 0..head.len() {
            for second in first..head.len() {
                let pieces = [&head[..first], &head[first..second], &head[second..]];
                let mut whole: Vec<_> = (0..3).map(|seq| fragment(seq, pieces[seq as usize])).collect();
                for text in texts(&mut whole) {
                    assert!(!text.contains("SECRET"), "{text}");
                }
            }
            // Alone, with the piece before it missing.
            let alone = texts(&mut [fragment(1, &head[first..])]).concat();
            assert!(first == 0 || !alone.contains("SECRET"), "{first}: {alone}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let head =
            r#"{"service":"shop","headers":[["Accept","*/*"],["X-\"odd\"","v"],["Cookie","c"],["Via","1.1 a"]]}"#;
        assert_eq!(texts(&mut [fragment(0, head)]), [head.replace(r#""c""#, r#""[redacted]""#)]);
    }
}
