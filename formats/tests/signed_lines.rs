//! Signed lines, written and read: `spec/vectors/signed` by its keys, and any body at all.
//!
//! Captures are assembled elsewhere; of the rules for whole captures (L-8.7) this holds what keys have a say in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use reassemble_formats::sign::{KeyIndex, KeyRing, SigningKey};
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, ResponseHead, Tail};
use reassemble_formats::{BadReason, Chunk, Envelope, EnvelopeReader, Part, Record, RecordSink, scan_line};
use serde_json::Value;

/// Which key a capture's first good line fits, and its chunks.
type Capture = (KeyIndex, BTreeMap<(Part, u32), Chunk>);

/// What a log says by its keys.
struct Judged<'k> {
    keys: &'k KeyRing,
    /// Records that are bad for themselves.
    bad: u64,
    bad_sig: u64,
    meta: u64,
    captures: BTreeMap<String, Capture>,
}

fn service(head: &str) -> Option<String> {
    serde_json::from_str::<Value>(head).ok()?["service"].as_str().map(str::to_owned)
}

impl RecordSink for Judged<'_> {
    fn record(&mut self, record: Record) {
        match record {
            Record::Meta(meta) => {
                let signer = self.keys.check_meta(&meta);
                let good = signer.is_some_and(|key| self.keys.may_sign(key, service(meta.text()).as_deref()));
                *(if good { &mut self.meta } else { &mut self.bad_sig }) += 1;
            }
            Record::Chunk(chunk) => {
                let Some(key) = self.keys.check(&chunk) else { return self.bad_sig += 1 };
                let (first, chunks) = self.captures.entry(chunk.id.to_string()).or_insert((key, BTreeMap::new()));
                if *first != key {
                    return self.bad_sig += 1;
                }
                chunks.entry((chunk.part, chunk.seq)).or_insert(chunk);
            }
        }
    }

    fn bad(&mut self, _: BadReason) {
        self.bad += 1;
    }

    fn long_line(&mut self, bytes: u64) {
        panic!("{bytes} bytes");
    }
}

impl Judged<'_> {
    /// The ids that may be stored; the chunks of all others become bad.
    fn stored(&mut self) -> BTreeSet<String> {
        let mut stored = BTreeSet::new();
        for (id, (key, chunks)) in &self.captures {
            let of_request = chunks.iter().filter(|((part, _), _)| *part == Part::Request);
            let head: String = of_request.filter_map(|(_, chunk)| Some(chunk.head.as_ref()?.text())).collect();
            if self.keys.may_sign(*key, service(&head).as_deref()) {
                stored.insert(id.clone());
            } else {
                self.bad_sig += chunks.len() as u64;
            }
        }
        stored
    }
}

#[test]
fn the_vectors_signatures_and_services_are_judged_as_the_specification_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors/signed");
    let mut run = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let keys = KeyRing::parse(&fs::read_to_string(path.with_extension("keys")).unwrap()).unwrap();
        let expected: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let mut judged = Judged { keys: &keys, bad: 0, bad_sig: 0, meta: 0, captures: BTreeMap::new() };
        let mut envelope = EnvelopeReader::new(Envelope::Auto, 1 << 20);
        envelope.block(&fs::read(&path).unwrap(), &mut judged);
        envelope.finish(&mut judged);

        let stored = judged.stored();
        let exchanges = expected["exchanges"].as_array().unwrap().iter();
        let wanted: BTreeSet<String> = exchanges.map(|exchange| exchange["id"].as_str().unwrap().to_owned()).collect();
        let counts = &expected["counts"];
        let bad_sig = counts["bad"]["bad_sig"].as_u64().unwrap_or(0);
        let bad: u64 = counts["bad"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(stored, wanted, "{}", path.display());
        assert_eq!(
            (judged.bad_sig, judged.bad, Some(judged.meta)),
            (bad_sig, bad - bad_sig, counts["meta"].as_u64()),
            "{}",
            path.display()
        );
        run += 1;
    }
    assert!(run >= 15, "only {run} vectors were found");
}

/// The one record of a line.
#[derive(Default)]
struct Found(Option<Record>);

impl RecordSink for Found {
    fn record(&mut self, record: Record) {
        assert!(self.0.replace(record).is_none());
    }

    fn bad(&mut self, reason: BadReason) {
        panic!("{reason}");
    }

    fn long_line(&mut self, bytes: u64) {
        panic!("{bytes} bytes");
    }
}

proptest! {
    #[test]
    fn signed_lines_stay_within_the_limit_and_each_fits_the_key(
        body in prop::collection::vec(prop_oneof![3 => "[a-z\"\n ]{0,300}".prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..300), 1 => Just("é茶".repeat(50).into_bytes())], 0..6).prop_map(|stretches| stretches.concat()),
        at in any::<prop::sample::Index>(),
        limit in 512usize..900,
        head_len in 0usize..700,
        error in "[a-zé\"]{0,600}",
    ) {
        const SECRET: &str = "a-secret-of-thirty-two-bytes-000";
        let limit = LineLimit::new(limit).unwrap();
        let key = SigningKey::new(SECRET).unwrap();
        let head = ResponseHead { headers: Some(vec![("é\"".into(), "y".repeat(head_len).into())]), ..ResponseHead::default() }.to_json();
        let tail = Tail { error: error.as_str().into(), ..Tail::default() };
        let mut out = Vec::new();
        let mut writer = PartWriter::new("c-1", PartTag::Res, head.clone(), limit).unwrap().signed(Some(&key));
        let (one, other) = body.split_at(at.index(body.len() + 1));
        for arrival in [one, other] {
            writer.body(arrival, &mut out);
            prop_assert!(writer.held_bytes() <= 4 * limit.bytes());
        }
        let count = writer.finish(&tail, &mut out);

        let ring = KeyRing::parse(&format!("key {SECRET} *")).unwrap();
        let (mut heads, mut joined, mut tails) = (String::new(), Vec::new(), String::new());
        for (seq, line) in (0..).zip(out.split_inclusive(|byte| *byte == b'\n')) {
            prop_assert!(line.len() <= limit.bytes() && line.ends_with(b"\n"));
            let mut found = Found::default();
            scan_line(line, &mut found);
            let Some(Record::Chunk(chunk)) = found.0 else { panic!("no chunk") };
            prop_assert!(ring.check(&chunk).is_some());
            prop_assert_eq!((chunk.seq, chunk.of), (seq, (u64::from(seq) + 1 == count).then_some(seq + 1)));
            heads.push_str(chunk.head.as_ref().map_or("", |head| head.text()));
            chunk.piece.iter().for_each(|piece| piece.append_to(&mut joined));
            tails.push_str(chunk.tail.as_ref().map_or("", |tail| tail.text()));
        }
        prop_assert_eq!(&joined, &body);
        prop_assert_eq!(heads, head);
        prop_assert_eq!(tails, tail.to_json(body.len() as u64, crc32fast::hash(&body)));
    }
}
