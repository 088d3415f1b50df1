//! One invocation: a bounded run of the pipeline over the event's lines.
//!
//! **The same batch gives the same objects.** What is stored depends on the lines alone, with one exception: an exchange without a usable time of
//! its own gets the time of reading. So the batch's own time stands for that ([`time_us`]), and nothing closes by a time-out: batches are
//! rolled and captures closed where the event ends.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use std::{fs, io};

use reassemble_pipeline::config::{Config, DestinationConfig};
use reassemble_pipeline::run::{Outcome, RunError, StatusBoard, Stopper};
use reassemble_pipeline::{Deliverer, deliver};
use reassemble_sources::payload::{Documents, Found};
use reassemble_sources::{InputId, LineSplitter, Piece, printable};
use serde_json::value::{RawValue, to_raw_value};

use crate::event::{Answer, Event, FirehoseResult, Kind, Record, Transformed, UnknownEvent};

/// The folder of all state, in the folder for temporary files. In a function's sandbox there is one process.
const FOLDER: &str = "reassemble-forwarder";
/// Nothing happens by time within an invocation, the longest of which takes 15 minutes.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// What is left to say so where the destination has not taken everything in time.
const RESERVE: Duration = Duration::from_millis(2_500);

/// Why an invocation fails. Lambda brings the batch again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error(transparent)]
    Event(#[from] UnknownEvent),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("cannot keep state in {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("not everything is stored ({objects} objects are not): {why}")]
    NotStored { objects: u64, why: String },
    #[error("cannot write the answer: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("REASSEMBLE_TO must name a bucket: s3://bucket/prefix")]
    NoBucket,
}

/// Handles invocations, one after another.
pub(crate) struct Forwarder {
    config: Config,
    firehose: FirehoseResult,
    folder: PathBuf,
}

impl Forwarder {
    /// Takes away what an invocation left that was ended from outside.
    pub(crate) fn new(mut config: Config, firehose: FirehoseResult) -> Result<Self, ForwardError> {
        if !matches!(config.store.to, DestinationConfig::S3 { .. }) {
            return Err(ForwardError::NoBucket);
        }
        config.timeout = NEVER;
        config.store.batch_age = NEVER;
        // What a batch leaves open is joined with what others have.
        config.process.decode_incomplete = false;
        let folder = std::env::temp_dir().join(FOLDER);
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ForwardError::Folder { path: folder, source })
            }
            _ => Ok(Forwarder { config, firehose, folder }),
        }
    }

    /// Stores what an event holds, within the time that is left; gives the answer.
    pub(crate) fn handle(&self, event: &str, left: Duration) -> Result<Box<RawValue>, ForwardError> {
        let event = Event::parse(event)?;
        let made = fs::create_dir_all(&self.folder).and_then(|()| tempfile::tempdir_in(&self.folder));
        let state = made.map_err(|source| ForwardError::Folder { path: self.folder.clone(), source })?;
        let mut config = self.config.clone();
        config.store.state = Some(state.path().to_owned());
        config.input.read_at_us = time_us(&event);
        let max_line_bytes = config.input.max_line_bytes;

        let (run, deliverer) = deliver(config, Arc::new(StatusBoard::default()))?;
        let watch = Watch::begin(run.stopper(), left.saturating_sub(RESERVE));
        let mut batch = Batch { deliverer, inputs: HashMap::new(), kind: event.kind, max_line_bytes, failures: 0 };
        let good: Vec<bool> = event.records.iter().enumerate().map(|(at, record)| batch.take(at, record)).collect();
        let Batch { deliverer, failures, .. } = batch;
        drop(deliverer);
        let outcome = run.wait()?;
        let in_time = watch.end();
        let ledger = &outcome.status.run;
        let (complete, incomplete) = (ledger.exchanges_complete, ledger.exchanges_incomplete);
        tracing::info!(
            records = event.records.len(),
            capture_records = ledger.records.read,
            complete,
            incomplete,
            failures,
            "read a batch of {}",
            event.kind.name()
        );
        refuse_undelivered(&outcome, in_time)?;
        let answer = match event.kind {
            Kind::Subscription => Answer::Subscription { complete, incomplete, failures },
            Kind::Kinesis => Answer::Kinesis { batch_item_failures: [] },
            Kind::Firehose => {
                let records = event.records.iter().zip(good).map(|(record, good)| self.transformed(record, good));
                Answer::Firehose { records: records.collect() }
            }
        };
        Ok(to_raw_value(&answer)?)
    }

    /// What could not be read is never dropped: Firehose keeps it with what failed.
    fn transformed<'e>(&self, record: &'e Record<'e>, good: bool) -> Transformed<'e> {
        let result = match (self.firehose, good) {
            (FirehoseResult::Ok, _) => "Ok",
            (FirehoseResult::Dropped, true) => "Dropped",
            (FirehoseResult::Dropped, false) => "ProcessingFailed",
        };
        Transformed { record_id: &record.id, result, data: &record.data }
    }
}

fn refuse_undelivered(outcome: &Outcome, in_time: bool) -> Result<(), ForwardError> {
    let objects = outcome.undelivered_objects;
    if objects == 0 && in_time {
        return Ok(());
    }
    let late = "the function's time is over; give it more, or make batches smaller";
    let why = outcome.status.destination_failing.as_deref().unwrap_or(late);
    Err(ForwardError::NotStored { objects, why: why.to_owned() })
}

/// The time of an event: that of the first log event in it, or of its first record's arrival.
fn time_us(event: &Event<'_>) -> Option<i64> {
    let mut first_ms = None;
    for record in &event.records {
        let mut documents = Documents::default();
        let mut found = |found: Found<'_>| {
            if let Found::Document { first_ms: Some(at), .. } = found {
                first_ms.get_or_insert(at);
            }
        };
        // What cannot be read is told where it is read for its lines.
        record.read(&mut |bytes| documents.push(bytes, &mut found)).unwrap_or(());
        documents.finish(&mut found);
        if first_ms.is_some() {
            break;
        }
    }
    let arrived_ms = event.records.iter().find_map(|record| record.arrived_ms);
    first_ms.or(arrived_ms).map(|at| at.saturating_mul(1_000))
}

/// Stops a run when its time is over.
struct Watch {
    done: mpsc::Sender<()>,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn begin(stopper: Option<Stopper>, within: Duration) -> Self {
        let (done, ended) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        thread::spawn(move || {
            if ended.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
                is_over.store(true, Ordering::Release);
                stopper.iter().for_each(Stopper::stop);
            }
        });
        Watch { done, over }
    }

    /// Whether the run ended by itself.
    fn end(self) -> bool {
        drop(self.done);
        !self.over.load(Ordering::Acquire)
    }
}

/// An event's lines on their way to a run.
struct Batch {
    deliverer: Deliverer,
    /// By log group and stream, as their exchanges name them.
    inputs: HashMap<String, InputId>,
    kind: Kind,
    max_line_bytes: usize,
    failures: u64,
}

impl Batch {
    /// Delivers a record's lines; false where not all of it could be read.
    fn take(&mut self, number: usize, record: &Record<'_>) -> bool {
        let before = self.failures;
        let mut documents = Documents::default();
        let mut text = LineSplitter::new(self.max_line_bytes);
        let read = record.read(&mut |bytes| {
            documents.push(bytes, &mut |found| self.found(number, found, &mut text));
        });
        documents.finish(&mut |found| self.found(number, found, &mut text));
        text.finish(&mut |piece| self.line(number, piece));
        if let Err(error) = read {
            self.failed(number, &format!("its data cannot be decoded to its end: {error}"));
        }
        self.failures == before
    }

    fn found(&mut self, number: usize, found: Found<'_>, text: &mut LineSplitter) {
        match found {
            Found::Document { log_group, log_stream, lines, .. } => {
                self.deliver(&format!("cloudwatch:{log_group}:{log_stream}"), lines.to_vec());
            }
            Found::Text(bytes) => text.push(bytes, &mut |piece| self.line(number, piece)),
            Found::Failed { at, why } => self.failed(number, &format!("at byte {at} of what it holds: {why}")),
        }
    }

    /// What is no document: lines that an app put into the stream, or that Firehose took out of the documents.
    fn line(&mut self, number: usize, piece: Piece<'_>) {
        match piece {
            Piece::Lines(lines) => {
                let mut block = lines.to_vec();
                if !block.ends_with(b"\n") {
                    block.push(b'\n');
                }
                self.deliver(self.kind.name(), block);
            }
            Piece::LongLine { bytes } => self.failed(number, &format!("a line of {bytes} bytes is over the limit")),
            Piece::Skipped(_) => {}
        }
    }

    fn deliver(&mut self, name: &str, block: Vec<u8>) {
        let input = match self.inputs.get(name) {
            Some(input) => *input,
            None => {
                let input = self.deliverer.open(&printable(name));
                self.inputs.insert(name.to_owned(), input);
                input
            }
        };
        // Where the run has ended already, waiting for it tells why.
        self.deliverer.deliver(input, block);
    }

    fn failed(&mut self, number: usize, why: &str) {
        self.failures += 1;
        tracing::error!("record {number} of the batch cannot be read: {why}");
    }
}
