//! Whose lines are taken where keys are set: each line must be signed, and each capture by a key that may sign for its service
//! (capture-line specification, L-8).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reassemble_assembler::Assembled;
use reassemble_formats::exchange::Exchange;
use reassemble_formats::head::{Place, sort_out};
use reassemble_formats::sign::{KeyIndex, KeyRing};
use reassemble_formats::{Chunk, Meta, Part};

use crate::config::SigningConfig;

/// The keys, and what they may sign.
pub(crate) struct Signatures {
    keys: KeyRing,
    max_age: Option<Duration>,
    /// Names of keys that signed something, shared by the captures that bear them.
    names: HashMap<KeyIndex, Arc<str>>,
}

impl Signatures {
    pub(crate) fn new(config: SigningConfig) -> Self {
        Signatures { keys: config.keys, max_age: config.max_age, names: HashMap::new() }
    }

    /// The name of the key that signed a chunk; nothing where none did.
    pub(crate) fn signer(&mut self, chunk: &Chunk) -> Option<Arc<str>> {
        let key = self.keys.check(chunk)?;
        let name = self.names.entry(key).or_insert_with(|| Arc::from(self.keys.name(key)));
        Some(name.clone())
    }

    /// Whether a process's counters are signed, by a key that may sign for their service.
    pub(crate) fn takes_meta(&self, meta: &Meta) -> bool {
        let Some(key) = self.keys.check_meta(meta) else { return false };
        let head = sort_out(Part::Request, Place::Head, meta.text());
        self.keys.may_sign(key, head.and_then(|head| head.known.service).as_deref())
    }

    /// Whether a capture may be stored: its key may sign for its service, and it is not too old.
    pub(crate) fn takes(&self, assembled: &Assembled, exchange: &Exchange<'_>, ts_us: i64) -> bool {
        let key = assembled.key.as_deref().and_then(|name| self.keys.find(name));
        let may_sign = key.is_some_and(|key| self.keys.may_sign(key, exchange.service.as_deref()));
        may_sign && self.is_young(assembled.read_at_us, exchange, ts_us)
    }

    fn is_young(&self, read_at_us: i64, exchange: &Exchange<'_>, ts_us: i64) -> bool {
        let Some(max_age) = self.max_age else { return true };
        let age_us = read_at_us.saturating_sub(ts_us);
        let oldest_us = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
        age_us <= oldest_us && !exchange.problems.iter().any(|problem| problem == "ts_unusable")
    }
}

#[cfg(test)]
mod tests {
    use reassemble_assembler::{Arrival, Assembler, Kept, Known};
    use reassemble_formats::sign::SigningKey;
    use reassemble_formats::{CaptureId, Section};

    use super::*;

    struct Nothing;

    impl Kept for Nothing {
        fn lookup(&self, _id: &CaptureId) -> Known {
            Known::Nothing
        }

        fn capture(&self, _number: u64) -> Option<Vec<u8>> {
            None
        }

        fn chunk(&self, _number: u64, _part: Part, _seq: u32) -> Option<Chunk> {
            None
        }
    }

    /// A one-way capture of `head`, read at 2026-01-01T00:00:00Z under a key.
    fn assembled(head: &str, key: &str) -> Assembled {
        let chunk = Chunk {
            id: CaptureId::parse(b"a").unwrap(),
            part: Part::Request,
            seq: 0,
            head: Some(Section::Fragment(head.into())),
            at: None,
            piece: None,
            of: Some(1),
            tail: None,
            sig: None,
        };
        let arrival =
            Arrival { source: Arc::from("log"), read_at_us: 1_767_225_600_000_000, key: Some(Arc::from(key)) };
        let mut assembler = Assembler::new(Duration::from_secs(60));
        *assembler.push(chunk, &arrival, Duration::ZERO, &Nothing).complete.unwrap()
    }

    fn is_taken(signatures: &Signatures, assembled: &Assembled) -> bool {
        let (exchange, ts_us) = assembled.exchange();
        signatures.takes(assembled, &exchange, ts_us)
    }

    fn signatures(max_age: Option<Duration>) -> Signatures {
        let secret = |n: u32| format!("{n:032}");
        let text = format!("all {} *\none {} shop, cart\n", secret(1), secret(2));
        assert!(SigningKey::new(&secret(1)).is_ok());
        Signatures::new(SigningConfig { keys: KeyRing::parse(&text).unwrap(), max_age })
    }

    #[test]
    fn a_key_signs_for_its_services_and_for_nobodys() {
        let takes = |key: &str, service: &str| {
            let head = format!(r#"{{"oneway":true,"ts":"2026-01-01T00:00:00Z"{service}}}"#);
            is_taken(&signatures(None), &assembled(&head, key))
        };
        assert!(takes("all", r#","service":"bank""#) && takes("one", r#","service":"cart""#) && takes("one", ""));
        assert!(!takes("one", r#","service":"bank""#) && !takes("gone", r#","service":"shop""#));
    }

    #[test]
    fn what_is_too_old_or_of_no_usable_time_is_not_taken_where_an_age_is_set() {
        let takes = |max_age: Option<u64>, ts: &str| {
            let head = format!(r#"{{"oneway":true,"ts":"{ts}"}}"#);
            is_taken(&signatures(max_age.map(Duration::from_secs)), &assembled(&head, "all"))
        };
        let hour_ago = "2025-12-31T23:00:00Z";
        assert!(takes(Some(3600), hour_ago) && !takes(Some(3599), hour_ago) && takes(None, hour_ago));
        assert!(takes(Some(1), "2026-01-01T00:00:05Z"), "a clock that is ahead is not old");
        assert!(!takes(Some(3600), "never") && takes(None, "never"));
    }
}
