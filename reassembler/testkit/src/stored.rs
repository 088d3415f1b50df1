//! Reading back what was stored, from the files alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::Value;

/// Every file under a folder, the program's own state left out.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if !hidden {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Objects by key.
pub fn objects(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
    files(root).into_iter().map(read).collect()
}

/// Every exchange under a destination's root. Files that vanish or are half written while a run goes on are left to the next look.
pub fn exchanges(root: &Path) -> Vec<Value> {
    let mut exchanges = Vec::new();
    for path in files(root) {
        let name = path.to_string_lossy().into_owned();
        let mut text = String::new();
        let read = match File::open(&path) {
            Ok(file) if name.ends_with(".ndjson.gz") => {
                flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text)
            }
            Ok(file) if name.ends_with(".ndjson.zst") => zstd::Decoder::new(file).unwrap().read_to_string(&mut text),
            Ok(mut file) if name.ends_with(".ndjson") => file.read_to_string(&mut text),
            _ => continue,
        };
        if read.is_ok() {
            exchanges.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
    }
    exchanges
}

/// A stored body's bytes, from wherever they are.
pub fn body(root: &Path, body: &Value) -> Vec<u8> {
    let bytes = if let Some(text) = body["text"].as_str() {
        text.as_bytes().to_vec()
    } else if let Some(b64) = body["b64"].as_str() {
        base64::engine::general_purpose::STANDARD.decode(b64).unwrap()
    } else {
        fs::read(root.join(body["ref"].as_str().unwrap())).unwrap()
    };
    assert_eq!(body["len"].as_u64(), Some(bytes.len() as u64));
    bytes
}
