//! What was stored, read back and held against a load.

use std::collections::HashMap;
use std::path::Path;

pub(crate) use reassemble_testkit::stored::{body, exchanges, files, objects};
use serde_json::Value;

use crate::load::{Exchanged, Load, Passed};

fn test_id(exchange: &Value) -> Option<String> {
    let headers = exchange["request"]["headers"].as_array()?;
    let header =
        headers.iter().find(|header| header[0].as_str().is_some_and(|name| name.eq_ignore_ascii_case("x-test-id")))?;
    header[1].as_str().map(str::to_owned)
}

/// What lies under a destination's root.
pub(crate) struct Stored {
    /// By `x-test-id`, each as often as it is stored.
    pub(crate) tested: HashMap<String, Vec<Value>>,
    /// Requests that the shop made.
    pub(crate) outbound: usize,
    /// Requests that the shop got from itself.
    pub(crate) supplies: usize,
    pub(crate) incomplete: usize,
    pub(crate) all: usize,
}

pub(crate) fn read(root: &Path) -> Stored {
    let mut stored = Stored { tested: HashMap::new(), outbound: 0, supplies: 0, incomplete: 0, all: 0 };
    for exchange in exchanges(root) {
        stored.all += 1;
        stored.incomplete += usize::from(exchange["complete"] != true);
        match test_id(&exchange) {
            Some(id) => stored.tested.entry(id).or_default().push(exchange),
            None if exchange["dir"] == "out" => stored.outbound += 1,
            None => stored.supplies += 1,
        }
    }
    stored
}

/// Every request of a load is stored, complete, once, with its bodies byte for byte; and every request that the shop itself made.
pub(crate) fn assert_holds(root: &Path, load: &Load) {
    let stored = read(root);
    let missing: Vec<_> = load.exchanges.keys().filter(|id| !stored.tested.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), load.exchanges.len());
    assert_eq!(stored.incomplete, 0);
    assert_eq!(stored.tested.len(), load.exchanges.len());
    for (id, exchanges) in &stored.tested {
        assert_eq!(exchanges.len(), 1, "{id} is stored {} times", exchanges.len());
        assert_eq!(&exchanged(root, &exchanges[0]), &load.exchanges[id], "{id}");
        assert_eq!(exchanges[0]["problems"], Value::Array(Vec::new()), "{id}");
    }
    assert_eq!((stored.outbound, stored.supplies), (load.outbound, load.outbound));
}

/// A stored exchange as the load generator remembers it.
pub(crate) fn exchanged(root: &Path, exchange: &Value) -> Exchanged {
    Exchanged {
        request: Passed::of(&body(root, &exchange["request"]["body"])),
        response: Passed::of(&body(root, &exchange["response"]["body"])),
        status: u16::try_from(exchange["response"]["status"].as_u64().unwrap()).unwrap(),
    }
}
