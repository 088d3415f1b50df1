//! What the function is handed: the three kinds of event, as AWS documents them, and their data as bytes.

use std::borrow::Cow;
use std::io::{self, Read};
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// What becomes of records that Firehose wants transformed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FirehoseResult {
    /// They go on unchanged.
    #[default]
    Ok,
    /// None goes on.
    Dropped,
}

impl FromStr for FirehoseResult {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "Ok" => Ok(Self::Ok),
            "Dropped" => Ok(Self::Dropped),
            _ => Err("REASSEMBLE_FIREHOSE_RESULT is Ok or Dropped".to_owned()),
        }
    }
}

/// An invocation's event.
#[derive(Debug)]
pub(crate) struct Event<'e> {
    pub(crate) kind: Kind,
    pub(crate) records: Vec<Record<'e>>,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A subscription filter ("Log group-level subscription filters" in the CloudWatch Logs user guide).
    Subscription,
    /// A stream that a subscription feeds ("Process Amazon Kinesis Data Streams records with Lambda").
    Kinesis,
    /// A Firehose stream ("Transform source data in Amazon Data Firehose").
    Firehose,
}

impl Kind {
    /// What people know it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Subscription => "subscription",
            Kind::Kinesis => "kinesis",
            Kind::Firehose => "firehose",
        }
    }
}

/// Data that came in one piece.
#[derive(Debug)]
pub(crate) struct Record<'e> {
    /// What Firehose knows it by.
    pub(crate) id: Cow<'e, str>,
    /// In base64, as it came.
    pub(crate) data: Cow<'e, str>,
    /// When it came, in milliseconds since the Unix epoch, where that is told.
    pub(crate) arrived_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Raw<'e> {
    #[serde(borrow)]
    awslogs: Option<Data<'e>>,
    #[serde(borrow, rename = "Records")]
    kinesis: Option<Vec<KinesisRecord<'e>>>,
    #[serde(borrow, rename = "records")]
    firehose: Option<Vec<FirehoseRecord<'e>>>,
}

#[derive(Deserialize)]
struct KinesisRecord<'e> {
    #[serde(borrow)]
    kinesis: Data<'e>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'e> {
    #[serde(borrow)]
    data: Cow<'e, str>,
    /// In seconds.
    approximate_arrival_timestamp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirehoseRecord<'e> {
    #[serde(borrow)]
    record_id: Cow<'e, str>,
    #[serde(borrow)]
    data: Cow<'e, str>,
    /// In milliseconds.
    approximate_arrival_timestamp: Option<i64>,
}

/// Why an event is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "the event is none of a CloudWatch Logs subscription, a Kinesis stream or a Firehose transformation: check the function's trigger"
)]
pub(crate) struct UnknownEvent;

impl<'e> Event<'e> {
    /// Reads an event.
    pub(crate) fn parse(text: &'e str) -> Result<Self, UnknownEvent> {
        let of = |data: Data<'e>| Record {
            id: Cow::Borrowed(""),
            data: data.data,
            // Seconds to milliseconds of this age are whole numbers to a double.
            arrived_ms: data.approximate_arrival_timestamp.map(|seconds| (seconds * 1_000.0) as i64),
        };
        let (kind, records) = match serde_json::from_str(text).map_err(|_| UnknownEvent)? {
            Raw { awslogs: Some(data), .. } => (Kind::Subscription, vec![of(data)]),
            Raw { kinesis: Some(records), .. } => {
                (Kind::Kinesis, records.into_iter().map(|record| of(record.kinesis)).collect())
            }
            Raw { firehose: Some(records), .. } => {
                let of = |record: FirehoseRecord<'e>| Record {
                    id: record.record_id,
                    data: record.data,
                    arrived_ms: record.approximate_arrival_timestamp,
                };
                (Kind::Firehose, records.into_iter().map(of).collect())
            }
            _ => return Err(UnknownEvent),
        };
        Ok(Event { kind, records })
    }
}

impl Record<'_> {
    /// Gives the data as bytes, a block at a time: decompressed where it is gzip, as CloudWatch Logs sends it, and as it is elsewhere, for Firehose may
    /// have decompressed it.
    ///
    /// # Errors
    /// What keeps it from being read to its end.
    pub(crate) fn read(&self, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let bytes = BASE64_STANDARD.decode(self.data.as_bytes()).map_err(io::Error::other)?;
        if !bytes.starts_with(GZIP_MAGIC) {
            take(&bytes);
            return Ok(());
        }
        let mut reader = MultiGzDecoder::new(&bytes[..]);
        let mut block = vec![0; 128 << 10];
        loop {
            match reader.read(&mut block)? {
                0 => return Ok(()),
                read => take(&block[..read]),
            }
        }
    }
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer<'e> {
    /// Nobody reads it but people who call the function by hand.
    #[serde(rename_all = "camelCase")]
    Subscription {
        complete: u64,
        incomplete: u64,
        failures: u64,
    },
    /// That no record is to come again, where the trigger asks for it ("ReportBatchItemFailures").
    #[serde(rename_all = "camelCase")]
    Kinesis {
        batch_item_failures: [(); 0],
    },
    Firehose {
        records: Vec<Transformed<'e>>,
    },
}

/// A record's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transformed<'e> {
    pub(crate) record_id: &'e str,
    pub(crate) result: &'static str,
    pub(crate) data: &'e str,
}
