//! What a reader found, in its order.

use reassemble_formats::{BadReason, Chunk, Record, RecordSink};

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Record(Record),
    Bad(BadReason),
    Long(u64),
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found(pub(crate) Vec<Event>);

impl Found {
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.0.iter().filter_map(|event| match event {
            Event::Record(Record::Chunk(chunk)) => Some(chunk),
            _ => None,
        })
    }
}

impl RecordSink for Found {
    fn record(&mut self, record: Record) {
        self.0.push(Event::Record(record));
    }
    fn bad(&mut self, reason: BadReason) {
        self.0.push(Event::Bad(reason));
    }
    fn long_line(&mut self, bytes: u64) {
        self.0.push(Event::Long(bytes));
    }
}
