//! Exchanges as finished lines, many at a time: what needs nothing more than to be appended goes to the store thread in blocks, so that
//! neither thread wakes the other for each of them.

use std::sync::Arc;

use reassemble_formats::exchange::Exchange;
use reassemble_formats::layout::{Partition, RetentionClass};

/// Bytes at which a block is full.
const BLOCK_BYTES: usize = 64 << 10;
/// Partitions that are remembered: services in the hours and classes of now.
const RECENT: usize = 16;
/// Microseconds of an hour, in which a partition does not change.
const HOUR_US: i64 = 3_600_000_000;

/// Lines in order, one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    text: Vec<u8>,
    ends: Vec<LineEnd>,
}

#[derive(Debug)]
struct LineEnd {
    /// Where the line ends in the buffer.
    end: usize,
    partition: Arc<Partition>,
    ts_us: i64,
}

impl Lines {
    /// Adds an exchange's line.
    pub(crate) fn add(&mut self, exchange: &Exchange<'_>, partition: Arc<Partition>, ts_us: i64) {
        if self.text.capacity() == 0 {
            // Its last line goes over the edge.
            self.text.reserve_exact(BLOCK_BYTES + BLOCK_BYTES / 4);
        }
        exchange.write_line(&mut self.text);
        self.ends.push(LineEnd { end: self.text.len(), partition, ts_us });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= BLOCK_BYTES
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Each line with its newline, where it belongs, and its exchange's time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &Partition, i64)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|line| line.end));
        starts.zip(&self.ends).map(|(start, line)| (&self.text[start..line.end], &*line.partition, line.ts_us))
    }
}

/// The partitions of the last exchanges: nearly every exchange belongs to one of a few.
#[derive(Debug, Default)]
pub(crate) struct RecentPartitions {
    entries: Vec<Entry>,
    /// The entry that goes next.
    oldest: usize,
}

#[derive(Debug)]
struct Entry {
    class: RetentionClass,
    service: Option<Box<str>>,
    hour: i64,
    partition: Arc<Partition>,
}

impl RecentPartitions {
    /// The partition of an exchange with this class, service and time in microseconds since the Unix epoch.
    pub(crate) fn get(&mut self, class: RetentionClass, service: Option<&str>, ts_us: i64) -> Arc<Partition> {
        let hour = ts_us.div_euclid(HOUR_US);
        let fits = |entry: &&Entry| entry.hour == hour && entry.class == class && entry.service.as_deref() == service;
        if let Some(entry) = self.entries.iter().find(fits) {
            return entry.partition.clone();
        }
        let partition = Arc::new(Partition::new(class, service, ts_us));
        let entry = Entry { class, service: service.map(Box::from), hour, partition: partition.clone() };
        if self.entries.len() < RECENT {
            self.entries.push(entry);
        } else {
            self.entries[self.oldest] = entry;
            self.oldest = (self.oldest + 1) % RECENT;
        }
        partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remembered_partition_is_the_one_that_would_be_made() {
        let mut recent = RecentPartitions::default();
        let classes = [7, 30, 90].map(|days| RetentionClass::from_days(days).unwrap());
        let services: Vec<String> = (0..12).map(|n| format!("s{}/", n % 7)).collect();
        for round in 0..400_usize {
            let class = classes[round % 3];
            let service = services.get(round % 13).map(String::as_str);
            let ts_us = (round as i64 % 5 - 2) * (HOUR_US - 1) + 1_767_225_600_000_000;
            assert_eq!(*recent.get(class, service, ts_us), Partition::new(class, service, ts_us));
            assert!(recent.entries.len() <= RECENT);
        }
    }
}
