//! What CloudWatch Logs hands on, as files: every form gives the exchanges of the log as it was printed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::tempdir;

use crate::programs::{reassemble, run};
use crate::stored;

/// The folder of sample logs.
pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs")
}

/// What is stored, by id, without what tells of the way there.
pub(crate) fn by_id(root: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for mut exchange in stored::exchanges(root) {
        let id = exchange["id"].as_str().unwrap().to_owned();
        exchange.as_object_mut().unwrap().remove("source");
        assert!(found.insert(id.clone(), exchange).is_none(), "{id} is stored twice");
    }
    found
}

/// What the log as it was printed gives.
pub(crate) fn expected() -> BTreeMap<String, Value> {
    let dir = tempdir().unwrap();
    let (code, _, said) = store(&samples().join("shop.plain.log"), dir.path());
    assert_eq!(code, Some(0), "{said}");
    let expected = by_id(dir.path());
    assert_eq!(expected.len(), 49);
    expected
}

fn store(log: &Path, to: &Path) -> (Option<i32>, Value, String) {
    let mut command = reassemble(["--to"]);
    command.arg(to).arg(log);
    run(command)
}

#[test]
fn objects_of_firehose_and_of_an_export_give_the_exchanges_of_the_log() {
    let expected = expected();
    for name in ["firehose.gz", "export.gz"] {
        let dir = tempdir().unwrap();
        let (code, summary, said) = store(&samples().join("cloudwatch").join(name), dir.path());
        assert_eq!(code, Some(0), "{name}: {said}");
        assert!(by_id(dir.path()) == expected, "{name}");
        assert_eq!(summary["run"]["records"]["bad"], serde_json::json!({}), "{name}");
        assert_eq!(said.contains("control_messages=1"), name == "firehose.gz", "{said}");
    }
}

#[test]
fn a_damaged_document_is_told_with_its_place_and_costs_its_own_lines_alone() {
    let dir = tempdir().unwrap();
    let mut payload = String::new();
    let object = fs::read(samples().join("cloudwatch/firehose.gz")).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&object[..]), &mut payload).unwrap();
    // The last document loses its end, and with it its last events.
    let last = payload.rfind("{\"messageType\"").unwrap();
    let cut = last + payload[last..].match_indices("{\"id\"").nth(1).unwrap().0;
    let file = dir.path().join("payload.json");
    fs::write(&file, format!("{}{}", &payload[..cut], &payload[..last])).unwrap();
    let (code, summary, said) = store(&file, &dir.path().join("captures"));
    assert_eq!(code, Some(1), "{said}");
    let place = format!("at byte {last} of what it holds: a document cannot be read to its end");
    assert!(said.contains(&place), "{said}");
    assert_eq!(summary["run"]["input_failures"], 1);
    let lost =
        expected().len() - by_id(&dir.path().join("captures")).values().filter(|one| one["complete"] == true).count();
    assert!((1..20).contains(&lost), "{lost} are not complete");
    assert!(
        summary["run"]["records"]["repeated"].as_u64().unwrap() > 50,
        "what follows the damage was read: {summary}"
    );
}
