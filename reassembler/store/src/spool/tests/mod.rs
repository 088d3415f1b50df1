//! Tests of the spool: what always holds (`model`), what a damaged state directory answers (`damage`), commits that
//! are not waited for (`commits`), blocks under way (`flights`), and the rest here.

mod commits;
mod damage;
mod flights;
mod model;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use reassemble_formats::layout::{Partition, RetentionClass};

use super::{Changes, Compression, KnownId, OpenRows, Spool, SpoolConfig};
use crate::error::StateError;
use crate::object::{ObjectKind, SealedObject};
use crate::upload::SealedQueue;

/// 2026-11-22T05:15:30Z
const TS: i64 = 1_795_324_530_000_000;

fn partition(n: usize) -> Partition {
    Partition::new(RetentionClass::from_days(30).unwrap(), Some(&format!("service-{n}")), TS)
}

fn config(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        block_bytes: 2 << 10,
        batch_bytes: 12 << 10,
        pending_bytes: 5 << 10,
        max_open_batches: 3,
        min_free_bytes: 0,
        batch_age: Duration::from_secs(60),
        ..SpoolConfig::new(dir)
    }
}

fn open(config: &SpoolConfig) -> Spool {
    Spool::open(config.clone()).unwrap().0
}

fn pending(spool: &Spool) -> Vec<SealedObject> {
    spool.reader().after(None, usize::MAX).unwrap()
}

/// Objects as another process sees them, which has not written their files.
fn written_before(objects: Vec<SealedObject>) -> Vec<SealedObject> {
    objects.into_iter().map(|object| SealedObject { written: None, ..object }).collect()
}

fn content(object: &SealedObject) -> Vec<u8> {
    decoded(&object.key, &fs::read(&object.path).unwrap())
}

/// What an object's bytes say, by the ending of its name.
fn decoded(name: &str, stored: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match name.rsplit('.').next() {
        Some("gz") => drop(flate2::read::MultiGzDecoder::new(stored).read_to_end(&mut plain).unwrap()),
        Some("zst") => plain = zstd::stream::decode_all(stored).unwrap(),
        _ => plain = stored.to_vec(),
    }
    plain
}

/// Copies a state directory as a kill at this instant would leave it.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn lines_come_out_as_they_went_in_in_every_compression() {
    for compression in [Compression::Gzip { level: 6 }, Compression::Zstd { level: 3 }, Compression::None] {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(&SpoolConfig { compression, ..config(dir.path()) });
        let lines: Vec<String> = (0..300).map(|i| format!("{{\"n\":{i}}}\n")).collect();
        for line in &lines {
            spool.append(&partition(0), line.trim_end().as_bytes(), TS).unwrap();
        }
        spool.roll_all().unwrap();
        let objects = spool.commit(&Changes::default()).unwrap();
        assert_eq!(objects.len(), 1);
        assert_eq!(content(&objects[0]), lines.concat().into_bytes());
        assert_eq!(pending(&spool), objects);
        assert!(objects[0].key.starts_with(&format!("{}20261122T051530000000Z-", partition(0))), "{}", objects[0].key);
    }
}

fn put_body(spool: &mut Spool, partition: &Partition, bytes: &[u8]) -> crate::object::BodyRef {
    let mut writer = spool.body_writer(partition).unwrap();
    spool.write_body(&mut writer, bytes).unwrap();
    spool.finish_body(writer).unwrap()
}

#[test]
fn everything_of_one_commit_comes_back_and_nothing_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let row = |number, id: &[u8], row: &[u8]| (number, id.to_vec(), row.to_vec());
    let mut spool = open(&config);
    spool.append(&partition(0), b"kept", TS).unwrap();
    spool
        .commit(&Changes {
            inputs: vec![(1, Some(b"at 10".to_vec())), (2, Some(b"at 20".to_vec()))],
            open: OpenRows {
                captures: vec![row(7, b"seven", b"r7"), row(8, b"eight", b"r8")],
                chunks: vec![(7, 0, b"a".to_vec()), (7, 1, b"b".to_vec()), (8, u64::MAX, b"c".to_vec())],
                ..OpenRows::default()
            },
            seen: vec![(b"x".to_vec(), b"v".to_vec()), (b"y".to_vec(), Vec::new())],
            ledger: b"ledger".to_vec(),
        })
        .unwrap();
    // What was open as 8 is gone, and its id is open anew.
    let reopened = OpenRows {
        remove: vec![(8, b"eight".to_vec())],
        captures: vec![row(9, b"eight", b"r9")],
        ..OpenRows::default()
    };
    spool.commit(&Changes { inputs: vec![(2, None)], open: reopened, ..Changes::default() }).unwrap();
    spool.append(&partition(0), b"lost", TS).unwrap();
    drop(spool);

    let (mut spool, restored) = Spool::open(config).unwrap();
    assert_eq!(restored.inputs, [(1, b"at 10".to_vec())]);
    assert_eq!(restored.ledger, b"ledger");
    assert_eq!((restored.open_batches, restored.sealed_objects), (1, 0));
    let reader = spool.reader();
    assert_eq!(reader.open_captures().unwrap(), [7, 9]);
    let known = |id: &[u8]| reader.lookup(id).unwrap();
    assert_eq!(known(b"seven"), KnownId::Open { capture: 7, row: b"r7".to_vec() });
    assert_eq!(known(b"eight"), KnownId::Open { capture: 9, row: b"r9".to_vec() });
    assert_eq!((reader.open_capture(9).unwrap(), reader.open_capture(8).unwrap()), (Some(b"r9".to_vec()), None));
    assert_eq!(reader.open_chunk(7, 1).unwrap(), Some(b"b".to_vec()));
    assert_eq!(reader.open_chunk(8, u64::MAX).unwrap(), None);
    let seen = |value: &[u8]| KnownId::Seen(value.to_vec());
    assert_eq!((known(b"x"), known(b"y"), known(b"z")), (seen(b"v"), seen(b""), KnownId::Unknown));
    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    assert_eq!(content(&objects[0]), b"kept\n");
}

#[test]
fn seen_ids_live_for_one_to_two_generations() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&SpoolConfig { seen_per_generation: 10, ..config(dir.path()) });
    let reader = spool.reader();
    for i in 0..40 {
        spool.commit(&Changes { seen: vec![(vec![i], vec![i])], ..Changes::default() }).unwrap();
        for known in i.saturating_sub(10)..=i {
            assert_eq!(reader.lookup(&[known]).unwrap(), KnownId::Seen(vec![known]), "after {i}");
        }
        if let Some(gone) = i.checked_sub(20) {
            assert_eq!(reader.lookup(&[gone]).unwrap(), KnownId::Unknown, "after {i}");
        }
    }
}

#[test]
fn a_second_instance_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let first = open(&config);
    let error = Spool::open(config.clone()).unwrap_err();
    assert!(matches!(error, StateError::Held { .. }));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(first);
    open(&config);
}

#[test]
fn batches_roll_by_age_even_over_restarts_and_clocks_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let second = 1_000_000;
    let mut spool = open(&config);
    spool.append(&partition(0), b"a", TS).unwrap();
    spool.roll_due(TS).unwrap();
    assert!(spool.commit(&Changes::default()).unwrap().is_empty());
    drop(spool);
    let mut spool = open(&config);
    spool.append(&partition(1), b"b", TS).unwrap();
    spool.roll_due(TS + 59 * second).unwrap();
    assert!(spool.commit(&Changes::default()).unwrap().is_empty());
    spool.roll_due(TS + 60 * second).unwrap();
    let sealed = spool.commit(&Changes::default()).unwrap();
    assert_eq!(sealed.len(), 1);
    assert_eq!(content(&sealed[0]), b"a\n");
    // An hour back: the other batch is as old as this call, and not an hour and a minute away.
    spool.roll_due(TS - 3600 * second).unwrap();
    spool.roll_due(TS - 3540 * second).unwrap();
    assert_eq!(spool.commit(&Changes::default()).unwrap().len(), 1);
}

#[test]
fn bodies_come_before_the_batch_that_refers_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut spool = open(&config);
    spool.append(&partition(0), b"opens the batch first", TS).unwrap();
    let body = put_body(&mut spool, &partition(0), &[9; 5000]);
    assert_eq!(body.key, format!("{}{}.bin", partition(0), body.sha256));
    let mut writer = spool.body_writer(&partition(1)).unwrap();
    spool.append(&partition(0), b"between", TS).unwrap();
    spool.write_body(&mut writer, b"in ").unwrap();
    spool.write_body(&mut writer, b"pieces").unwrap();
    spool.finish_body(writer).unwrap();
    drop(spool.body_writer(&partition(1)).unwrap());
    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    let kinds: Vec<_> = objects.iter().map(|object| object.kind).collect();
    assert_eq!(kinds, [ObjectKind::Body, ObjectKind::Body, ObjectKind::Batch]);
    assert_eq!((content(&objects[0]), content(&objects[1])), (vec![9; 5000], b"in pieces".to_vec()));
    // What was given up, and what was never committed, leaves no file.
    put_body(&mut spool, &partition(0), b"not committed");
    drop(spool);
    let spool = open(&config);
    assert_eq!(pending(&spool), written_before(objects));
    assert_eq!(fs::read_dir(dir.path().join("spool")).unwrap().count(), 3);
}

#[test]
fn what_is_stored_goes_with_the_next_commit() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut spool = open(&config);
    spool.append(&partition(0), &[b'x'; 1000], TS).unwrap();
    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    assert_eq!(spool.spool_bytes(), objects[0].bytes);
    assert_eq!(spool.mark_stored(objects[0].object_no).unwrap(), Some(1));
    assert_eq!(spool.mark_stored(objects[0].object_no).unwrap(), None);
    assert!(objects[0].path.exists(), "the file went before the commit that forgets it");
    drop(spool);
    let mut spool = open(&config);
    let objects = written_before(objects);
    assert_eq!(pending(&spool), objects);
    spool.mark_stored(objects[0].object_no).unwrap();
    spool.commit(&Changes::default()).unwrap();
    assert!(!objects[0].path.exists());
    assert_eq!(spool.spool_bytes(), 0);
    assert!(pending(&spool).is_empty());
}

#[test]
fn ten_thousand_partitions_stay_within_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let config = SpoolConfig {
        pending_bytes: 256 << 10,
        max_open_batches: 8_000,
        min_free_bytes: 0,
        ..SpoolConfig::new(dir.path())
    };
    let mut spool = open(&config);
    // Those of this spool: other tests run beside this one.
    let descriptors = || {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.filter(|target| target.starts_with(dir.path())).count()
    };
    let mut sealed = Vec::new();
    for round in 0..2 {
        for n in 0..10_000 {
            spool.append(&partition(n), format!("{n} {round} {}", "x".repeat(200)).as_bytes(), TS).unwrap();
            assert!(spool.held_bytes() <= config.pending_bytes);
            assert!(spool.open_batches() <= 8_000);
        }
        assert!(descriptors() <= 64 + 2, "{}", descriptors());
        sealed.extend(spool.commit(&Changes::default()).unwrap());
    }
    spool.roll_all().unwrap();
    sealed.extend(spool.commit(&Changes::default()).unwrap());
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for object in &sealed {
        for line in String::from_utf8(content(object)).unwrap().lines() {
            *lines.entry(line.rsplit_once(' ').unwrap().0.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(lines.len(), 20_000);
    assert!(lines.values().all(|n| *n == 1));
}

#[test]
fn too_little_room_is_waited_out_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&config(dir.path()));
    for i in 0..10 {
        spool.append(&partition(0), format!("{i}").as_bytes(), TS).unwrap();
    }
    spool.files.disk = super::files::Disk::new(dir.path(), u64::MAX / 2);
    let mut refused = 0;
    let mut taken = 0;
    while refused < 3 {
        match spool.append(&partition(0), &[b'x'; 500], TS) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                refused += 1;
            }
        }
    }
    assert!(matches!(spool.commit(&Changes::default()), Err(StateError::DiskFull { .. })));
    // Room for a commit, and not for more: what is taken becomes durable even so.
    let free = nix::sys::statvfs::statvfs(dir.path()).unwrap();
    let free = free.blocks_available() * free.fragment_size();
    spool.files.disk = super::files::Disk::new(dir.path(), free / 2 * 3);
    assert!(spool.append(&partition(0), b"refused", TS).is_err());
    spool.commit(&Changes::default()).unwrap();
    drop(spool);
    let mut spool = open(&config(dir.path()));
    spool.append(&partition(0), b"last", TS).unwrap();
    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    let text = String::from_utf8(content(&objects[0])).unwrap();
    assert_eq!(text.lines().count(), 10 + taken + 1);
    assert!(text.ends_with("\nlast\n"));
}

#[test]
fn a_spool_may_be_moved_to_its_thread_and_its_reader_shared() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&config(dir.path()));
    let reader = spool.reader();
    std::thread::spawn(move || {
        spool.append(&partition(0), b"line", TS).unwrap();
        spool.commit(&Changes { seen: vec![(b"id".to_vec(), b"v".to_vec())], ..Changes::default() }).unwrap();
    })
    .join()
    .unwrap();
    let other = reader.clone();
    let known = std::thread::spawn(move || other.lookup(b"id").unwrap()).join().unwrap();
    assert_eq!(known, KnownId::Seen(b"v".to_vec()));
}

#[test]
fn a_line_is_written_where_it_stays_and_not_at_all_where_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&SpoolConfig { compression: Compression::None, ..config(dir.path()) });
    spool.append_with(&partition(0), TS, &mut |out| out.extend_from_slice(b"with a newline\n")).unwrap();
    spool.append_with(&partition(0), TS, &mut |out| out.extend_from_slice(b"without")).unwrap();
    // A block that is due, and cannot be written.
    spool.append(&partition(0), &[b'x'; 1500], TS).unwrap();
    spool.files.disk = super::files::Disk::new(dir.path(), u64::MAX / 2);
    spool.append(&partition(0), &[b'y'; 1500], TS).unwrap();
    let mut calls = 0;
    let refused = spool.append_with(&partition(0), TS, &mut |_| calls += 1);
    assert!(refused.unwrap_err().is_retryable());
    assert_eq!(calls, 0);
    spool.files.disk = super::files::Disk::new(dir.path(), 0);
    spool.roll_all().unwrap();
    let objects = spool.commit(&Changes::default()).unwrap();
    let expected = format!("with a newline\nwithout\n{}\n{}\n", "x".repeat(1500), "y".repeat(1500));
    assert_eq!(String::from_utf8(content(&objects[0])).unwrap(), expected);
}

#[test]
fn names_hold_the_hash_of_the_bytes_whether_it_ran_along_or_not() {
    for restarted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let mut spool = open(&config);
        for n in 0..40 {
            spool.append(&partition(0), format!("{n} {}", "x".repeat(100)).as_bytes(), TS).unwrap();
        }
        spool.commit(&Changes::default()).unwrap();
        if restarted {
            drop(spool);
            spool = open(&config);
        }
        spool.roll_all().unwrap();
        let object = spool.commit(&Changes::default()).unwrap().remove(0);
        let hash = *blake3::hash(&fs::read(&object.path).unwrap()).as_bytes();
        assert_eq!(object.hash, hash);
        assert!(object.key.contains(&reassemble_formats::layout::hex(&hash[..16])), "{}", object.key);
        // Written by this process, it need not be read again; by another it does.
        assert!(object.written.is_some());
        drop(spool);
        let objects = pending(&open(&config));
        assert_eq!((objects.len(), objects[0].hash, objects[0].written), (1, hash, None));
    }
}

#[test]
fn ids_are_known_after_a_restart_and_those_that_are_not_stay_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let id = |n: u32| n.to_be_bytes().to_vec();
    let mut spool = open(&config);
    let open_rows = OpenRows { captures: vec![(1, id(5000), b"row".to_vec())], ..OpenRows::default() };
    let seen = (0..3000).map(|n| (id(n), Vec::new())).collect();
    spool.commit(&Changes { seen, open: open_rows, ..Changes::default() }).unwrap();
    for _ in 0..2 {
        let reader = spool.reader();
        for n in 0..3000 {
            assert_eq!(reader.lookup(&id(n)).unwrap(), KnownId::Seen(Vec::new()), "{n}");
        }
        for n in 3000..5000 {
            assert_eq!(reader.lookup(&id(n)).unwrap(), KnownId::Unknown, "{n}");
        }
        assert_eq!(reader.lookup(&id(5000)).unwrap(), KnownId::Open { capture: 1, row: b"row".to_vec() });
        drop(reader);
        drop(spool);
        spool = open(&config);
    }
    // Its row changes, then it is closed: no count may stay behind.
    let captures = vec![(1, id(5000), b"other".to_vec())];
    spool.commit(&Changes { open: OpenRows { captures, ..OpenRows::default() }, ..Changes::default() }).unwrap();
    let remove = vec![(1, id(5000))];
    spool.commit(&Changes { open: OpenRows { remove, ..OpenRows::default() }, ..Changes::default() }).unwrap();
    assert_eq!(spool.reader().lookup(&id(5000)).unwrap(), KnownId::Unknown);
    assert!(!spool.state.known().may_know(&id(5000)).0);
}
