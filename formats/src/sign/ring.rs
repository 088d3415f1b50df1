//! A reader's keys: the text of a key file, whose lines' signatures they fit, and for which services each may sign.
//!
//! ```text
//! # NAME      SECRET                                                            SERVICES
//! 2026-11     8d0f3c2e9a7b465180d2b6f4c1e3a5978d0f3c2e9a7b465180d2b6f4c1e3a597  *
//! payments-1  51ab7e0c42d96f38b1e7a4c5d08f9263aa17ce5b90d4e8f27361b5c0de94f8a2  checkout, payments
//! ```
//!
//! One key a line; empty lines and those that begin with `#` are skipped. Errors name lines, never what stands in them: where columns are
//! swapped, any of them may be a secret.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

use super::{SecretError, SignedLine, SigningKey};
use crate::piece::Piece;
use crate::record::{Chunk, Meta, Section};

/// Most keys of a ring: a forged line costs one hash for each.
pub const MAX_KEYS: usize = 64;
/// Longest name of a key in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Instead of services: all of them.
const ALL: &str = "*";

/// Why a text is no key file. Reads well after the file's name and a colon.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// It holds no key.
    #[error(
        "there is no key in it; write a line for each: a name, its secret, and the services it may sign for (* for all)"
    )]
    Empty,
    /// It holds more than [`MAX_KEYS`].
    #[error("line {line}: there are more than {MAX_KEYS} keys; remove those that nobody signs with any more")]
    TooMany {
        /// The first line too many, from 1.
        line: usize,
    },
    /// A line has no secret or no services.
    #[error(
        "line {line}: write the key's name, its secret, and the services it may sign for, separated by commas (* for all)"
    )]
    Fields {
        /// The line, from 1.
        line: usize,
    },
    /// A name is none.
    #[error("line {line}: the key's name must be 1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 . _ -")]
    Name {
        /// The line, from 1.
        line: usize,
    },
    /// A secret is none.
    #[error("line {line}: {source}")]
    Secret {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: SecretError,
    },
    /// The list of services is none.
    #[error("line {line}: write either * or names of services separated by commas")]
    Services {
        /// The line, from 1.
        line: usize,
    },
    /// Two keys bear one name.
    #[error("line {line}: the key on line {first} has the same name; give each its own")]
    SameName {
        /// The later line, from 1.
        line: usize,
        /// The earlier line.
        first: usize,
    },
    /// Two keys have one secret.
    #[error("line {line}: the key on line {first} has the same secret; write one line with the services of both")]
    SameSecret {
        /// The later line, from 1.
        line: usize,
        /// The earlier line.
        first: usize,
    },
}

/// One key of a ring. It is remembered over restarts by its [name](KeyRing::name): a place in the file may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyIndex(usize);

/// The keys whose signatures a reader takes.
pub struct KeyRing {
    keys: Arc<[RingKey]>,
    /// The key that fitted last: lines of one emitter come in a row.
    last: AtomicUsize,
}

struct RingKey {
    name: Box<str>,
    key: SigningKey,
    /// `None`: all.
    services: Option<Box<[Box<str>]>>,
}

impl KeyRing {
    /// Reads a key file's text.
    ///
    /// # Errors
    /// [`KeyFileError`], which names the line.
    pub fn parse(text: &str) -> Result<KeyRing, KeyFileError> {
        let mut keys = Vec::new();
        let (mut names, mut secrets) = (HashMap::new(), HashMap::new());
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        for (line, text) in (1..).zip(lines).map(|(line, text)| (line, text.trim())) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if keys.len() == MAX_KEYS {
                return Err(KeyFileError::TooMany { line });
            }
            let mut fields = text.splitn(2, char::is_whitespace);
            let (name, rest) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default().trim_start());
            let (secret, services) = rest.split_once(char::is_whitespace).ok_or(KeyFileError::Fields { line })?;
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if name.len() > MAX_NAME_BYTES || !name.bytes().all(fits) {
                return Err(KeyFileError::Name { line });
            }
            let key = SigningKey::new(secret).map_err(|source| KeyFileError::Secret { line, source })?;
            let services = parse_services(services).ok_or(KeyFileError::Services { line })?;
            if let Some(first) = names.insert(name, line) {
                return Err(KeyFileError::SameName { line, first });
            }
            if let Some(first) = secrets.insert(secret, line) {
                return Err(KeyFileError::SameSecret { line, first });
            }
            keys.push(RingKey { name: name.into(), key, services });
        }
        if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(KeyRing { keys: keys.into(), last: 0.into() }) }
    }

    /// The key that signed the chunk; `None` where it is unsigned or no key's signature fits.
    pub fn check(&self, chunk: &Chunk) -> Option<KeyIndex> {
        let piece = chunk.piece.as_ref().map(Piece::bytes).unwrap_or_default();
        let line = SignedLine {
            id: &chunk.id,
            part: chunk.part.tag(),
            seq: chunk.seq.into(),
            of: chunk.of.map(u64::from),
            at: chunk.at,
            headf: fragment(chunk.head.as_ref())?,
            piece: &piece,
            tailf: fragment(chunk.tail.as_ref())?,
        };
        self.find_fitting(&line, &chunk.sig?)
    }

    /// The key that signed a process's counters; `None` where they are unsigned or no key's signature fits.
    pub fn check_meta(&self, meta: &Meta) -> Option<KeyIndex> {
        let line = SignedLine {
            id: &meta.id,
            part: "meta",
            seq: meta.seq?.into(),
            of: meta.of.map(u64::from),
            at: None,
            headf: fragment(meta.head.as_ref())?,
            piece: &[],
            tailf: b"",
        };
        self.find_fitting(&line, &meta.sig?)
    }

    fn find_fitting(&self, line: &SignedLine<'_>, signature: &[u8; super::SIGNATURE_BYTES]) -> Option<KeyIndex> {
        let last = self.last.load(Ordering::Relaxed);
        let others = (0..self.keys.len()).filter(|at| *at != last);
        let found = std::iter::once(last)
            .chain(others)
            .find(|at| self.keys.get(*at).is_some_and(|key| key.key.fits(line, signature)))?;
        if found != last {
            self.last.store(found, Ordering::Relaxed);
        }
        Some(KeyIndex(found))
    }

    /// Whether the key may sign for a service. What names no service any key may sign for: it is stored as nobody's.
    pub fn may_sign(&self, key: KeyIndex, service: Option<&str>) -> bool {
        self.keys.get(key.0).is_some_and(|key| match (&key.services, service) {
            (None, _) | (_, None) => true,
            (Some(services), Some(service)) => services.iter().any(|each| **each == *service),
        })
    }

    /// The key's name, which stays the same whatever else changes in the file.
    pub fn name(&self, key: KeyIndex) -> &str {
        self.keys.get(key.0).map_or("", |key| &key.name)
    }

    /// The key of this name, where the ring still has it.
    pub fn find(&self, name: &str) -> Option<KeyIndex> {
        self.keys.iter().position(|key| *key.name == *name).map(KeyIndex)
    }
}

impl Clone for KeyRing {
    fn clone(&self) -> Self {
        KeyRing { keys: Arc::clone(&self.keys), last: self.last.load(Ordering::Relaxed).into() }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.keys.iter().map(|key| (&key.name, key.services.as_deref()))).finish()
    }
}

/// The text of a signed fragment, empty where there is none; `None` for a whole object, which is never signed.
fn fragment(section: Option<&Section>) -> Option<&[u8]> {
    match section {
        None => Some(b""),
        Some(Section::Fragment(text)) => Some(text.as_bytes()),
        Some(Section::Whole(_)) => None,
    }
}

/// The services of a line: `Some(None)` for all of them, `None` where the list is none.
#[expect(clippy::option_option, reason = "a list that is none is not the list of all")]
fn parse_services(list: &str) -> Option<Option<Box<[Box<str>]>>> {
    if list.trim() == ALL {
        return Some(None);
    }
    let is_name = |name: &str| !name.is_empty() && name != ALL && !name.contains(char::is_control);
    let names = list.split(',').map(str::trim).map(|name| is_name(name).then(|| Box::from(name)));
    names.collect::<Option<Box<[_]>>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CaptureId;
    use crate::record::Part;

    const OLD: &str = "old-secret-old-secret-old-secret";
    const NEW: &str = "new-secret-new-secret-new-secret";

    fn ring() -> KeyRing {
        let text = format!("\u{feff}# keys\r\n\r\n 2026-10\t{OLD}  * \r\n2026-11 {NEW} checkout, point of sale\n");
        KeyRing::parse(&text).unwrap()
    }

    /// A chunk that the secret signed.
    fn signed(secret: &str) -> Chunk {
        let key = SigningKey::new(secret).unwrap();
        let mut chunk = Chunk {
            id: CaptureId::parse(b"0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4").unwrap(),
            part: Part::Request,
            seq: 0,
            head: Some(Section::Fragment("{}".into())),
            at: None,
            piece: Some(Piece::new(b"ping")),
            of: Some(1),
            tail: None,
            sig: None,
        };
        let line = SignedLine {
            id: &chunk.id,
            part: "req",
            seq: 0,
            of: Some(1),
            at: None,
            headf: b"{}",
            piece: b"ping",
            tailf: b"",
        };
        chunk.sig = Some(key.sign(&line));
        chunk
    }

    #[test]
    fn the_key_that_signed_is_found_whatever_fitted_last() {
        let ring = ring();
        for (secret, name) in [(NEW, "2026-11"), (OLD, "2026-10"), (OLD, "2026-10"), (NEW, "2026-11")] {
            let key = ring.check(&signed(secret)).unwrap();
            assert_eq!((ring.name(key), ring.find(name)), (name, Some(key)));
            assert_eq!(ring.clone().check(&signed(secret)), Some(key));
        }
        assert_eq!(ring.find("2026-12"), None);
    }

    #[test]
    fn what_no_key_signed_fits_none() {
        let ring = ring();
        assert_eq!(ring.check(&signed("another-secret-of-thirty-two-byt")), None);
        assert_eq!(ring.check(&Chunk { sig: None, ..signed(NEW) }), None);
        assert_eq!(ring.check(&Chunk { piece: Some(Piece::new(b"PING")), ..signed(NEW) }), None);
        assert_eq!(ring.check(&Chunk { head: Some(Section::Whole("{}".into())), ..signed(NEW) }), None);
    }

    #[test]
    fn a_key_signs_for_its_services_alone() {
        let ring = ring();
        let may = |name: &str, service: Option<&str>| ring.may_sign(ring.find(name).unwrap(), service);
        assert!(may("2026-10", Some("anything")) && may("2026-10", None));
        assert!(may("2026-11", Some("checkout")) && may("2026-11", Some("point of sale")) && may("2026-11", None));
        for service in ["Checkout", "", "*", "check", "checkout, point of sale"] {
            assert!(!may("2026-11", Some(service)), "{service}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_any_secret() {
        let keys = |count: usize| (0..count).map(|at| format!("k{at} {OLD}{at} *\n")).collect::<String>();
        for (text, said) in [
            (
                "# nothing\n\n".to_owned(),
                "there is no key in it; write a line for each: a name, its secret, and the services it may sign for (* for all)",
            ),
            (
                format!("\nname {OLD}"),
                "line 2: write the key's name, its secret, and the services it may sign for, separated by commas (* for all)",
            ),
            (
                "name".to_owned(),
                "line 1: write the key's name, its secret, and the services it may sign for, separated by commas (* for all)",
            ),
            (format!("na/me {OLD} *"), "line 1: the key's name must be 1 to 64 of A-Z a-z 0-9 . _ -"),
            (
                format!("{OLD} name *"),
                "line 1: the secret is 4 bytes long, and 32 are the least: take what `openssl rand -hex 32` prints",
            ),
            (
                format!("name {OLD}é *"),
                "line 1: the secret holds white space, or a character that is not printable ASCII",
            ),
            (format!("name {OLD} *, a"), "line 1: write either * or names of services separated by commas"),
            (format!("name {OLD} a,,b"), "line 1: write either * or names of services separated by commas"),
            (format!("a {OLD} *\n#\na {NEW} *"), "line 3: the key on line 1 has the same name; give each its own"),
            (
                format!("a {OLD} *\nb {OLD} x"),
                "line 2: the key on line 1 has the same secret; write one line with the services of both",
            ),
            (keys(65), "line 65: there are more than 64 keys; remove those that nobody signs with any more"),
        ] {
            let error = KeyRing::parse(&text).unwrap_err();
            assert_eq!(error.to_string(), said);
            assert!(!format!("{error:?}").contains("secret-old"));
        }
        assert!(KeyRing::parse(&keys(64)).is_ok());
        let shown = format!("{:?}", ring());
        assert!(shown.contains("2026-11") && shown.contains("point of sale") && !shown.contains("secret"), "{shown}");
    }
}
