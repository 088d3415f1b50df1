//! Commits that are begun and not waited for.

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

fn seen(id: &[u8]) -> Changes {
    Changes { seen: vec![(id.to_vec(), b"v".to_vec())], ..Changes::default() }
}

#[test]
fn what_follows_a_begun_commit_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&config(dir.path()));
    // Rows of the first commit, and blocks that make them superfluous while it is under way.
    for n in 0..200 {
        spool.append(&partition(n % 2), format!("before {n} {}", "x".repeat(50)).as_bytes(), TS).unwrap();
    }
    spool.begin_commit(&seen(b"before"), || ()).unwrap();
    for n in 0..200 {
        spool.append(&partition(n % 2), format!("after {n} {}", "y".repeat(50)).as_bytes(), TS).unwrap();
    }
    spool.end_commit().unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    let mut killed = open(&config(copy.path()));
    killed.roll_all().unwrap();
    let objects = killed.commit(&Changes::default()).unwrap();
    let text: String = objects.iter().map(|object| String::from_utf8(content(object)).unwrap()).collect();
    assert_eq!((text.matches("before").count(), text.matches("after").count()), (200, 0));

    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    let text: String = objects.iter().map(|object| String::from_utf8(content(object)).unwrap()).collect();
    assert_eq!((text.matches("before").count(), text.matches("after").count()), (200, 200));
}

#[test]
fn the_end_of_a_commit_is_told_and_its_objects_are_never_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&config(dir.path()));
    let (ended, told) = channel();
    for n in 0..2 {
        spool.append(&partition(n), b"line", TS).unwrap();
        spool.roll_all().unwrap();
        let ended = ended.clone();
        spool.begin_commit(&Changes::default(), move || ended.send(n).unwrap()).unwrap();
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(n));
        assert!(spool.commit_has_ended());
    }
    // A commit of nothing tells them too.
    spool.begin_commit(&Changes::default(), || ()).unwrap();
    assert_eq!(spool.end_commit().unwrap(), pending(&spool));
    assert_eq!(spool.end_commit().unwrap(), []);
    assert_eq!(pending(&spool).len(), 2);
    // There is nothing to commit, so nothing ends.
    drop(ended);
    let (ended, told) = channel::<usize>();
    spool.begin_commit(&Changes::default(), move || ended.send(2).unwrap()).unwrap();
    assert!(told.recv().is_err());
}

#[test]
fn a_commit_under_way_ends_before_its_directory_is_free() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..5 {
        let mut spool = open(&config(dir.path()));
        assert_eq!(spool.reader().lookup(b"id").unwrap() == KnownId::Unknown, n == 0);
        spool.begin_commit(&seen(b"id"), || ()).unwrap();
    }
}

/// Something that was written, and cannot be made durable.
fn touch_what_does_not_sync(spool: &mut Spool) {
    spool.files.touch(PathBuf::from("/dev/null"), File::open("/dev/null").unwrap()).unwrap();
}

#[test]
fn an_fsync_that_fails_stops_the_spool_at_whatever_comes_next() {
    for next in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(&config(dir.path()));
        spool.append(&partition(0), b"line", TS).unwrap();
        touch_what_does_not_sync(&mut spool);
        let (ended, told) = channel();
        spool.begin_commit(&seen(b"id"), move || ended.send(()).unwrap()).unwrap();
        told.recv_timeout(Duration::from_secs(60)).unwrap();
        let error = match next {
            0 => spool.end_commit().unwrap_err(),
            1 => spool.commit(&Changes::default()).unwrap_err(),
            2 => spool.mark_stored(7).unwrap_err(),
            _ => spool.roll_all().unwrap_err(),
        };
        assert!(matches!(error, StateError::Write { action: "fsync", .. }), "{error}");
        assert!(matches!(spool.append(&partition(0), b"line", TS), Err(StateError::Stopped)));
        assert!(matches!(spool.end_commit(), Err(StateError::Stopped)));
        drop(spool);
        // Nothing of it was committed.
        let spool = open(&config(dir.path()));
        assert_eq!(spool.reader().lookup(b"id").unwrap(), KnownId::Unknown);
        assert_eq!(spool.open_batches(), 0);
    }
}

#[test]
fn lines_that_fill_several_rows_come_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        SpoolConfig { block_bytes: 1 << 20, batch_bytes: 64 << 20, pending_bytes: 4 << 20, ..config(dir.path()) };
    let line = |n: usize| format!("{n} {}", format!("{} ", n * 7919).repeat(20_000)).into_bytes();
    for n in 0..4 {
        let mut spool = open(&config);
        for part in 0..2 {
            spool.append(&partition(0), &line(2 * n + part), TS).unwrap();
            spool.commit(&Changes::default()).unwrap();
        }
    }
    let mut spool = open(&config);
    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    let expected: Vec<u8> = (0..8).flat_map(|n| [line(n), b"\n".to_vec()].concat()).collect();
    assert!(content(&objects[0]) == expected);
}
