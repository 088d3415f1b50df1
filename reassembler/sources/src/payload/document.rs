//! One document, read key by key: messages go from the JSON to the lines with nothing between, and what stands before damage is kept.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

/// What a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "DATA_MESSAGE")]
    Data,
    /// CloudWatch Logs tries whether it can deliver.
    #[serde(rename = "CONTROL_MESSAGE")]
    Control,
}

/// What was read of a document.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) kind: Option<Kind>,
    pub(super) log_group: String,
    pub(super) log_stream: String,
    /// Messages with their newlines.
    pub(super) lines: Vec<u8>,
    pub(super) events: u64,
    /// The time of the first event.
    pub(super) first_ms: Option<i64>,
    /// Whether it was read to its end.
    pub(super) whole: bool,
    has_owner: bool,
    has_group: bool,
    has_stream: bool,
    has_events: bool,
}

impl Gathered {
    /// Whether it says all that a document says beside its events.
    pub(super) fn is_named(&self) -> bool {
        self.kind.is_some() && self.has_owner && self.has_group && self.has_stream
    }
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Whole,
    /// The bytes ended first.
    Cut,
    /// It is no JSON.
    Damaged,
    /// It is JSON, and no document.
    Other,
}

/// Reads the document that `bytes` begin with; gives where it ended.
pub(super) fn parse(bytes: &[u8], gathered: &mut Gathered) -> (Parsed, usize) {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = match Document(gathered).deserialize(&mut reader) {
        Ok(()) => {
            gathered.whole = true;
            Parsed::Whole
        }
        Err(error) => match error.classify() {
            Category::Eof => Parsed::Cut,
            Category::Syntax | Category::Io => Parsed::Damaged,
            Category::Data => Parsed::Other,
        },
    };
    (parsed, reader.into_iter::<IgnoredAny>().byte_offset())
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    MessageType,
    Owner,
    LogGroup,
    LogStream,
    LogEvents,
    #[serde(other)]
    Unknown,
}

struct Document<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document of a subscription")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let gathered = self.0;
        while let Some(key) = map.next_key()? {
            match key {
                Key::MessageType => gathered.kind = Some(map.next_value()?),
                Key::Owner => {
                    map.next_value_seed(Text(&mut Vec::new()))?;
                    gathered.has_owner = true;
                }
                Key::LogGroup => {
                    gathered.log_group = name(&mut map)?;
                    gathered.has_group = true;
                }
                Key::LogStream => {
                    gathered.log_stream = name(&mut map)?;
                    gathered.has_stream = true;
                }
                Key::LogEvents => {
                    map.next_value_seed(Events(gathered))?;
                    gathered.has_events = true;
                }
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if gathered.is_named() && gathered.has_events { Ok(()) } else { Err(A::Error::custom("a key is missing")) }
    }
}

fn name<'de, A: MapAccess<'de>>(map: &mut A) -> Result<String, A::Error> {
    let mut bytes = Vec::new();
    map.next_value_seed(Text(&mut bytes))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Events<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for Events<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("events of a log")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Event(self.0))?.is_some() {}
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum EventKey {
    Timestamp,
    Message,
    #[serde(other)]
    Unknown,
}

struct Event<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for Event<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Event<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a log")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Gathered { lines, events, first_ms, .. } = self.0;
        let mut has_message = false;
        while let Some(key) = map.next_key()? {
            match key {
                EventKey::Message => {
                    map.next_value_seed(Text(lines))?;
                    if !lines.ends_with(b"\n") {
                        lines.push(b'\n');
                    }
                    *events += 1;
                    has_message = true;
                }
                EventKey::Timestamp => {
                    let at: i64 = map.next_value()?;
                    first_ms.get_or_insert(at);
                }
                EventKey::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_message { Ok(()) } else { Err(A::Error::missing_field("message")) }
    }
}

/// A string, taken as bytes: what an app printed need not be sound Unicode once its escapes are undone.
struct Text<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
