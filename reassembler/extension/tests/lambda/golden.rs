//! What sample functions printed with the emitters of four languages (`samples/logs/lambda`), through the extension: stored is what each was asked
//! and answered, as its manifest has it, however Lambda hands the stream over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use reassemble_testkit::chance::Chance;
use reassemble_testkit::stored;
use serde_json::{Map, Value, json};

use crate::scene::{LIMIT, Scene};

fn streams() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs/lambda")
}

/// What has to come of each stream.
fn manifest() -> Map<String, Value> {
    serde_json::from_slice(&fs::read(streams().join("expected.json")).unwrap()).unwrap()
}

/// An event of a stream, as it is written and as it is read.
struct Event {
    text: String,
    value: Value,
}

/// A stream in the order in which its environment saw it.
fn events(name: &str) -> Vec<Event> {
    let text = fs::read_to_string(streams().join(name)).unwrap();
    text.lines().map(|line| Event { text: line.to_owned(), value: serde_json::from_str(line).unwrap() }).collect()
}

/// The ids of the captures in a stream.
fn ids(events: &[Event]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for record in events.iter().map(|event| &event.value["record"]) {
        let text = record.as_str().map_or_else(|| record.to_string(), str::to_owned);
        ids.extend(text.split(r#"{"cap1":""#).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    ids
}

/// All of an exchange but its id and its times, in the order of these, as `samples/lambda/check.py` sums it up.
fn summary(mut exchanges: Vec<Value>, root: &Path) -> Value {
    exchanges.sort_by_key(|exchange| exchange["ts"].as_str().unwrap().to_owned());
    let number = |id: &Value| exchanges.iter().position(|exchange| exchange["id"] == *id);
    let part = |part: &Value| {
        let bytes = part.get("body").filter(|body| !body.is_null()).map_or(Vec::new(), |body| stored::body(root, body));
        json!({"len": bytes.len(), "crc": format!("{:08x}", crc32fast::hash(&bytes))})
    };
    let one = |exchange: &Value| {
        json!({
            "service": exchange["service"], "dir": exchange["dir"], "proto": exchange["proto"],
            "method": exchange["request"]["method"], "url": exchange["request"]["url"],
            "status": exchange["response"]["status"], "error": exchange["error"], "parent": number(&exchange["parent"]),
            "complete": exchange["complete"], "problems": exchange["problems"],
            "request": part(&exchange["request"]), "response": part(&exchange["response"]),
        })
    };
    exchanges.iter().map(one).collect()
}

/// Plays a stream, each invocation in its time, its events handed over by `post`; then the environment ends.
fn play(name: &str, expected: &Value, mut post: impl FnMut(&Scene, &[Event])) -> String {
    let (mut scene, events) = (Scene::start(), events(name));
    let mut rest = &events[..];
    let is = |event: &Event, kind: &str| event.value["type"] == kind;
    while let Some(start) = rest.iter().position(|event| is(event, "platform.start")) {
        // The report comes with what is next.
        let end = rest.iter().position(|event| is(event, "platform.runtimeDone")).unwrap();
        scene.platform.idle();
        scene.platform.invoke(rest[start].value["record"]["requestId"].as_str().unwrap(), LIMIT);
        post(&scene, &rest[..=end]);
        rest = &rest[end + 1..];
    }
    scene.platform.idle();
    post(&scene, rest);
    scene.shut_down("timeout");
    let words = scene.extension.words();
    assert_eq!(scene.platform.overdue(), 0, "{name}: {words}");
    let exchanges = scene.exchanges();
    let found: Vec<_> = exchanges.iter().map(|exchange| exchange["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found.len(), found.iter().collect::<BTreeSet<_>>().len(), "{name}: one is stored twice: {found:?}");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), ids(&events), "{name}: {words}");
    let found = summary(exchanges, &scene.root());
    for (found, expected) in found.as_array().unwrap().iter().zip(expected.as_array().unwrap()) {
        assert_eq!(found, expected, "{name}: {words}");
    }
    assert_eq!(found.as_array().unwrap().len(), expected.as_array().unwrap().len(), "{name}: {words}");
    words
}

fn joined(events: &[Event]) -> String {
    let texts: Vec<_> = events.iter().map(|event| event.text.as_str()).collect();
    format!("[{}]", texts.join(","))
}

#[test]
fn streams_of_every_emitter_give_what_their_handlers_were_asked_and_answered() {
    let manifest = manifest();
    let names = fs::read_dir(streams()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<_> = names.filter(|name| name.ends_with(".ndjson")).collect();
    assert_eq!(names, manifest.keys().cloned().collect::<BTreeSet<_>>());
    for (name, expected) in &manifest {
        let words = play(name, expected, |scene, events| assert_eq!(scene.platform.post(joined(events)), 200));
        for nothing in ["records_bad=0", "records_unstored=0", "problems=\"\""] {
            assert!(words.contains(nothing), "{name}: {words}");
        }
    }
}

/// What Lambda may make of an invocation's events: POSTs of any number of them, records cut over two or more POSTs, and POSTs again.
fn rough(events: &[Event], chance: &mut Chance) -> Vec<Vec<u8>> {
    let (mut posts, mut post) = (Vec::new(), b"[".to_vec());
    for event in events {
        if post.len() > 1 {
            if chance.below(3) == 0 {
                post.push(b']');
                posts.push(std::mem::replace(&mut post, b"[".to_vec()));
            } else {
                post.push(b',');
            }
        }
        let text = event.text.as_bytes();
        // Where the record's value begins: what is before stands in front of every piece of it.
        let value = event.text.find("\"record\":").unwrap() + "\"record\":".len();
        let mut at = value;
        post.extend_from_slice(&text[..value]);
        while event.value["type"] == "function" && text.len() - at > 4 && chance.below(4) == 0 {
            let cut = at + 1 + chance.below(text.len() - at - 3);
            post.extend_from_slice(&text[at..cut]);
            posts.push(std::mem::replace(&mut post, b"[".to_vec()));
            post.extend_from_slice(&text[..value]);
            at = cut;
        }
        post.extend_from_slice(&text[at..]);
    }
    post.push(b']');
    posts.push(post);
    let mut again = Vec::new();
    for post in posts {
        let times = 1 + usize::from(chance.below(3) == 0);
        again.extend(std::iter::repeat_n(post, times));
    }
    again
}

#[test]
fn streams_that_are_cut_anywhere_and_repeated_give_the_same() {
    let (manifest, mut chance) = (manifest(), Chance::new(Chance::seed()));
    for (name, expected) in &manifest {
        play(name, expected, |scene, events| {
            for post in rough(events, &mut chance) {
                assert_eq!(scene.platform.post(post), 200);
            }
        });
    }
}
