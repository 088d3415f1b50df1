//! Bodies on their way to the store: encodings undone, and what is long kept as an object of its own. Everything streams, so that a body
//! takes memory up to the inline limit and the decoders' windows, however long it is.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use reassemble_assembler::{Pieces, Stored, chunk_row};
use reassemble_formats::exchange::{Body, Content};
use reassemble_formats::layout::Partition;
use reassemble_formats::{Chunk, Piece, Sum};
use reassemble_store::{BodyWriter, StateError, StateReader};

use super::decode::{DecodeError, Deflate, decoder};
use crate::patient::PatientSpool;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Longest name of an encoding in a problem, in characters: the name is whatever a header said.
const MAX_PROBLEM_NAME: usize = 32;

/// Where bodies go.
pub(crate) struct Bodies<'s> {
    pub(crate) spool: &'s mut PatientSpool,
    /// Where pieces lie that are not in memory.
    pub(crate) state: &'s StateReader,
    pub(crate) partition: &'s Partition,
    /// Whether the exchange is complete: where it is not, the pieces of its bodies are told apart.
    pub(crate) complete: bool,
    pub(crate) inline_bytes: u64,
    pub(crate) decode_limit_bytes: u64,
}

/// Why a body could not be read to its end.
enum Failed {
    /// The state or the disk: the run ends.
    State(StateError),
    /// It cannot be decoded.
    Decode(usize, DecodeError),
}

impl From<StateError> for Failed {
    fn from(error: StateError) -> Self {
        Failed::State(error)
    }
}

impl Bodies<'_> {
    /// Stores one body: `long` where it is long, else the pieces that it holds. Undoes `encodings`, all of them or none; what cannot be undone is
    /// named in `problems`, and the body stands as captured. True where they were undone.
    ///
    /// # Errors
    /// Where the spool cannot be written, or the pieces not read.
    pub(crate) fn store(
        &mut self,
        body: &mut Body<'_>,
        long: Option<&Pieces>,
        encodings: &[String],
        problems: &mut Vec<String>,
    ) -> Result<bool, StateError> {
        let source = match (&body.content, long) {
            (_, Some(long)) => Source::Long(long),
            (Content::Pieces(pieces), None) => Source::Held(pieces),
            (Content::Bytes(_) | Content::Object { .. }, None) => return Ok(false),
        };
        let undone = if source.is_empty() { None } else { self.undo(&source, encodings, problems)? };
        let undone_any = undone.is_some();
        let read = match undone {
            Some(read) => {
                body.captured = Some(read.captured);
                body.encoding = Some(encodings.join(", "));
                read
            }
            None if long.is_none() && body.content.len() <= self.inline_bytes => return Ok(false),
            None => match self.read(&source, &[], Deflate::Zlib) {
                Ok(read) => read,
                Err(Failed::State(error)) => return Err(error),
                // Without encodings nothing can fail to be decoded.
                Err(Failed::Decode(..)) => return Err(StateError::Stopped),
            },
        };
        if long.is_some() {
            body.marks = read.marks;
            if !self.complete {
                body.pieces = read.lengths;
            }
        }
        body.content = read.content;
        Ok(undone_any)
    }

    fn undo(
        &mut self,
        source: &Source<'_>,
        encodings: &[String],
        problems: &mut Vec<String>,
    ) -> Result<Option<ReadBody>, StateError> {
        if encodings.is_empty() {
            return Ok(None);
        }
        let mut attempt = self.read(source, encodings, Deflate::Zlib);
        if matches!(attempt, Err(Failed::Decode(_, DecodeError::Undecodable)))
            && encodings.iter().any(|it| it == "deflate")
        {
            attempt = self.read(source, encodings, Deflate::Raw);
        }
        match attempt {
            Ok(read) => Ok(Some(read)),
            Err(Failed::State(error)) => Err(error),
            Err(Failed::Decode(at, why)) => {
                let name: String = encodings[at].chars().take(MAX_PROBLEM_NAME).collect();
                let problem = match why {
                    DecodeError::OverLimit => format!("decode_limit:{name}"),
                    DecodeError::Undecodable => format!("decode:{name}"),
                };
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
                Ok(None)
            }
        }
    }

    /// Reads a body through its decoders.
    fn read(&mut self, source: &Source<'_>, encodings: &[String], deflate: Deflate) -> Result<ReadBody, Failed> {
        let fault = Rc::new(Cell::new(None));
        let mut captured = CapturedReader::new(source, self.state);
        let mut reader = decoder(Box::new(&mut captured), encodings, deflate, self.decode_limit_bytes, &fault);
        let copied = self.copy(&mut reader);
        drop(reader);
        // A decoder may leave what lies behind its end; it was captured all the same.
        let copied = copied
            .and_then(|content| io::copy(&mut captured, &mut io::sink()).map(|_| content).map_err(|_| Copy::Read));
        match (copied, captured.failed, fault.get()) {
            (Ok(content), ..) => {
                Ok(ReadBody { content, captured: captured.sum, marks: captured.marks, lengths: captured.lengths })
            }
            (Err(Copy::Write(error)), ..) | (Err(Copy::Read), Some(error), _) => Err(Failed::State(error)),
            (Err(Copy::Read), None, Some((at, why))) => Err(Failed::Decode(at, why)),
            // Nothing else can fail to be read.
            (Err(Copy::Read), None, None) => Err(Failed::State(StateError::Stopped)),
        }
    }

    /// Copies a body into memory as far as it may stay inline, and into an object of its own beyond.
    fn copy(&mut self, reader: &mut dyn Read) -> Result<Content<'static>, Copy> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut inline = Vec::new();
        let mut object: Option<BodyWriter> = None;
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Copy::Read),
            };
            if read == 0 {
                break;
            }
            if object.is_none() && (inline.len() + read) as u64 > self.inline_bytes {
                let mut writer = self.spool.patiently(|spool| spool.body_writer(self.partition))?;
                self.spool.patiently(|spool| spool.write_body(&mut writer, &inline))?;
                inline = Vec::new();
                object = Some(writer);
            }
            match &mut object {
                Some(writer) => self.spool.patiently(|spool| spool.write_body(writer, &buffer[..read]))?,
                None => inline.extend_from_slice(&buffer[..read]),
            }
        }
        match object {
            Some(writer) => {
                let body = self.spool.spool.finish_body(writer)?;
                Ok(Content::Object { key: body.key, sha256: body.sha256, len: body.bytes })
            }
            None => Ok(Content::Bytes(inline)),
        }
    }
}

/// Why a body was not copied.
enum Copy {
    /// The reader knows why.
    Read,
    Write(StateError),
}

impl From<StateError> for Copy {
    fn from(error: StateError) -> Self {
        Copy::Write(error)
    }
}

/// A body that was read to its end.
struct ReadBody {
    content: Content<'static>,
    captured: Sum,
    marks: Vec<(u64, u64)>,
    lengths: Vec<u64>,
}

/// A captured body.
enum Source<'b> {
    Held(&'b [Piece]),
    Long(&'b Pieces),
}

impl Source<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Source::Held(pieces) => pieces.iter().all(|piece| piece.sum().len == 0),
            Source::Long(pieces) => pieces.count() == 0,
        }
    }
}

/// Reads the captured bytes, piece by piece, and sums them up.
struct CapturedReader<'b> {
    source: &'b Source<'b>,
    state: &'b StateReader,
    next: u32,
    current: Vec<u8>,
    at: usize,
    sum: Sum,
    marks: Vec<(u64, u64)>,
    /// Of the pieces, 0 where a chunk has none.
    lengths: Vec<u64>,
    failed: Option<StateError>,
}

impl<'b> CapturedReader<'b> {
    fn new(source: &'b Source<'b>, state: &'b StateReader) -> Self {
        CapturedReader {
            source,
            state,
            next: 0,
            current: Vec::new(),
            at: 0,
            sum: Sum::default(),
            marks: Vec::new(),
            lengths: Vec::new(),
            failed: None,
        }
    }

    /// Loads the next piece that is not empty; false behind the last.
    fn load(&mut self) -> Result<bool, StateError> {
        self.at = 0;
        self.current.clear();
        while self.current.is_empty() {
            let loaded;
            let (piece, at) = match self.source {
                Source::Held(pieces) => match pieces.get(self.next as usize) {
                    Some(piece) => (Some(piece), None),
                    None => return Ok(false),
                },
                Source::Long(pieces) => {
                    let chunk = match pieces.get(self.next) {
                        None => return Ok(false),
                        Some(Stored::Memory(chunk)) => chunk,
                        Some(Stored::Row { capture, part, seq }) => {
                            let row = self.state.open_chunk(capture, chunk_row(part, seq))?;
                            loaded = row
                                .and_then(|row| Chunk::from_line(&row))
                                .ok_or_else(|| self.state.torn_chunk(capture, seq))?;
                            &loaded
                        }
                    };
                    (chunk.piece.as_ref(), chunk.at)
                }
            };
            self.next += 1;
            self.lengths.push(piece.map_or(0, |piece| piece.sum().len));
            if let Some(piece) = piece {
                self.marks.extend(at.map(|at| (self.sum.len, at)));
                self.sum = self.sum.then(piece.sum());
                piece.append_to(&mut self.current);
            }
        }
        Ok(true)
    }
}

impl Read for CapturedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            match self.load() {
                Ok(true) => (),
                Ok(false) => return Ok(0),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(io::ErrorKind::Other.into());
                }
            }
        }
        let read = buffer.len().min(self.current.len() - self.at);
        buffer[..read].copy_from_slice(&self.current[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}
