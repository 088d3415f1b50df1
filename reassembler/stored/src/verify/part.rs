//! What the logs hold of one part of a capture, in the order in which its chunks came: the contiguous start as one [`Run`], and what waits behind a
//! gap as one each. A chunk's bytes are gone as soon as it is taken.

use std::collections::BTreeMap;

use reassemble_formats::head::{Known, Place, sort_out};
use reassemble_formats::{Chunk, Part, Section};

use super::prints::{Facts, Field, List, Run};

/// Longest text of joined `headf` or `tailf` that is kept; what a longer one says is not compared.
const MAX_JOINED_BYTES: usize = 1 << 20;

/// What came of one part.
#[derive(Debug, Default)]
pub(super) struct LoggedPart {
    /// The first claim of how many chunks there are.
    pub(super) of: Option<u32>,
    /// How many chunks the contiguous start has.
    pub(super) next: u32,
    /// The body as far as the contiguous start goes.
    pub(super) run: Run,
    head: Joined,
    tail: Joined,
    /// What came behind a gap.
    waiting: BTreeMap<u32, Waiting>,
}

/// A chunk behind a gap.
#[derive(Debug)]
struct Waiting {
    run: Run,
    head: Option<Piece>,
    tail: Option<Piece>,
}

/// What a chunk says of a head or tail.
#[derive(Debug)]
enum Piece {
    Whole(Box<SectionFacts>),
    Fragment(Box<str>),
}

impl Piece {
    fn new(part: Part, place: Place, section: Section) -> Piece {
        match section {
            Section::Whole(text) => Piece::Whole(SectionFacts::read(part, place, &text)),
            Section::Fragment(text) => Piece::Fragment(text),
        }
    }
}

/// A head or tail as far as it is known.
#[derive(Debug, Default)]
struct Joined {
    whole: Option<Box<SectionFacts>>,
    /// Fragments, in the order of their chunks.
    text: String,
    too_long: bool,
}

/// What a head or tail says.
#[derive(Clone, Debug, Default)]
pub(super) struct SectionFacts {
    /// What of it is compared.
    pub(super) facts: Facts,
    /// Whether it is a JSON object at all.
    pub(super) is_object: bool,
    /// A head's time.
    pub(super) ts: Option<Box<str>>,
    /// Whether a request's head says that no response comes.
    pub(super) oneway: bool,
    /// Its service, where it names one.
    pub(super) service: Option<Box<str>>,
    /// What a tail says of the body.
    len: Option<u64>,
    crc: Option<u32>,
}

impl LoggedPart {
    /// Takes a chunk of this part; false where it was there already, or contradicts what was.
    pub(super) fn take(&mut self, chunk: Chunk) -> bool {
        let Chunk { part, seq, head, piece, of, tail, .. } = chunk;
        if seq < self.next || self.waiting.contains_key(&seq) || self.of.or(of).is_some_and(|of| seq >= of) {
            return false;
        }
        if self.of.is_none()
            && let Some(of) = of
        {
            self.of = Some(of);
            self.waiting.split_off(&of);
        }
        let taken = Waiting {
            run: piece.map(|piece| Run::of(&piece.bytes())).unwrap_or_default(),
            head: head.map(|section| Piece::new(part, Place::Head, section)),
            tail: tail.map(|section| Piece::new(part, Place::Tail, section)),
        };
        if seq > self.next {
            self.waiting.insert(seq, taken);
            return true;
        }
        self.join(taken);
        while let Some(next) = self.waiting.remove(&self.next) {
            self.join(next);
        }
        true
    }

    fn join(&mut self, chunk: Waiting) {
        self.run = self.run.then(chunk.run);
        self.next += 1;
        match chunk.head {
            // The first whole head stands, and the last whole tail.
            Some(Piece::Whole(_)) if self.head.whole.is_some() => {}
            Some(piece) => self.head.add(piece),
            None => {}
        }
        if let Some(piece) = chunk.tail {
            self.tail.add(piece);
        }
    }

    /// Whether any chunk came.
    pub(super) fn came(&self) -> bool {
        self.next > 0 || !self.waiting.is_empty()
    }

    /// Whether all chunks are there, and the tail's claims fit.
    pub(super) fn is_whole(&self, part: Part) -> bool {
        if self.of != Some(self.next) {
            return false;
        }
        let tail = self.section(part, Place::Tail);
        tail.len.is_none_or(|len| len == self.run.len) && tail.crc.is_none_or(|crc| crc == self.run.crc)
    }

    /// What the head or tail says; nothing where none came.
    pub(super) fn section(&self, part: Part, place: Place) -> SectionFacts {
        let joined = match place {
            Place::Head => &self.head,
            Place::Tail => &self.tail,
        };
        match &joined.whole {
            Some(whole) => (**whole).clone(),
            None if joined.too_long => SectionFacts::unknown(part, place),
            None => *SectionFacts::read(part, place, &joined.text),
        }
    }

    /// What lies behind the first gap, by `seq`.
    pub(super) fn behind_gap(&self) -> impl Iterator<Item = (u32, Run)> {
        self.waiting.iter().map(|(seq, chunk)| (*seq, chunk.run))
    }
}

impl Joined {
    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Whole(facts) => *self = Joined { whole: Some(facts), ..Joined::default() },
            // A whole one stands over fragments, wherever they are.
            Piece::Fragment(_) if self.whole.is_some() || self.too_long => {}
            Piece::Fragment(text) if self.text.len() + text.len() > MAX_JOINED_BYTES => {
                *self = Joined { too_long: true, ..Joined::default() };
            }
            Piece::Fragment(text) => self.text.push_str(&text),
        }
    }
}

impl SectionFacts {
    fn read(part: Part, place: Place, text: &str) -> Box<SectionFacts> {
        let sorted = if text.is_empty() { None } else { sort_out(part, place, text) };
        let Some(known) = sorted.map(|sorted| sorted.known) else { return Box::default() };
        let mut facts = Facts::default();
        match (place, part) {
            (Place::Head, Part::Request) => request_head(&known, &mut facts),
            (Place::Head, Part::Response) => {
                // It stands for the exchange's own where no head of the request came.
                facts.set(Field::Ts, known.ts.as_ref());
                facts.set(Field::ResponseTs, known.ts.as_ref());
                facts.set(Field::ResponseUs, known.us.as_ref());
                facts.set_pairs(List::ResponseHeaders, known.headers.as_ref(), false);
            }
            (Place::Tail, Part::Request) => {
                facts.set(Field::RequestUs, known.us.as_ref());
                facts.set_pairs(List::RequestTrailers, known.trailers.as_ref(), false);
                facts.set(Field::RequestCut, cut(known.truncated == Some(true), known.full_len).as_ref());
            }
            (Place::Tail, Part::Response) => {
                facts.set(Field::Duration, known.us.as_ref());
                facts.set_pairs(List::ResponseTrailers, known.trailers.as_ref(), false);
                facts.set(Field::ResponseCut, cut(known.truncated == Some(true), known.full_len).as_ref());
            }
        }
        facts.set(Field::Error, known.error.as_ref());
        facts.set(Field::Status, known.status.as_ref().map(ToString::to_string).as_ref());
        Box::new(SectionFacts {
            facts,
            is_object: true,
            ts: known.ts.as_deref().map(Box::from),
            service: known.service.as_deref().map(Box::from),
            oneway: known.oneway == Some(true),
            len: known.len,
            crc: known.crc,
        })
    }

    /// Stands for one that is too long to be kept: equal to anything.
    fn unknown(part: Part, place: Place) -> SectionFacts {
        use Field::{
            Dir, Duration, Error, Host, Inst, Method, N, Oneway, Parent, Peer, Proto, Rate, RequestCut, RequestUs,
            ResponseCut, ResponseTs, ResponseUs, Service, Status, Tags, Trace, Ts, Why,
        };
        let mut facts = Facts::default();
        match (place, part) {
            (Place::Head, Part::Request) => facts.forget(
                &[
                    Service, Ts, Host, Inst, N, Dir, Proto, Trace, Parent, Peer, Tags, Rate, Why, Oneway, Method,
                    Duration,
                ],
                &[List::Url, List::RequestHeaders],
            ),
            (Place::Head, Part::Response) => {
                facts.forget(&[ResponseTs, ResponseUs, Status], &[List::ResponseHeaders]);
            }
            (Place::Tail, Part::Request) => {
                facts.forget(&[RequestUs, Duration, Error, RequestCut], &[List::RequestTrailers]);
            }
            (Place::Tail, Part::Response) => {
                facts.forget(&[Duration, Error, Status, ResponseCut], &[List::ResponseTrailers]);
            }
        }
        SectionFacts { facts, is_object: true, ..SectionFacts::default() }
    }
}

fn request_head(known: &Known<'_>, facts: &mut Facts) {
    facts.set(Field::Service, known.service.as_ref());
    facts.set(Field::Ts, known.ts.as_ref());
    facts.set(Field::Host, known.host.as_ref());
    facts.set(Field::Inst, known.inst.as_ref());
    facts.set(Field::N, known.n.as_ref());
    facts.set(Field::Dir, known.dir.as_ref());
    facts.set(Field::Proto, known.proto.as_ref());
    facts.set(Field::Trace, known.trace.as_ref());
    facts.set(Field::Parent, known.parent.as_ref());
    facts.set(Field::Peer, known.peer.as_ref());
    facts.set(Field::Tags, known.tags.as_ref().map(in_order).as_ref());
    facts.set(Field::Rate, known.rate.as_ref().map(rate).as_ref());
    facts.set(Field::Why, known.why.as_ref());
    facts.set(Field::Oneway, known.oneway.filter(|oneway| *oneway).as_ref());
    facts.set(Field::Method, known.method.as_ref());
    facts.set_url(known.url.as_deref(), false);
    facts.set_pairs(List::RequestHeaders, known.headers.as_ref(), false);
}

/// What tells of a cut body; nothing where it was not cut and nothing is said.
pub(super) fn cut(truncated: bool, full_len: Option<u64>) -> Option<(bool, Option<u64>)> {
    (truncated || full_len.is_some()).then_some((truncated, full_len))
}

/// A map's members by their names, for shippers may reorder them.
pub(super) fn in_order(map: &serde_json::Map<String, serde_json::Value>) -> Vec<(String, String)> {
    let mut members: Vec<_> = map.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
    members.sort();
    members
}

/// A number by its value, however it is written.
pub(super) fn rate(number: &serde_json::Number) -> Option<u64> {
    number.as_f64().map(f64::to_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> Chunk {
        Chunk::from_line(format!(r#"{{"cap1":"a","part":"res",{text}}}"#).as_bytes()).unwrap()
    }

    fn taken(chunks: &[&str]) -> (LoggedPart, Vec<bool>) {
        let mut part = LoggedPart::default();
        let taken = chunks.iter().map(|text| part.take(chunk(text))).collect();
        (part, taken)
    }

    #[test]
    fn chunks_in_any_order_join_to_one_run() {
        let (part, taken) = taken(&[
            r#""seq":2,"text":"c","of":3,"tail":{"len":3,"crc":"352441c2"}"#,
            r#""seq":1,"b64":"Yg==""#,
            r#""seq":2,"text":"c","of":3,"tail":{"len":3,"crc":"352441c2"}"#,
            r#""seq":0,"head":{"ts":"t"},"text":"a""#,
            r#""seq":1,"text":"another""#,
        ]);
        assert_eq!(taken, [true, true, false, true, false]);
        assert_eq!((part.next, part.run), (3, Run::of(b"abc")));
        assert!(part.is_whole(Part::Response) && part.behind_gap().next().is_none());
    }

    #[test]
    fn a_tail_that_does_not_fit_keeps_a_part_from_being_whole() {
        for tail in [r#"{"len":4}"#, r#"{"crc":"00000000"}"#] {
            let (part, _) = taken(&[&format!(r#""seq":0,"text":"abc","of":1,"tail":{tail}"#)]);
            assert!(!part.is_whole(Part::Response), "{tail}");
        }
    }

    #[test]
    fn chunks_past_of_are_refused_whichever_came_first() {
        let (part, taken) =
            taken(&[r#""seq":5,"text":"x""#, r#""seq":0,"text":"a","of":2"#, r#""seq":2,"text":"y","of":9"#]);
        assert_eq!(taken, [true, true, false]);
        assert_eq!((part.of, part.next, part.behind_gap().count()), (Some(2), 1, 0));
    }

    #[test]
    fn heads_are_the_first_whole_one_or_joined() {
        let ts = |chunks: &[&str]| taken(chunks).0.section(Part::Response, Place::Head).ts.map(String::from);
        let (one, other) = (r#""seq":0,"head":{"ts":"1"}"#, r#""seq":1,"head":{"ts":"2"}"#);
        assert_eq!(ts(&[other, one]), Some("1".to_owned()));
        assert_eq!(ts(&[other]), None);
        let (front, back) = (r#""seq":0,"headf":"{\"ts\"""#, r#""seq":1,"headf":":\"3\"}""#);
        assert_eq!(ts(&[back, front]), Some("3".to_owned()));
        assert_eq!(ts(&[front, back, r#""seq":2,"head":{"ts":"4"}"#]), Some("4".to_owned()));
        assert_eq!(ts(&[front]), None);
        let tail = |chunks: &[&str]| taken(chunks).0.section(Part::Response, Place::Tail).len;
        assert_eq!(tail(&[r#""seq":0,"tail":{"len":1}"#, r#""seq":1,"tail":{"len":2}"#]), Some(2));
    }

    #[test]
    fn a_joined_head_without_end_is_given_up() {
        let piece = format!(r#""headf":"{}""#, "x".repeat(300_000));
        let chunks: Vec<_> = (0..5).map(|seq| format!(r#""seq":{seq},{piece}"#)).collect();
        let (part, _) = taken(&chunks.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(part.head.too_long && part.head.text.is_empty());
        let head = part.section(Part::Response, Place::Head);
        assert!(head.is_object && head.facts != Facts::default());
    }
}
