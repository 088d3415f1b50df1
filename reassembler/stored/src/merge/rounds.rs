//! Joining: some captures at a time, as many as memory allows, each with all of its pieces.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use reassemble_formats::exchange::{BodyObject, Joined, Refusal, StoredLine};
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

impl Merger<'_> {
    /// Joins what can be joined, and delivers it.
    pub(super) fn join(&mut self, survey: &mut Survey, deliverer: &Deliverer) -> Result<(), MergeError> {
        let most_bytes = LEAST_ROUND_BYTES.max(self.config.store.memory_bytes as u64);
        let mut inputs = Inputs { deliverer, open: HashMap::new() };
        let (mut captures, of) = (0, survey.captures());
        for range in survey.ranges(most_bytes) {
            let mut pieces: BTreeMap<CaptureId, Vec<Vec<u8>>> = BTreeMap::new();
            for key in survey.sources() {
                let read = self.read_batch(key, &mut |line| {
                    if let Line::Whole(line) = line
                        && let Some(StoredLine { id, piece: Some(Ok(_)) }) = StoredLine::parse(line)
                        && survey.joins(&id).is_some_and(|hash| range.contains(&hash))
                    {
                        pieces.entry(id).or_default().push(line.to_vec());
                    }
                    Ok(())
                })?;
                if !matches!(read, BatchRead::Whole { .. }) {
                    return Err(MergeError::Changed { key: key.to_owned() });
                }
            }
            for (id, lines) in pieces {
                captures += 1;
                if let Some(why) = self.join_one(&lines, &mut inputs)? {
                    *self.outcome.refused.entry(why.name()).or_default() += 1;
                    if let Some(hash) = survey.joins(&id) {
                        survey.refuse(hash);
                    }
                }
                (self.progress)(&Progress::Joining { captures, of: of.max(captures) });
            }
        }
        inputs.close();
        Ok(())
    }

    /// Joins the pieces of one capture; or says why they cannot be, and then nothing of them was delivered.
    fn join_one(&self, lines: &[Vec<u8>], inputs: &mut Inputs<'_>) -> Result<Option<Refusal>, MergeError> {
        let mut pieces = Vec::new();
        for line in lines {
            // It was taken apart before.
            pieces.extend(StoredLine::parse(line).and_then(|line| line.piece?.ok()));
        }
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
