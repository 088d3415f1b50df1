//! Where a group is: the record that a restart goes on from.

use serde::{Deserialize, Serialize};

use crate::error::LogsError;

/// The format of the records that are written here.
const FORMAT: u32 = 1;

/// What a restart needs to know of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    format: u32,
    /// The group.
    pub(crate) group: String,
    /// Which of its streams: of others nothing was read.
    pub(crate) streams: String,
    /// The event time that reading began at, in milliseconds since the epoch.
    pub(crate) begun_ms: i64,
    /// The event time that reading goes on from, in milliseconds since the epoch.
    pub(crate) from_ms: i64,
}

impl Position {
    pub(crate) fn new(group: &str, streams: &str, begun_ms: i64, from_ms: i64) -> Self {
        Self { format: FORMAT, group: group.to_owned(), streams: streams.to_owned(), begun_ms, from_ms }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Numbers and text are always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(record: &[u8]) -> Result<Self, LogsError> {
        let position: Self =
            serde_json::from_slice(record).map_err(|error| LogsError::Position { why: error.to_string() })?;
        if position.format != FORMAT {
            let why = format!("its format is {}, this program knows {FORMAT}", position.format);
            return Err(LogsError::Position { why });
        }
        Ok(position)
    }
}

/// The group whose position a record is.
///
/// # Errors
/// Where it is no such record, or one of another version of this program.
pub fn group_of(position: &[u8]) -> Result<String, LogsError> {
    Position::decode(position).map(|position| position.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_was() {
        let position = Position::new("/aws/lambda/shop", "2026/", 1, 2);
        assert_eq!(Position::decode(&position.encode()).unwrap(), position);
        assert_eq!(group_of(&position.encode()).unwrap(), "/aws/lambda/shop");
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for record in
            [&b""[..], b"{}", b"nonsense", br#"{"format":2,"group":"g","streams":"","begun_ms":1,"from_ms":2}"#]
        {
            assert!(matches!(Position::decode(record), Err(LogsError::Position { .. })), "{record:?}");
        }
    }
}
