//! A state that is not as it was left: what a person sees of each kind of damage, and what `--accept-damage` makes of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use reassemble_testkit::chance::Chance;
use reassemble_testkit::process::Process;
use redb::TableDefinition;

use crate::scene::Scene;
use crate::stored;

/// A scene with objects in its spool that no destination has, and open captures; its daemon was killed.
fn spooled() -> Scene {
    let mut scene = Scene::new();
    scene.log(6_000_000);
    let mut daemon = Process::start(scene.refused_follower(), scene.dir.path());
    let mut before = Vec::new();
    // Batches are sealed by age: where nothing has changed for a while, all are.
    daemon.until("a spool", || {
        let (parts, bodies) = (spool_files(&scene, ".part"), spool_files(&scene, ".body"));
        let enough = parts.len() >= 6 && bodies.len() >= 2;
        let now: Vec<_> = parts.iter().chain(&bodies).map(|path| path.metadata().unwrap().len()).collect();
        std::thread::sleep(Duration::from_secs(2));
        std::mem::replace(&mut before, now.clone()) == now && enough
    });
    daemon.child().kill().unwrap();
    scene
}

/// The spool's files of one kind, the oldest first.
fn spool_files(scene: &Scene, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.state.join("spool")).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(ending));
    let number = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    files.sort_by_key(|path| number(path));
    files
}

/// Starts it, and gives what it says when it ends with 1.
fn refused(scene: &Scene) -> String {
    let mut daemon = scene.start();
    let status = daemon.ended();
    let words = daemon.words();
    assert_eq!(status.code(), Some(1), "{words}");
    assert!(words.contains("error: ") && !words.contains("panicked"), "{words}");
    words
}

fn start_accepting(scene: &Scene) -> Process {
    let mut command = scene.follower();
    command.arg("--accept-damage");
    Process::start(command, scene.dir.path())
}

/// The numbers before a word.
fn counts(words: &str, word: &str) -> usize {
    let words: Vec<&str> = words.split(|c: char| c.is_whitespace() || c == '(').collect();
    words.windows(2).filter(|pair| pair[1] == word).filter_map(|pair| pair[0].parse::<usize>().ok()).sum()
}

/// Lets it store all that is left, and checks that exactly so many exchanges are missing and none is there twice.
fn all_but(scene: &mut Scene, mut daemon: Process, lost: usize) {
    scene.finish_log();
    let all = scene.captures.exchanges.len();
    daemon.until("the rest to be stored", || stored::exchanges(&scene.to).len() + lost >= all);
    let (status, _) = daemon.end_by(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0), "{}", daemon.words());
    let exchanges = stored::exchanges(&scene.to);
    let ids: HashSet<_> = exchanges.iter().map(|exchange| exchange["id"].to_string()).collect();
    assert_eq!((exchanges.len(), ids.len()), (all - lost, all - lost), "{}", daemon.words());
}

#[test]
fn torn_and_missing_spool_files_are_named_with_what_they_held_and_set_aside_on_request() {
    let mut scene = spooled();
    let parts = spool_files(&scene, ".part");
    let length = parts[0].metadata().unwrap().len();
    File::options().write(true).open(&parts[0]).unwrap().set_len(length / 2).unwrap();
    fs::remove_file(&parts[1]).unwrap();
    let words = refused(&scene);
    assert!(words.contains("2 spool files are damaged"), "{words}");
    assert!(words.contains(&format!("{} has {} of {length} bytes", parts[0].display(), length / 2)), "{words}");
    assert!(words.contains(&format!("{} is missing", parts[1].display())), "{words}");
    assert!(words.contains("put them back from a copy, or start once with --accept-damage"), "{words}");
    let lost = counts(&words, "exchanges");
    assert!(lost > 0, "{words}");
    let mut daemon = start_accepting(&scene);
    daemon.says("set aside in quarantine/; what it held is lost to the destination");
    assert_eq!(counts(&daemon.words(), "exchanges"), lost, "{}", daemon.words());
    all_but(&mut scene, daemon, lost);
    let aside = scene.state.join("quarantine").join(parts[0].file_name().unwrap());
    assert_eq!(aside.metadata().unwrap().len(), length / 2);
    // Once is enough.
    let mut daemon = scene.start();
    daemon.says("ready");
}

#[test]
fn a_flipped_byte_keeps_one_object_back_and_no_other() {
    let mut scene = spooled();
    let part = spool_files(&scene, ".part").swap_remove(1);
    let whole = fs::read(&part).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    fs::write(&part, &flipped).unwrap();
    let mut daemon = scene.start();
    daemon.says(&format!("{} was changed", part.display()));
    daemon.says("start once with --accept-damage");
    daemon.until("the other objects", || spool_files(&scene, ".body").is_empty() && scene.stored() > 0);
    daemon.end_by(Signal::SIGTERM);
    assert!(part.exists());
    // Put back from a copy, it is stored as if nothing had been.
    fs::write(&part, &whole).unwrap();
    let daemon = scene.start();
    scene.complete(daemon);
}

#[test]
fn a_flipped_byte_is_set_aside_on_request() {
    let mut scene = spooled();
    let part = spool_files(&scene, ".part").swap_remove(1);
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&part, &bytes).unwrap();
    let mut daemon = start_accepting(&scene);
    daemon.says(&format!("{} was changed", part.display()));
    let lost = counts(&daemon.words(), "exchanges");
    assert!(lost > 0, "{}", daemon.words());
    all_but(&mut scene, daemon, lost);
}

#[test]
fn a_torn_or_overwritten_database_says_so_and_what_to_do() {
    let mut scene = spooled();
    let database = scene.state.join("state.redb");
    let whole = fs::read(&database).unwrap();
    let length = whole.len();
    for cut in [0, 1, 100, 4096, length / 3, length / 2, length - 4096] {
        fs::write(&database, &whole[..cut]).unwrap();
        let words = refused(&scene);
        assert!(
            words.contains("is torn (") && words.contains("move the whole state directory aside"),
            "{cut}: {words}"
        );
    }
    for content in [vec![0; length], b"something else ".repeat(length / 15)] {
        fs::write(&database, content).unwrap();
        let words = refused(&scene);
        assert!(words.contains("is torn (") && words.contains("restore it from a copy"), "{words}");
    }
    fs::remove_file(&database).unwrap();
    let words = refused(&scene);
    assert!(
        words.contains("has spool files but no state.redb: restore state.redb, or move the spool folder aside"),
        "{words}"
    );
    // Restored from a copy it goes on.
    fs::write(&database, &whole).unwrap();
    let daemon = scene.start();
    scene.complete(daemon);
}

#[test]
fn a_state_of_another_version_says_which_one_to_run() {
    let mut scene = spooled();
    let set = |format: u64| {
        let database = redb::Database::open(scene.state.join("state.redb")).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", format).unwrap();
        writing.commit().unwrap();
    };
    let format = |scene: &Scene| {
        let database = redb::Database::open(scene.state.join("state.redb")).unwrap();
        let reading = redb::ReadableDatabase::begin_read(&database).unwrap();
        let meta = reading.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap();
        redb::ReadableTable::get(&meta, "format").unwrap().unwrap().value()
    };
    let this = format(&scene);
    set(this + 1);
    let words = refused(&scene);
    assert!(words.contains("run the newer version that wrote it, or choose another directory with --state"), "{words}");
    set(0);
    let words = refused(&scene);
    assert!(words.contains("has the older format 0"), "{words}");
    set(this);
    let daemon = scene.start();
    scene.complete(daemon);
}

#[test]
fn a_second_instance_is_told_who_holds_the_state() {
    let mut scene = Scene::new();
    scene.log(500_000);
    let mut daemon = scene.start();
    daemon.says("ready");
    let words = refused(&scene);
    let holder = format!("is in use by another instance (process {}): stop it, or give this one", daemon.child().id());
    assert!(words.contains(&holder), "{words}");
    scene.complete(daemon);
}

/// Where the database was not closed in order, its checksums are verified at the next start; where it was, they are not, and what is
/// read later may be wrong. Whatever a flipped byte hits: an error in words (the database may add its own).
#[test]
fn a_flipped_byte_in_the_database_is_told_in_words() {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let mut scene = spooled();
    scene.finish_log();
    let database = scene.state.join("state.redb");
    let dirty = fs::read(&database).unwrap();
    let mut daemon = Process::start(scene.refused_follower(), scene.dir.path());
    daemon.says("ready");
    daemon.end_by(Signal::SIGTERM);
    let clean = fs::read(&database).unwrap();
    let spool = scene.dir.path().join("spool-copy");
    copy_folder(&scene.state.join("spool"), &spool);
    for turn in 0..24 {
        let mut bytes = if turn % 2 == 0 { dirty.clone() } else { clean.clone() };
        for _ in 0..1 + chance.below(20) {
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
        }
        fs::write(&database, &bytes).unwrap();
        fs::remove_dir_all(scene.state.join("spool")).unwrap();
        copy_folder(&spool, &scene.state.join("spool"));
        let mut daemon = Process::start(scene.refused_follower(), scene.dir.path());
        std::thread::sleep(chance.ms(100, 300));
        let ended = daemon.child().try_wait().unwrap();
        let code = ended.map_or_else(|| daemon.end_by(Signal::SIGTERM).0.code(), |status| status.code());
        let words = daemon.words();
        assert!(matches!(code, Some(0 | 1)), "turn {turn}: {code:?} {words}");
        assert!(code == Some(0) || words.contains("error: "), "turn {turn}: {words}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
