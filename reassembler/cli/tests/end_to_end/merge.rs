//! `reassemble merge`: a log whose parts several readers have read, each for itself and without decoding, or that was delivered in parts that overlap;
//! once merged, the destination holds what one reader of the whole log stores.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use base64::Engine as _;
use reassemble_testkit::chance::Chance;
use reassemble_testkit::s3::S3;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::programs::{reassemble, run};
use crate::stored;
use crate::written::Captures;

/// Readers of a log, each of which gets runs of its lines.
const READERS: usize = 4;

/// Deliveries of a log, and half as many that come again.
const DELIVERIES: usize = 8;

/// A log, and the parts of it that readers get.
struct Scene {
    dir: TempDir,
    parts: Vec<PathBuf>,
}

impl Scene {
    /// Captures of which most lines go to one reader alone, some to two, and now and then one to nobody. Of a capture that one reader has whole no
    /// other has anything.
    fn new(seed: u64, bytes: usize) -> Scene {
        let dir = tempdir().unwrap();
        let (mut chance, mut captures) = (Chance::new(!seed), Captures::new(seed, 300_000));
        let (mut lines, mut reader, mut written) = (Vec::new(), 0, 0);
        while let Some(line) = captures.line(written < bytes) {
            written += line.len();
            if chance.below(9) == 0 {
                reader = chance.below(READERS);
            }
            let has_head = line.windows(7).any(|bytes| bytes == b"\"head\":");
            if chance.below(60) == 0 && !has_head {
                continue;
            }
            let mut readers = vec![reader];
            readers.extend((chance.below(20) == 0).then_some((reader + 1) % READERS));
            let id = line.split(|byte| *byte == b'"').nth(3).unwrap().to_vec();
            lines.push((id, line, readers));
        }
        let mut by_id: HashMap<&[u8], (usize, [usize; READERS])> = HashMap::new();
        for (id, _, readers) in &lines {
            let (all, each) = by_id.entry(id).or_default();
            *all += 1;
            readers.iter().for_each(|reader| each[*reader] += 1);
        }
        let (mut whole, mut parts) = (Vec::new(), vec![Vec::new(); READERS]);
        for (id, line, readers) in &lines {
            let (all, each) = &by_id[id.as_slice()];
            let alone = (0..READERS).find(|reader| each[*reader] == *all);
            whole.extend_from_slice(line);
            for reader in readers.iter().filter(|reader| alone.is_none_or(|alone| alone == **reader)) {
                parts[*reader].extend_from_slice(line);
            }
        }
        fs::write(dir.path().join("whole.log"), whole).unwrap();
        let write = |(reader, part): (usize, Vec<u8>)| {
            let path = dir.path().join(format!("part-{reader}.log"));
            fs::write(&path, part).unwrap();
            path
        };
        let parts = parts.into_iter().enumerate().map(write).collect();
        Scene { dir, parts }
    }

    /// Deliveries of a log, in any order, that overlap, and of which some come again, whole or in part. Now and then a line is in none.
    fn delivered_again(seed: u64, bytes: usize) -> Scene {
        let dir = tempdir().unwrap();
        let (mut chance, mut captures) = (Chance::new(!seed), Captures::new(seed, 300_000));
        let (mut lines, mut written) = (Vec::new(), 0);
        while let Some(line) = captures.line(written < bytes) {
            written += line.len();
            let has_head = line.windows(7).any(|bytes| bytes == b"\"head\":");
            if has_head || chance.below(60) > 0 {
                lines.push(line);
            }
        }
        fs::write(dir.path().join("whole.log"), lines.concat()).unwrap();
        let mut deliveries: Vec<_> = (0..DELIVERIES)
            .map(|n| {
                let overlap = chance.below(lines.len() / DELIVERIES);
                (lines.len() * n / DELIVERIES).saturating_sub(overlap)..lines.len() * (n + 1) / DELIVERIES
            })
            .collect();
        for _ in 0..DELIVERIES / 2 {
            let begin = chance.below(lines.len());
            deliveries.push(begin..lines.len().min(begin + chance.below(lines.len() / DELIVERIES)));
        }
        for n in (1..deliveries.len()).rev() {
            deliveries.swap(n, chance.below(n + 1));
        }
        let write = |(n, range): (usize, std::ops::Range<usize>)| {
            let path = dir.path().join(format!("delivery-{n}.log"));
            fs::write(&path, lines[range].concat()).unwrap();
            path
        };
        let parts = deliveries.into_iter().enumerate().map(write).collect();
        Scene { dir, parts }
    }

    fn command(&self, to: &str, state: &str, configure: &dyn Fn(&mut Command)) -> Command {
        let mut command =
            reassemble(["--no-decode", "--no-progress", "--inline-body", "64KiB", "--batch-bytes", "300KiB"]);
        command.args(["--log-level", "warn", "--to", to, "--state"]).arg(self.dir.path().join(state));
        configure(&mut command);
        command
    }

    /// Has the whole log read by one reader, into a directory; gives what it stores.
    fn whole(&self) -> BTreeMap<String, Value> {
        let root = self.dir.path().join("whole");
        let mut command = self.command(root.to_str().unwrap(), "state-whole", &|_| ());
        command.arg(self.dir.path().join("whole.log"));
        let (code, _, said) = run(command);
        assert_eq!(code, Some(0), "{said}");
        let whole = by_id(&root);
        assert!(whole.len() > 100, "{}", whole.len());
        whole
    }

    /// Has each part read by a reader of its own, some in two deliveries.
    fn read_in_parts(&self, to: &str, configure: &dyn Fn(&mut Command)) {
        for (reader, part) in self.parts.iter().enumerate() {
            let kind = ["gzip", "zstd", "none", "gzip"][reader % 4];
            let mut command = self.command(to, &format!("state-{reader}"), configure);
            let mut child = command.args(["--compression", kind, "-"]).stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(&fs::read(part).unwrap()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    fn merge(&self, to: &str, configure: &dyn Fn(&mut Command)) -> Command {
        let mut command = reassemble(["merge", to, "--json", "--inline-body", "64KiB", "--batch-bytes", "300KiB"]);
        command.args(["--log-level", "warn", "--no-decode", "--commit-interval", "20ms"]);
        command.arg("--state").arg(self.dir.path().join("state-merge"));
        configure(&mut command);
        command
    }
}

fn counts(mut command: Command) -> Value {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is stored, by id, each once, apart from who read it and how its incompleteness was seen.
fn by_id(root: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for mut exchange in stored::exchanges(root) {
        for part in ["request", "response"] {
            if exchange[part].is_object() {
                // A body of its own lies beside the batch, under the same name.
                stored::body(root, &exchange[part]["body"]);
            }
        }
        exchange.as_object_mut().unwrap().shift_remove("source");
        let id = exchange["id"].as_str().unwrap().to_owned();
        assert!(found.insert(id.clone(), exchange).is_none(), "{id} is stored twice");
    }
    found
}

fn assert_same(got: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    let differ: Vec<_> = expected.iter().filter(|(id, exchange)| got.get(*id) != Some(exchange)).collect();
    let unknown: Vec<_> = got.keys().filter(|id| !expected.contains_key(*id)).collect();
    let first = differ.first().map(|(id, exchange)| (exchange.to_string(), got.get(*id).map(Value::to_string)));
    assert!(
        differ.is_empty() && unknown.is_empty(),
        "{} of {} differ, {unknown:?} are unknown, {first:.2000?}",
        differ.len(),
        expected.len()
    );
}

/// What a merge tells that changes no object.
fn counts_unchanged(root: &Path, merge: Command) -> Value {
    let before = stored::files(root);
    let told = counts(merge);
    assert_eq!(stored::files(root), before);
    told
}

/// What a merge would do.
fn dry_run(root: &Path, mut merge: Command) -> Value {
    merge.arg("--dry-run");
    counts_unchanged(root, merge)
}

fn check(scene: &Scene, to: &str, root: &Path, configure: &dyn Fn(&mut Command)) {
    let whole = scene.whole();
    scene.read_in_parts(to, configure);

    let counted = dry_run(root, scene.merge(to, configure));
    assert!(counted["captures"].as_u64().unwrap() > 50, "{counted}");

    let merged = counts(scene.merge(to, configure));
    assert_eq!((&merged["captures"], &merged["refused"]), (&counted["captures"], &serde_json::json!({})), "{merged}");
    assert!(merged["completed"].as_u64().unwrap() > 50 && merged["still_incomplete"].as_u64().unwrap() > 0, "{merged}");
    assert_same(&by_id(root), &whole);

    let again = counts_unchanged(root, scene.merge(to, configure));
    assert_eq!(
        (&again["captures"], &again["objects_written"], &again["objects_deleted"]),
        (&0.into(), &0.into(), &0.into()),
        "{again}"
    );
}

#[test]
fn pieces_in_a_directory_are_joined_to_what_one_reader_stores() {
    let scene = Scene::new(Chance::seed(), 3_000_000);
    let root = scene.dir.path().join("captures");
    check(&scene, root.to_str().unwrap(), &root, &|_| ());
}

#[test]
fn pieces_in_s3_are_joined_to_what_one_reader_stores() {
    let s3 = S3::start();
    let scene = Scene::new(!Chance::seed(), 3_000_000);
    let root = s3.bucket().join("some/captures");
    check(&scene, "s3://bucket/some/captures", &root, &|command| s3.configure(command, "secret"));
}

/// Deliveries become one exchange for each capture, and before what is stored twice is looked for, no pieces are left.
fn check_deliveries(scene: &Scene, to: &str, root: &Path, configure: &dyn Fn(&mut Command)) {
    let whole = scene.whole();
    scene.read_in_parts(to, configure);
    let repeated = |merge: &mut Command| {
        merge.arg("--repeated");
        configure(merge);
    };
    let dry = dry_run(root, scene.merge(to, &repeated));

    let merged = counts(scene.merge(to, configure));
    assert_eq!(merged["refused"], serde_json::json!({}), "{merged}");
    for told in ["captures", "pieces", "pieces_held"] {
        assert!(merged[told].as_u64().unwrap() > 0 && merged[told] == dry[told], "{told}: {merged} {dry}");
    }
    let ids = |complete: bool| {
        let exchanges = stored::exchanges(root).into_iter().filter(|exchange| exchange["complete"] == complete);
        exchanges.map(|exchange| exchange["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (mut incomplete, complete) = (ids(false), ids(true));
    incomplete.sort();
    let expected = |complete: bool| whole.iter().filter(move |it| it.1["complete"] == complete).map(|it| it.0.clone());
    assert_eq!(incomplete, expected(false).collect::<Vec<_>>());
    let (all, once) = (complete.len() as u64, expected(true).count() as u64);

    let merged_again = counts(scene.merge(to, &repeated));
    assert_same(&by_id(root), &whole);
    assert!(merged_again["repeated"].as_u64().unwrap() > 0, "{merged_again}");
    assert_eq!(merged_again["repeated"], all - once, "{merged_again}");
    // The rest of an object may be all that another one holds: they become one.
    let sum = merged["repeated"].as_u64().unwrap() + all - once;
    assert!(dry["repeated"].as_u64().unwrap() >= sum, "{dry} {merged} {merged_again}");
    let nothing = counts_unchanged(root, scene.merge(to, &repeated));
    assert_eq!((&nothing["objects_written"], &nothing["objects_deleted"]), (&0.into(), &0.into()), "{nothing}");
}

#[test]
fn a_log_that_was_delivered_again_is_stored_once_in_a_directory() {
    let scene = Scene::delivered_again(Chance::seed(), 3_000_000);
    let root = scene.dir.path().join("captures");
    check_deliveries(&scene, root.to_str().unwrap(), &root, &|_| ());
}

#[test]
fn a_log_that_was_delivered_again_is_stored_once_in_s3() {
    let s3 = S3::start();
    let scene = Scene::delivered_again(Chance::seed(), 3_000_000);
    let root = s3.bucket().join("some/captures");
    check_deliveries(&scene, "s3://bucket/some/captures", &root, &|command| s3.configure(command, "secret"));
}

#[test]
fn a_merge_that_is_killed_at_any_instant_loses_nothing_and_stores_nothing_twice() {
    let seed = Chance::seed();
    killed_at_any_instant(seed, &Scene::new(seed, 3_000_000));
}

#[test]
fn a_merge_of_what_was_delivered_again_may_be_killed_at_any_instant() {
    let seed = Chance::seed();
    killed_at_any_instant(seed, &Scene::delivered_again(seed, 3_000_000));
}

fn killed_at_any_instant(seed: u64, scene: &Scene) {
    const TRIALS: usize = 12;
    const KILLS: usize = 6;
    let (mut chance, whole) = (Chance::new(seed), scene.whole());
    let pieces = scene.dir.path().join("pieces");
    scene.read_in_parts(pieces.to_str().unwrap(), &|_| ());
    // Objects become hard links to what the state has, and the state lies within.
    let copy = |name: usize| {
        let root = scene.dir.path().join(format!("captures-{name}"));
        assert!(Command::new("cp").arg("-r").arg(&pieces).arg(&root).status().unwrap().success());
        root
    };
    let merge = |root: &Path| {
        let mut command = reassemble(["merge", "--json", "--repeated", "--inline-body", "64KiB"]);
        command.args(["--batch-bytes", "300KiB", "--log-level", "warn", "--no-decode", "--commit-interval", "20ms"]);
        command.arg(root);
        command
    };
    let undisturbed = copy(TRIALS);
    let began = Instant::now();
    counts(merge(&undisturbed));
    let lasted = usize::try_from(began.elapsed().as_millis()).unwrap();
    assert_same(&by_id(&undisturbed), &whole);
    let (mut killed, mut begun) = (0, 0);
    for trial in 0..TRIALS {
        let root = copy(trial);
        let plan = root.join(".reassemble/merge/plan");
        for _ in 0..KILLS {
            let mut child = merge(&root).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(chance.ms(0, lasted / 2));
            let has_ended = child.try_wait().unwrap().is_some();
            child.kill().unwrap();
            child.wait().unwrap();
            if has_ended {
                break;
            }
            killed += 1;
            begun += usize::from(plan.exists());
        }
        let is_begun = plan.exists();
        let merged = counts(merge(&root));
        assert_eq!(merged["resumed"], is_begun, "{merged}");
        assert_same(&by_id(&root), &whole);
        let again = counts(merge(&root));
        assert_eq!((&again["captures"], &again["resumed"]), (&0.into(), &false.into()), "{merged} {again}");
    }
    eprintln!("{killed} were killed before their end, {begun} of them with a plan");
    assert!(killed > 0);
}

#[test]
fn pieces_that_came_twice_give_one_and_what_cannot_be_joined_stays() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("captures");
    let request = |id: &str| {
        format!(
            r#"{{"cap1":"{id}","part":"req","seq":0,"head":{{"ts":"2025-11-22T04:00:00Z","service":"shop"}},"of":1}}"#
        )
    };
    let response = |id: &str, status: u16| {
        format!(r#"{{"cap1":"{id}","part":"res","seq":0,"head":{{"status":{status}}},"of":1}}"#)
    };
    let store = |name: &str, lines: &[String]| {
        let log = dir.path().join("app.log");
        fs::write(&log, lines.join("\n") + "\n").unwrap();
        let mut command = reassemble(["--no-progress", "--state"]);
        command.arg(dir.path().join(format!("state-{name}"))).arg("--to").arg(&root).arg(log);
        let (code, _, said) = run(command);
        assert_eq!(code, Some(0), "{said}");
    };
    store("1", &[request("twice"), request("odd"), request("alone")]);
    store("2", &[response("twice", 200), response("odd", 200)]);
    store("3", &[request("twice"), response("odd", 500)]);
    store("4", &[response("twice", 200)]);
    let merge = || {
        let mut command = reassemble(["merge", "--json"]);
        counts({
            command.arg(&root);
            command
        })
    };
    let merged = merge();
    assert_eq!((&merged["completed"], &merged["refused"]["contradiction"]), (&1.into(), &1.into()), "{merged}");
    let found = || {
        let mut found: Vec<(String, bool)> = stored::exchanges(&root)
            .iter()
            .map(|it| (it["id"].as_str().unwrap().to_owned(), it["complete"] == true))
            .collect();
        found.sort();
        found
    };
    let expected = [("alone", false), ("odd", false), ("odd", false), ("odd", false), ("twice", true)];
    assert_eq!(found(), expected.map(|(id, complete)| (id.to_owned(), complete)));
    let files = stored::files(&root);
    assert_eq!(merge()["objects_written"], 0);
    assert_eq!((stored::files(&root), found().len()), (files, 5));

    // Nor do pieces that no reader would take: what is stored may be anything.
    let folder = root.join("retention=7d/service=shop/date=2025-11-22/hour=04");
    let odd = r#"{"v":1,"id":"far","ts":"2025-11-22T04:00:00Z","complete":false,"problems":["response_missing","input_end"],"request":{"body":{"len":1,"marks":[[0,9999999999999999999]],"pieces":[1],"text":"x"}},"response":null}"#;
    fs::write(folder.join("odd.ndjson"), format!("{odd}\n{odd}\n{{\"no\":\"exchange\"}}\nno JSON\n")).unwrap();
    let merged = merge();
    assert_eq!((&merged["refused"]["malformed"], &merged["objects_deleted"]), (&1.into(), &0.into()), "{merged}");
    fs::remove_file(folder.join("odd.ndjson")).unwrap();

    // An object that the merge writes with the bytes of one that it replaces is not deleted.
    store("5", &[request("same")]);
    store("6", &[request("same"), request("other")]);
    let merged = merge();
    assert_eq!((&merged["still_incomplete"], &merged["objects_deleted"]), (&1.into(), &1.into()), "{merged}");
    let ids: Vec<String> = found().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["alone", "odd", "odd", "odd", "other", "same", "twice"]);
}

#[test]
fn pieces_go_where_a_complete_exchange_holds_them_and_what_contradicts_stays() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("captures");
    let request = |id: &str| {
        format!(
            r#"{{"cap1":"{id}","part":"req","seq":0,"head":{{"ts":"2025-11-22T04:00:00Z","service":"shop"}},"of":1}}"#
        )
    };
    let response = |id: &str, status: u16| {
        format!(r#"{{"cap1":"{id}","part":"res","seq":0,"head":{{"status":{status}}},"of":1}}"#)
    };
    let gzipped = |id: &str, text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text.repeat(9).as_bytes()).unwrap();
        let head = r#"{"status":200,"headers":[["content-encoding","gzip"]]}"#;
        let body = base64::engine::general_purpose::STANDARD.encode(encoder.finish().unwrap());
        format!(r#"{{"cap1":"{id}","part":"res","seq":0,"head":{head},"b64":"{body}","of":1}}"#)
    };
    let store = |name: &str, lines: &[String]| {
        let log = dir.path().join(format!("app-{name}.log"));
        fs::write(&log, lines.join("\n") + "\n").unwrap();
        let mut command = reassemble(["--no-progress", "--state"]);
        command.arg(dir.path().join(format!("state-{name}"))).arg("--to").arg(&root).arg(log);
        command.args(if name.starts_with("again") { &["--no-decode"][..] } else { &[] });
        let (code, _, said) = run(command);
        assert_eq!(code, Some(0), "{said}");
    };
    let merge = |more: &[&str]| {
        let mut command = reassemble(["merge", "--json"]);
        command.args(more).arg(&root);
        counts(command)
    };
    let told = |counts: &Value| {
        let told = ["captures", "pieces_held", "repeated"].map(|name| counts[name].as_u64().unwrap());
        (told, counts["refused"]["contradiction"].as_u64().unwrap_or(0))
    };
    let complete = ["same", "odd", "asked"].map(|id| [request(id), response(id, 200)]).concat();
    store("1", &complete);
    store("2", &[request("gzip"), gzipped("gzip", "what was said"), request("other"), gzipped("other", "said so")]);
    store("again-1", &[response("same", 200), response("odd", 500), request("asked")]);
    store("again-2", &[response("same", 200), response("odd", 200), gzipped("gzip", "what was said")]);
    store("again-3", &[gzipped("other", "SAID SO"), request("alone")]);
    let files = stored::files(&root);
    assert_eq!(told(&merge(&["--dry-run"])), ([0, 4, 0], 2));
    // What is not looked for is told.
    let older = merge(&["--dry-run", "--complete-since", "1d"]);
    assert_eq!((told(&older), older["objects_too_old"].as_u64()), (([1, 0, 0], 1), Some(2)), "{older}");
    assert_eq!(stored::files(&root), files);
    assert_eq!(told(&merge(&[])), ([0, 4, 0], 2));
    let found = || {
        let mut found: Vec<(String, bool)> = stored::exchanges(&root)
            .iter()
            .map(|it| (it["id"].as_str().unwrap().to_owned(), it["complete"] == true))
            .collect();
        found.sort();
        found
    };
    let expected = [
        ("alone", false),
        ("asked", true),
        ("gzip", true),
        ("odd", false),
        ("odd", false),
        ("odd", true),
        ("other", false),
        ("other", true),
        ("same", true),
    ];
    assert_eq!(found(), expected.map(|(id, complete)| (id.to_owned(), complete)));
    assert_eq!(told(&merge(&[])), ([0, 0, 0], 2));

    // Complete ones that say the same, each from another log, become one, and those that differ stay.
    store("3", &[request("same"), response("same", 200), request("new"), response("new", 200)]);
    store("4", &[request("asked"), response("asked", 404)]);
    let merged = merge(&["--repeated"]);
    assert_eq!((told(&merged), &merged["objects_deleted"]), (([0, 0, 1], 3), &1.into()), "{merged}");
    let count = |id: &str| found().iter().filter(|(found, _)| found == id).count();
    assert_eq!(["same", "new", "asked", "odd"].map(count), [1, 1, 2, 3]);
}

#[test]
fn what_stands_for_others_must_be_there_when_they_are_deleted() {
    let dir = tempdir().unwrap();
    let folder = "retention=30d/service=shop/date=2025-11-22/hour=04";
    let keys = ["one", "two"].map(|name| format!("{folder}/{name}.ndjson"));
    let state = dir.path().join(".reassemble/merge");
    fs::create_dir_all(&state).unwrap();
    fs::create_dir_all(dir.path().join(folder)).unwrap();
    let merge = |other_is_there: bool| {
        fs::write(dir.path().join(&keys[0]), "").unwrap();
        if other_is_there {
            fs::write(dir.path().join(&keys[1]), "").unwrap();
        }
        fs::write(state.join("plan"), format!("reassemble merge 2\n7d\n{}\n{}\n", keys[0], keys[1])).unwrap();
        fs::write(state.join("stored"), format!("reassemble merge 2\n{}\n", keys[0])).unwrap();
        let mut command = reassemble(["merge", "--json"]);
        command.arg(dir.path());
        let merged = counts(command);
        assert_eq!(merged["resumed"], true, "{merged}");
        (merged["objects_deleted"].as_u64().unwrap(), dir.path().join(&keys[0]).exists(), state.join("plan").exists())
    };
    assert_eq!(merge(false), (0, true, false));
    assert_eq!(merge(true), (1, false, false));
}

#[test]
fn two_merges_at_once_lose_nothing_and_the_next_makes_it_once() {
    let scene = Scene::delivered_again(Chance::seed(), 2_000_000);
    let (root, whole) = (scene.dir.path().join("captures"), scene.whole());
    let to = root.to_str().unwrap();
    scene.read_in_parts(to, &|_| ());
    let merge = |state: &str| {
        let mut command = reassemble(["merge", to, "--json", "--inline-body", "64KiB", "--log-level", "error"]);
        command.args(["--batch-bytes", "300KiB", "--no-decode", "--state"]).arg(scene.dir.path().join(state));
        command
    };
    let start = |state| merge(state).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let both = ["state-a", "state-b"].map(start);
    // One may find that the other has deleted what it was about to read.
    for mut child in both {
        child.wait().unwrap();
    }
    for state in ["state-a", "state-b"] {
        counts(merge(state));
    }
    counts({
        let mut last = merge("state-a");
        last.arg("--repeated");
        last
    });
    assert_same(&by_id(&root), &whole);
}
