//! Joining: some captures at a time, as many as memory allows, each with all of its pieces.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use reassemble_formats::exchange::{BodyObject, Joined, Refusal, StoredComplete, StoredLine, StoredPiece};
use reassemble_formats::layout::hex;
use reassemble_formats::{CaptureId, Chunk};
use reassemble_sources::InputId;
use reassemble_store::ObjectKind;

use super::read::{BatchRead, Line};
use super::survey::Survey;
use super::{MergeError, Merger, Progress};
use crate::objects::{Key, Raw};
use reassemble_pipeline::Deliverer;
use reassemble_pipeline::run::RunError;

/// Bytes of lines that are held at a time, at least.
const LEAST_ROUND_BYTES: u64 = 32 << 20;
/// Bytes of lines that are delivered at once, about.
const BLOCK_BYTES: usize = 256 << 10;
/// Inputs that are open at once.
const OPEN_INPUTS: usize = 64;

/// What is stored of one capture.
#[derive(Default)]
struct Stored {
    /// Lines of pieces.
    pieces: Vec<Vec<u8>>,
    /// Lines of complete exchanges, and their objects.
    complete: Vec<(u32, Vec<u8>)>,
}

impl Merger<'_> {
    /// Decides on every capture of which there are several. Pieces that can be joined are delivered, where there is a deliverer.
    pub(super) fn join(&mut self, survey: &mut Survey, deliverer: Option<&Deliverer>) -> Result<(), MergeError> {
        let most_bytes = LEAST_ROUND_BYTES.max(self.config.store.memory_bytes as u64);
        let mut inputs = deliverer.map(|deliverer| Inputs { deliverer, open: HashMap::new() });
        let (mut captures, of) = (0, survey.captures());
        for range in survey.ranges(most_bytes) {
            let mut found: BTreeMap<CaptureId, Stored> = BTreeMap::new();
            for (object, key) in survey.sources() {
                let is_of_pieces = survey.is_of_pieces(object);
                let read = self.read_batch(key, &mut |line| {
                    let Line::Whole(line) = line else { return Ok(()) };
                    let Some((id, is_complete)) = StoredLine::glance(line) else { return Ok(()) };
                    if !survey.several(&id).is_some_and(|hash| range.contains(&hash)) {
                        return Ok(());
                    }
                    if is_complete {
                        found.entry(id).or_default().complete.push((object, line.to_vec()));
                    } else if is_of_pieces
                        && matches!(StoredLine::parse(line), Some(StoredLine { piece: Some(Ok(_)), .. }))
                    {
                        found.entry(id).or_default().pieces.push(line.to_vec());
                    }
                    Ok(())
                })?;
                if !matches!(read, BatchRead::Whole { .. }) {
                    return Err(MergeError::Changed { key: key.to_owned() });
                }
            }
            for (id, stored) in found {
                captures += 1;
                self.decide(survey.hash(&id), &stored, survey, inputs.as_mut())?;
                (self.progress)(&Progress::Joining { captures, of: of.max(captures) });
            }
        }
        if let Some(mut inputs) = inputs {
            inputs.close();
        }
        Ok(())
    }

    /// Decides what becomes of one capture.
    fn decide(
        &mut self,
        capture: u64,
        stored: &Stored,
        survey: &mut Survey,
        inputs: Option<&mut Inputs<'_>>,
    ) -> Result<(), MergeError> {
        // They were taken apart before.
        let pieces: Vec<StoredPiece> =
            stored.pieces.iter().filter_map(|line| StoredLine::parse(line)?.piece?.ok()).collect();
        let count = pieces.len() as u64;
        let refused = if stored.complete.is_empty() {
            let refused = self.join_one(pieces, inputs)?;
            match refused {
                Some(_) => survey.leave_pieces(capture),
                None => {
                    self.outcome.captures += 1;
                    self.outcome.pieces += count;
                }
            }
            refused
        } else {
            let complete: Vec<StoredComplete> =
                stored.complete.iter().filter_map(|(_, line)| StoredComplete::parse(line)).collect();
            let are_held = self.are_held(&pieces, &complete)?;
            if are_held {
                self.outcome.pieces_held += count;
            }
            let are_same =
                complete.len() == stored.complete.len() && complete.iter().all(|it| it.is_same(&complete[0]));
            let objects = stored.complete.iter().map(|(object, _)| *object);
            let keeper = if are_same && complete.len() > 1 { survey.longest_kept(objects) } else { None };
            if keeper.is_some() {
                self.outcome.repeated += stored.complete.len() as u64 - 1;
            }
            survey.leave_complete(capture, keeper);
            if !are_held {
                survey.leave_pieces(capture);
            }
            (!are_held || !are_same).then_some(Refusal::Contradiction)
        };
        if let Some(why) = refused {
            *self.outcome.refused.entry(why.name()).or_default() += 1;
        }
        Ok(())
    }

    /// Joins the pieces of one capture, and delivers their lines where there is a deliverer; or says why they cannot be, and then nothing of them was
    /// delivered.
    fn join_one(
        &self,
        pieces: Vec<StoredPiece>,
        inputs: Option<&mut Inputs<'_>>,
    ) -> Result<Option<Refusal>, MergeError> {
        for object in pieces.iter().flat_map(|piece| piece.body_objects()) {
            if !self.is_whole(object)? {
                return Ok(Some(Refusal::Contradiction));
            }
        }
        let source = pieces.iter().find_map(|piece| piece.source.clone()).unwrap_or_else(|| "merge".to_owned());
        let joined = match Joined::new(pieces) {
            Ok(joined) => joined,
            Err(why) => return Ok(Some(why)),
        };
        // What is stored may be anything: lines that would not be taken must not stand for what is deleted.
        let mut is_sound = true;
        joined
            .write_lines(&mut |object| self.body(object), &mut |line| {
                is_sound &= Chunk::from_line(line.trim_ascii_end()).is_some();
                Ok(())
            })
            .map_err(MergeError::Runtime)?;
        if !is_sound {
            return Ok(Some(Refusal::Malformed));
        }
        let Some(inputs) = inputs else { return Ok(None) };
        let input = inputs.of(&source);
        let mut block = Vec::new();
        let deliverer = inputs.deliverer;
        let deliver = |block: &mut Vec<u8>| match deliverer.deliver(input, std::mem::take(block)) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        };
        let written = joined.write_lines(&mut |object| self.body(object), &mut |line| {
            block.extend_from_slice(&line);
            if block.len() >= BLOCK_BYTES { deliver(&mut block) } else { Ok(()) }
        });
        match written.and_then(|()| deliver(&mut block)) {
            Ok(()) => Ok(None),
            // The run has ended, and its end tells why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(RunError::ThreadDied("core").into()),
            Err(error) => Err(MergeError::Runtime(error)),
        }
    }

    /// Whether each piece is in one of the complete exchanges.
    fn are_held(&self, pieces: &[StoredPiece], complete: &[StoredComplete]) -> Result<bool, MergeError> {
        for piece in pieces {
            let mut is_held = false;
            for whole in complete {
                is_held = is_held || self.is_held(piece, whole)?;
            }
            if !is_held {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_held(&self, piece: &StoredPiece, complete: &StoredComplete) -> Result<bool, MergeError> {
        for object in complete.body_objects().chain(piece.body_objects()) {
            if !self.is_whole(object)? {
                return Ok(false);
            }
        }
        complete.holds(piece, &mut |object| self.body(object)).map_err(MergeError::Runtime)
    }

    /// Whether a body that is an object of its own is there, and is what its key says.
    fn is_whole(&self, object: &BodyObject) -> Result<bool, MergeError> {
        if Key::parse(&object.key) != (Key::Body { hash: &object.sha256 }) {
            return Ok(false);
        }
        let Some(body) = self.runtime.block_on(self.destination.open(&object.key))? else { return Ok(false) };
        let mut raw = Raw::new(&self.runtime, body, ObjectKind::Body);
        while raw.next_piece()?.is_some() {}
        Ok(raw.bytes == object.len && hex(&raw.hash.finish()) == object.sha256)
    }

    fn body<'s>(&'s self, object: &BodyObject) -> io::Result<Box<dyn Read + 's>> {
        let opened = self.runtime.block_on(self.destination.open(&object.key)).map_err(io::Error::other)?;
        let body = opened.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Raw::new(&self.runtime, body, ObjectKind::Body)))
    }
}

/// The inputs that exchanges name as their source.
struct Inputs<'d> {
    deliverer: &'d Deliverer,
    open: HashMap<String, InputId>,
}

impl Inputs<'_> {
    fn of(&mut self, name: &str) -> InputId {
        if let Some(input) = self.open.get(name) {
            return *input;
        }
        if self.open.len() >= OPEN_INPUTS {
            self.close();
        }
        let input = self.deliverer.open(name);
        self.open.insert(name.to_owned(), input);
        input
    }

    fn close(&mut self) {
        self.open.drain().for_each(|(_, input)| self.deliverer.close(input));
    }
}
