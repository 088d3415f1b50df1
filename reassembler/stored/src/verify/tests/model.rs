//! The expectation against a model that keeps everything: any cut, order, repetition and loss of a log gives what the model says of it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reassemble_formats::exchange::{base64_text, crc_hex};
use reassemble_formats::{CaptureId, Chunk, Part};

use super::super::expected::{Expectations, Logged};
use super::super::prints::Run;

/// One part as a list of pieces.
#[derive(Clone, Debug)]
struct Sample {
    pieces: Vec<Vec<u8>>,
    /// Whether its tail lies about the length.
    lies: bool,
    /// Chunks that are lost.
    lost: Vec<bool>,
}

fn sample() -> impl Strategy<Value = Sample> {
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..8);
    let lost = prop::collection::vec(prop::bool::weighted(0.05), 8);
    (pieces, prop::bool::weighted(0.05), lost).prop_map(|(pieces, lies, lost)| Sample { pieces, lies, lost })
}

fn chunks(id: usize, part: Part, sample: &Sample) -> Vec<Chunk> {
    let (body, of) = (sample.pieces.concat(), sample.pieces.len());
    let line = |seq: usize, piece: &Vec<u8>| {
        let mut line =
            format!(r#"{{"cap1":"c{id}","part":"{}","seq":{seq},"b64":"{}""#, part.tag(), base64_text(piece));
        if seq == 0 {
            line.push_str(r#","head":{"ts":"2026-11-22T05:00:00Z"}"#);
        }
        if seq + 1 == of {
            let len = body.len() + usize::from(sample.lies);
            line.push_str(&format!(r#","of":{of},"tail":{{"len":{len},"crc":"{}"}}"#, crc_hex(&body)));
        }
        Chunk::from_line(format!("{line}}}").as_bytes()).unwrap()
    };
    sample.pieces.iter().enumerate().map(|(seq, piece)| line(seq, piece)).collect()
}

fn bytes(chunk: &Chunk) -> Vec<u8> {
    chunk.piece.as_ref().map(|piece| piece.bytes().into_owned()).unwrap_or_default()
}

/// What the model keeps of a part: its chunks by `seq`.
#[derive(Default)]
struct Kept(BTreeMap<u32, Chunk>);

impl Kept {
    fn start(&self) -> Vec<u8> {
        let start = self.0.iter().enumerate().take_while(|(at, (seq, _))| *at == **seq as usize);
        start.flat_map(|(_, (_, chunk))| bytes(chunk)).collect()
    }

    fn is_whole(&self, sample: &Sample) -> bool {
        self.0.len() == sample.pieces.len() && !sample.lies
    }
}

proptest! {
    #[test]
    fn any_order_repetition_and_loss_gives_what_the_model_says(
        samples in prop::collection::vec((sample(), sample()), 1..5),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
    ) {
        let all: Vec<Chunk> = samples
            .iter()
            .enumerate()
            .flat_map(|(id, (request, response))| {
                let of = |part, sample: &Sample| {
                    let kept = chunks(id, part, sample).into_iter().zip(sample.lost.clone());
                    kept.filter(|(_, lost)| !lost).map(|(chunk, _)| chunk).collect::<Vec<_>>()
                };
                [of(Part::Request, request), of(Part::Response, response)].concat()
            })
            .collect();
        prop_assume!(!all.is_empty());
        // Each index moves a chunk to the front or, every third, repeats it there.
        let mut fed = all.clone();
        for (at, index) in order.iter().enumerate() {
            let from = index.index(fed.len());
            let chunk = if at % 3 == 0 { fed[from].clone() } else { fed.remove(from) };
            fed.insert(0, chunk);
        }
        let mut expectations = Expectations::default();
        fed.iter().cloned().for_each(|chunk| expectations.take(chunk));

        let mut model: BTreeMap<(String, Part), Kept> = BTreeMap::new();
        for chunk in &all {
            model.entry((chunk.id.to_string(), chunk.part)).or_default().0.insert(chunk.seq, chunk.clone());
        }
        prop_assert_eq!(expectations.repeated as usize, fed.len() - all.len());
        for (id, (request, response)) in samples.iter().enumerate() {
            let name = format!("c{id}");
            let mut kept = |part| model.remove(&(name.clone(), part)).unwrap_or_default();
            let parts = [(kept(Part::Request), request), (kept(Part::Response), response)];
            let expected = expectations.get_mut(&CaptureId::parse(name.as_bytes()).unwrap());
            let came = parts.iter().any(|(kept, _)| !kept.0.is_empty());
            prop_assert_eq!(expected.is_some(), came);
            let Some(expected) = expected else { continue };
            let is_whole = parts.iter().all(|(kept, sample)| kept.is_whole(sample));
            match &expected.logged {
                Logged::Whole(whole) => {
                    prop_assert!(is_whole);
                    for ((kept, sample), (chunks, run)) in parts.iter().zip(whole.bodies) {
                        prop_assert_eq!(chunks as usize, sample.pieces.len());
                        prop_assert_eq!(run, Run::of(&kept.start()));
                    }
                }
                Logged::Open(open) => {
                    prop_assert!(!is_whole);
                    for ((kept, _), part) in parts.iter().zip(Part::BOTH) {
                        let part = open.part(part);
                        let start = kept.0.keys().enumerate().take_while(|(at, seq)| *at == **seq as usize).count();
                        prop_assert_eq!((part.next as usize, part.run), (start, Run::of(&kept.start())));
                        let behind: Vec<_> = part.behind_gap().collect();
                        let piece = |chunk: &Chunk| Run::of(&bytes(chunk));
                        let expected: Vec<_> = kept.0.iter().skip(start).map(|(seq, chunk)| (*seq, piece(chunk))).collect();
                        prop_assert_eq!(behind, expected);
                    }
                }
            }
        }
    }
}
