//! A state directory that is not as it was left: each case is a named error that says what to do, and none loses anything in silence.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::Damage;

/// A directory with one open batch of several blocks and an unfinished one, one sealed batch, and a committed position.
fn prepared() -> (tempfile::TempDir, SpoolConfig) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut spool = open(&config);
    spool.append(&partition(1), b"sealed", TS).unwrap();
    spool.roll_all().unwrap();
    for i in 0..30 {
        spool.append(&partition(0), format!("{i} {}", "x".repeat(200)).as_bytes(), TS).unwrap();
    }
    spool.commit(&Changes { inputs: vec![(1, Some(b"here".to_vec()))], ..Changes::default() }).unwrap();
    (dir, config)
}

fn file(config: &SpoolConfig, name: &str) -> std::path::PathBuf {
    config.state_dir.join(name)
}

fn error(config: &SpoolConfig) -> StateError {
    Spool::open(config.clone()).unwrap_err()
}

#[test]
fn a_longer_part_is_cut_to_what_was_committed() {
    let (_dir, config) = prepared();
    let part = file(&config, "spool/1.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes.extend_from_slice(b"half a block that no commit names");
    fs::write(&part, bytes).unwrap();
    let mut spool = open(&config);
    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    assert_eq!(content(&objects[0]).split(|b| *b == b'\n').count(), 31);
}

#[test]
fn a_short_a_missing_and_a_longer_sealed_file_are_listed_and_set_aside_on_request() {
    let (_dir, mut config) = prepared();
    let part = file(&config, "spool/1.part");
    let length = fs::metadata(&part).unwrap().len();
    fs::File::options().write(true).open(&part).unwrap().set_len(length - 1).unwrap();
    fs::remove_file(file(&config, "spool/0.part")).unwrap();
    let error = error(&config);
    let text = error.to_string();
    let StateError::Damaged { files } = error else { panic!("{error}") };
    assert_eq!(files.len(), 2);
    assert_eq!((&files[0].damage, files[0].lines), (&Damage::Short { have: length - 1, want: length }, 30));
    assert_eq!((&files[1].damage, files[1].lines), (&Damage::Missing, 1));
    assert!(text.contains("30 exchanges") && text.contains("--accept-damage") && text.contains("service-1"), "{text}");

    config.accept_damage = true;
    let (spool, restored) = Spool::open(config.clone()).unwrap();
    assert_eq!(restored.quarantined, files);
    assert_eq!(restored.inputs.len(), 1);
    assert!(pending(&spool).is_empty());
    drop(spool);
    assert_eq!(fs::metadata(file(&config, "quarantine/1.part")).unwrap().len(), length - 1);
    let tail = fs::read_to_string(file(&config, "quarantine/1.tail.ndjson")).unwrap();
    assert!(tail.starts_with(|c: char| c.is_ascii_digit()) && tail.ends_with('\n'), "{tail}");
    config.accept_damage = false;
    let (_, restored) = Spool::open(config).unwrap();
    assert_eq!((restored.open_batches, restored.sealed_objects, restored.quarantined.len()), (0, 0, 0));
}

#[test]
fn a_flipped_bit_is_found_before_the_batch_is_sealed() {
    let (_dir, mut config) = prepared();
    let part = file(&config, "spool/1.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes[20] ^= 1;
    fs::write(&part, bytes).unwrap();
    let mut spool = open(&config);
    let error = spool.roll_all().unwrap_err();
    assert!(matches!(&error, StateError::Damaged { files } if files[0].damage == Damage::Changed), "{error}");
    assert!(matches!(spool.commit(&Changes::default()), Err(StateError::Stopped)));
    drop(spool);
    config.accept_damage = true;
    let (spool, restored) = Spool::open(config).unwrap();
    assert_eq!(restored.quarantined.len(), 1);
    assert_eq!(pending(&spool).len(), 1, "the other object stays");
}

#[test]
fn an_empty_database_is_not_taken_for_a_new_one() {
    let (_dir, config) = prepared();
    fs::write(file(&config, "state.redb"), b"").unwrap();
    let error = error(&config);
    assert!(matches!(error, StateError::Torn { .. }), "{error}");
    assert!(error.to_string().contains("move the whole state directory aside"));
    assert!(file(&config, "spool/1.part").exists());
}

#[test]
fn a_lost_database_is_not_made_anew_beside_spool_files() {
    let (_dir, config) = prepared();
    fs::remove_file(file(&config, "state.redb")).unwrap();
    assert!(matches!(error(&config), StateError::NoDatabase { .. }));
    assert!(!file(&config, "state.redb").exists());
}

#[test]
fn a_torn_database_is_an_error_and_never_a_panic() {
    let (_dir, config) = prepared();
    let path = file(&config, "state.redb");
    let whole = fs::read(&path).unwrap();
    for length in [1, 100, 511, 4096, 5000, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = error(&config);
        assert!(matches!(error, StateError::Torn { .. }), "{length} of {}: {error}", whole.len());
    }
    let text = b"not a database at all ".repeat(1000);
    fs::write(&path, text).unwrap();
    assert!(matches!(error(&config), StateError::Torn { .. }));
    fs::write(&path, &whole).unwrap();
    assert_eq!(Spool::open(config).unwrap().1.inputs.len(), 1);
}

/// The database verifies its checksums only where it was not closed in order, and takes what it reads else for its own writing.
#[test]
fn opening_a_database_with_flipped_bytes_is_never_a_panic() {
    let (_dir, config) = prepared();
    let path = file(&config, "state.redb");
    let whole = fs::read(&path).unwrap();
    let parts: Vec<_> =
        ["spool/0.part", "spool/1.part"].map(|name| (name, fs::read(file(&config, name)).unwrap())).into();
    let mut drawn: u64 = 7;
    let mut refused = 0;
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..20 {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(drawn >> 20).unwrap() % bytes.len();
            bytes[at] ^= 1 << (drawn >> 13 & 7);
        }
        fs::write(&path, &bytes).unwrap();
        for (name, content) in &parts {
            fs::write(file(&config, name), content).unwrap();
        }
        match Spool::open(config.clone()) {
            Err(_) => refused += 1,
            // Closing writes, and may stumble over what no checksum was compared for; here the opening counts.
            Ok(opened) => drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(opened)))),
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn another_format_says_which_version_to_run() {
    let (_dir, config) = prepared();
    let set = |format: u64| {
        let db = redb::Database::open(file(&config, "state.redb")).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(super::super::rows::META).unwrap().insert("format", format).unwrap();
        txn.commit().unwrap();
    };
    set(super::super::rows::FORMAT + 1);
    let newer = error(&config);
    assert!(matches!(newer, StateError::Newer { found, known, .. } if found == known + 1), "{newer}");
    set(super::super::rows::FORMAT - 1);
    let older = error(&config);
    assert!(matches!(older, StateError::Older { found, known, .. } if found + 1 == known), "{older}");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    let error = error(&config(&dir.path().join("file/state")));
    assert!(matches!(error, StateError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("file/state"), "{error}");
}

#[test]
fn the_state_is_private() {
    let (dir, config) = prepared();
    let mode = |name: &str| fs::metadata(file(&config, name)).unwrap().permissions().mode() & 0o777;
    for name in ["state.redb", "lock", "spool/0.part", "spool/1.part"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    assert_eq!(mode("spool"), 0o700);
    drop(dir);
}
