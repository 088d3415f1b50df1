//! What is kept of an exchange's content: lengths and checksums, never the content.
//!
//! A body is a [`Run`]: its length and CRC-32, which can be joined to those of what follows. A field is 32 bits of a hash, enough to tell that it differs
//! and to name it. Headers, trailers and query parameters are a hash of all names with one of each value, so that a value which was redacted when
//! it was stored can be left out of the comparison.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use reassemble_formats::Part;
use reassemble_formats::redact::{REDACTED, Redactor};

/// Length and CRC-32 of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) len: u64,
    pub(super) crc: u32,
}

impl Run {
    /// Of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Run {
        Run { len: bytes.len() as u64, crc: crc32fast::hash(bytes) }
    }

    /// Of these bytes and those of `next` behind them.
    pub(super) fn then(self, next: Run) -> Run {
        // A stored exchange claims lengths: one that no body has makes a run that equals none.
        let Some(len) = self.len.checked_add(next.len) else { return Run { len: u64::MAX, crc: 0 } };
        let mut hasher = crc32fast::Hasher::new_with_initial_len(self.crc, self.len);
        hasher.combine(&crc32fast::Hasher::new_with_initial_len(next.crc, next.len));
        Run { len, crc: hasher.finalize() }
    }

    /// Of these bytes and more behind them.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        *self = self.then(Run::of(bytes));
    }
}

/// A value that is not there.
const NONE: u32 = 0;
/// A value that is not known, and equals any other.
const ANY: u32 = 1;

/// 32 bits of a value's hash; never one of the two above.
pub(super) fn print_of(value: &(impl Hash + ?Sized)) -> u32 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    ((hasher.finish() >> 32) as u32).max(2)
}

/// Fields that are compared as one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Service,
    Ts,
    Host,
    Inst,
    N,
    Dir,
    Proto,
    Trace,
    Parent,
    Peer,
    Tags,
    Rate,
    Why,
    Oneway,
    Method,
    ResponseTs,
    ResponseUs,
    RequestUs,
    Duration,
    Error,
    RequestCut,
    ResponseCut,
    Status,
}

/// The names of [`Field`]s as they stand in an exchange, in their order.
const FIELD_NAMES: [&str; 23] = [
    "service",
    "ts",
    "host",
    "inst",
    "n",
    "dir",
    "proto",
    "trace",
    "parent",
    "peer",
    "tags",
    "rate",
    "why",
    "oneway",
    "request.method",
    "response.ts",
    "response.us",
    "request.us",
    "duration_us",
    "error",
    "request.body.truncated",
    "response.body.truncated",
    "response.status",
];

/// What is compared name by name and value by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Url,
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
}

/// The names of [`List`]s, in their order.
const LIST_NAMES: [&str; 5] =
    ["request.url", "request.headers", "request.trailers", "response.headers", "response.trailers"];

/// Values of a list that are kept one by one; those behind them share a print.
const MAX_VALUES: usize = 200;

/// All of an exchange but its bodies, as prints, while it is put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    fields: [u32; FIELD_NAMES.len()],
    /// Each the print of all names and then those of the values; empty where there is no list.
    lists: [Vec<u32>; LIST_NAMES.len()],
}

impl Facts {
    /// Sets a field to a value that is there.
    pub(super) fn set(&mut self, field: Field, value: Option<&(impl Hash + ?Sized)>) {
        if let Some(value) = value {
            self.fields[field as usize] = print_of(value);
        }
    }

    /// Makes fields equal to anything.
    pub(super) fn forget(&mut self, fields: &[Field], lists: &[List]) {
        fields.iter().for_each(|field| self.fields[*field as usize] = ANY);
        lists.iter().for_each(|list| self.lists[*list as usize] = vec![ANY]);
    }

    /// Copies a field to another that is not there.
    pub(super) fn fall_back(&mut self, field: Field, other: Field) {
        if self.fields[field as usize] == NONE {
            self.fields[field as usize] = self.fields[other as usize];
        }
    }

    /// Sets headers or trailers. What is redacted here counts for any value where `stored`.
    pub(super) fn set_pairs<T: AsRef<str>>(&mut self, list: List, pairs: Option<&Vec<(T, T)>>, stored: bool) {
        if let Some(pairs) = pairs {
            let pairs = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
            self.lists[list as usize] = list_print(print_of(&()), pairs, |value| stored && value == REDACTED);
        }
    }

    /// Sets the URL. Parameters that end as redacted here count for any value where `stored`.
    pub(super) fn set_url(&mut self, url: Option<&str>, stored: bool) {
        if let Some(url) = url {
            self.lists[List::Url as usize] = url_print(url, stored);
        }
    }

    /// Takes over what is there in `other`.
    pub(super) fn overlay(&mut self, other: &Facts) {
        for (field, other) in self.fields.iter_mut().zip(&other.fields).filter(|(_, other)| **other != NONE) {
            *field = *other;
        }
        for (list, other) in self.lists.iter_mut().zip(&other.lists).filter(|(_, other)| !other.is_empty()) {
            list.clone_from(other);
        }
    }

    /// The names of what differs in what was stored, among the parts whose head is known on both sides and, with `tails`, what tails tell.
    pub(super) fn differences(&self, stored: &Facts, scope: Scope) -> Vec<&'static str> {
        let of_fields = FIELD_NAMES.into_iter().zip(self.fields.iter().zip(&stored.fields)).enumerate();
        let fields = of_fields
            .filter(|(at, (_, (ours, theirs)))| scope.has_field(*at) && ours != theirs && **ours != ANY)
            .map(|(_, (name, _))| name);
        let of_lists = LIST_NAMES.into_iter().zip(self.lists.iter().zip(&stored.lists)).enumerate();
        let lists = of_lists
            .filter(|(at, (_, (ours, theirs)))| scope.has_list(*at) && !same_list(ours, theirs))
            .map(|(_, (name, _))| name);
        fields.chain(lists).collect()
    }

    /// The same in as little memory as it takes.
    pub(super) fn pack(&self) -> PackedFacts {
        let mut packed = self.fields.to_vec();
        for list in &self.lists {
            packed.push(u32::try_from(list.len()).unwrap_or(u32::MAX));
            packed.extend(list);
        }
        PackedFacts(packed.into_boxed_slice())
    }
}

/// [`Facts`] at rest: a few hundred bytes.
#[derive(Debug)]
pub(super) struct PackedFacts(Box<[u32]>);

impl PackedFacts {
    /// The facts.
    pub(super) fn unpack(&self) -> Facts {
        let mut facts = Facts::default();
        let (fields, mut rest) = self.0.split_at(facts.fields.len());
        facts.fields.copy_from_slice(fields);
        for list in &mut facts.lists {
            let Some((len, behind)) = rest.split_first() else { break };
            let (values, behind) = behind.split_at((*len as usize).min(behind.len()));
            list.extend_from_slice(values);
            rest = behind;
        }
        facts
    }
}

/// What of two exchanges is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Whether the request's head is known on both sides.
    pub(super) request_head: bool,
    /// Whether the response's is.
    pub(super) response_head: bool,
    /// Whether both sides are whole, so that what tails tell counts too.
    pub(super) tails: bool,
    /// Whether the stored `ts` is the log's, and not the time of reading.
    pub(super) ts: bool,
}

impl Scope {
    fn has_field(self, at: usize) -> bool {
        const TS: usize = Field::Ts as usize;
        const RESPONSE_TS: usize = Field::ResponseTs as usize;
        const REQUEST_US: usize = Field::RequestUs as usize;
        match at {
            TS => self.ts && self.request_head,
            0..RESPONSE_TS => self.request_head,
            RESPONSE_TS..REQUEST_US => self.response_head,
            _ => self.tails,
        }
    }

    fn has_list(self, at: usize) -> bool {
        const HEADERS: usize = List::RequestHeaders as usize;
        const RESPONSE_HEADERS: usize = List::ResponseHeaders as usize;
        match at {
            0..=HEADERS => self.request_head,
            RESPONSE_HEADERS => self.response_head,
            _ => self.tails,
        }
    }
}

fn same_list(ours: &[u32], stored: &[u32]) -> bool {
    ours == [ANY]
        || (ours.len() == stored.len()
            && ours.iter().zip(stored).all(|(ours, stored)| ours == stored || *stored == ANY))
}

/// The print of all names, and one of each value; [`ANY`] for a value that counts for any.
fn list_print<'a>(
    before: u32,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    is_any: impl Fn(&str) -> bool,
) -> Vec<u32> {
    let mut names = DefaultHasher::new();
    let mut print = vec![before];
    for (name, value) in pairs {
        name.hash(&mut names);
        let value = if is_any(value) { ANY } else { print_of(value) };
        match print.get_mut(MAX_VALUES) {
            None => print.push(value),
            Some(last) if *last == ANY || value == ANY => *last = ANY,
            Some(last) => *last = print_of(&(*last, value)),
        }
    }
    print[0] = print_of(&(before, names.finish()));
    print
}

/// A URL without userinfo, which is never stored: the print of all but the query's values, and one of each of these.
fn url_print(url: &str, stored: bool) -> Vec<u32> {
    let url = Redactor::empty().url(url);
    let (url, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let parameters = query.into_iter().flat_map(|query| query.split('&'));
    let pairs = parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    list_print(print_of(&(path, fragment, query.is_some())), pairs, |value| stored && value.ends_with(REDACTED))
}

/// The names under which a part's body and chunks are called different.
pub(super) fn body_name(part: Part) -> &'static str {
    match part {
        Part::Request => "request.body",
        Part::Response => "response.body",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Scope = Scope { request_head: true, response_head: true, tails: true, ts: true };

    #[test]
    fn runs_join_to_the_run_of_the_joined_bytes() {
        let text = b"a body that is cut in pieces";
        for cut in 0..=text.len() {
            let (one, other) = text.split_at(cut);
            assert_eq!(Run::of(one).then(Run::of(other)), Run::of(text));
            let mut run = Run::of(one);
            run.push(other);
            assert_eq!(run, Run::of(text));
        }
        let claimed = Run { len: u64::MAX - 1, crc: 7 };
        assert_eq!(claimed.then(claimed).len, u64::MAX);
    }

    fn facts(url: &str, headers: &[(&str, &str)], stored: bool) -> Facts {
        let mut facts = Facts::default();
        facts.set_url(Some(url), stored);
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        facts.set_pairs(List::RequestHeaders, Some(&headers), stored);
        facts.set(Field::Status, Some(&200));
        facts
    }

    #[test]
    fn what_is_redacted_equals_anything_and_all_else_itself_alone() {
        let log = facts("http://u:p@h/a?x=1&token=s&y=2;key=3#f", &[("Host", "h"), ("Cookie", "c")], false);
        let stored = facts(
            "http://h/a?x=1&token=[redacted]&y=2;key=[redacted]#f",
            &[("Host", "h"), ("Cookie", "[redacted]")],
            true,
        );
        assert_eq!(log.differences(&stored, ALL), Vec::<&str>::new());
        assert_eq!(log.pack().unpack(), log);
        for (url, headers, different) in [
            ("http://h/a?x=2&token=[redacted]&y=2;key=3#f", [("Host", "h"), ("Cookie", "c")], "request.url"),
            ("http://h/a?x=1&token=s&y=2;key=3#g", [("Host", "h"), ("Cookie", "c")], "request.url"),
            ("http://h/b?x=1&token=s&y=2;key=3#f", [("Host", "h"), ("Cookie", "c")], "request.url"),
            ("http://h/a?x=1&taken=s&y=2;key=3#f", [("Host", "h"), ("Cookie", "c")], "request.url"),
            ("http://h/a?x=1&token=s&y=2;key=3#f", [("Host", "i"), ("Cookie", "c")], "request.headers"),
            ("http://h/a?x=1&token=s&y=2;key=3#f", [("Cookie", "c"), ("Host", "h")], "request.headers"),
        ] {
            assert_eq!(log.differences(&facts(url, &headers, true), ALL), [different], "{url} {headers:?}");
        }
        // What the log itself says is redacted was so.
        let redacted = facts("http://h/?token=[redacted]", &[], false);
        assert_eq!(redacted.differences(&facts("http://h/?token=s", &[], true), ALL), ["request.url"]);
    }

    #[test]
    fn long_lists_take_bounded_room_and_still_differ() {
        let headers = |last: &str| {
            let mut headers = vec![("x".to_owned(), "y".to_owned()); 10_000];
            headers[9_000].1 = last.to_owned();
            let mut facts = Facts::default();
            facts.set_pairs(List::ResponseHeaders, Some(&headers), true);
            facts
        };
        assert!(headers("a").pack().0.len() < 300);
        assert_eq!(headers("a").differences(&headers("b"), ALL), ["response.headers"]);
        assert!(headers("a").differences(&headers(REDACTED), ALL).is_empty());
    }

    #[test]
    fn only_what_is_in_scope_is_compared() {
        let mut one = facts("/", &[], false);
        one.set(Field::Service, Some("shop"));
        one.set(Field::ResponseTs, Some("t"));
        let none = Scope { request_head: false, response_head: false, tails: false, ts: true };
        assert!(one.differences(&Facts::default(), none).is_empty());
        let differ = |scope| one.differences(&Facts::default(), scope);
        assert_eq!(differ(Scope { request_head: true, ..none }), ["service", "request.url", "request.headers"]);
        assert_eq!(differ(Scope { response_head: true, ..none }), ["response.ts"]);
        assert_eq!(differ(Scope { tails: true, ..none }), ["response.status"]);
        let mut any = one.clone();
        any.forget(&[Field::Service, Field::ResponseTs, Field::Status], &[List::Url, List::RequestHeaders]);
        assert!(any.differences(&Facts::default(), ALL).is_empty());
    }
}
