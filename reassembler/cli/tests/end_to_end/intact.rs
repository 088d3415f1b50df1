//! The check that a destination holds what was logged: each exchange once and whole, and nothing else.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use reassemble_formats::layout;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::stored;
use crate::written::Exchanges;

/// Every exchange is stored complete, once, with its bodies byte for byte; every file is a batch or a body under the name that
/// its bytes give it, and every body belongs to an exchange.
pub(crate) fn assert_intact(root: &Path, expected: &Exchanges) {
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    for exchange in stored::exchanges(root) {
        found.entry(exchange["id"].as_str().unwrap().to_owned()).or_default().push(exchange);
    }
    let missing: Vec<_> = expected.keys().filter(|id| !found.contains_key(*id)).collect();
    let twice: Vec<_> = found.iter().filter(|(_, all)| all.len() > 1).map(|(id, all)| (id, all.len())).collect();
    let unknown: Vec<_> = found.keys().filter(|id| !expected.contains_key(*id)).collect();
    assert!(
        missing.is_empty() && twice.is_empty() && unknown.is_empty(),
        "of {}: {} missing {missing:.3?}, {} more than once {twice:.3?}, {} unknown {unknown:.3?}",
        expected.len(),
        missing.len(),
        twice.len(),
        unknown.len()
    );
    let mut bodies = HashSet::new();
    for (id, exchange) in found.iter().map(|(id, all)| (id, &all[0])) {
        assert_eq!((&exchange["complete"], &exchange["problems"]), (&true.into(), &Value::Array(Vec::new())), "{id}");
        assert_eq!(&stored::exchanged(root, exchange), &expected[id], "{id}");
        for part in ["request", "response"] {
            bodies.extend(exchange[part]["body"]["ref"].as_str().map(str::to_owned));
        }
    }
    assert_names_fit(root, &bodies);
}

/// Every file under a root is a batch or one of these bodies, and its name is made of its bytes.
fn assert_names_fit(root: &Path, bodies: &HashSet<String>) {
    let mut unseen = bodies.clone();
    for path in stored::files(root) {
        let key = path.strip_prefix(root).unwrap().to_str().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        if name.contains(".ndjson") {
            let (_, rest) = name.split_once('-').unwrap();
            assert_eq!(rest.split('.').next().unwrap(), layout::hex(&blake3::hash(&bytes).as_bytes()[..16]), "{key}");
        } else {
            assert_eq!(name, layout::body_name(&Sha256::digest(&bytes).into()), "{key}");
            assert!(unseen.remove(key), "no exchange refers to {key}");
        }
    }
    assert!(unseen.is_empty(), "{unseen:?}");
}

/// Nothing is left of uploads that were cut short: no hidden file anywhere but in the program's own state.
pub(crate) fn assert_no_leftovers(root: &Path) {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().as_encoded_bytes().starts_with(b".");
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if hidden {
                assert_eq!(path, root.join(".reassemble"), "a leftover");
            }
        }
    }
}

/// The spool of a state directory is empty: all of it was stored and removed.
pub(crate) fn assert_drained(state: &Path) {
    let left: Vec<_> = fs::read_dir(state.join("spool")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What lies under a root: each key with its bytes' hash.
pub(crate) fn tree(root: &Path) -> Vec<(String, String)> {
    let entry = |path: &std::path::PathBuf| {
        let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        (key, layout::hex(&Sha256::digest(fs::read(path).unwrap())))
    };
    stored::files(root).iter().map(entry).collect()
}
