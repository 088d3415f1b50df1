//! Blocks that are being compressed while something else happens: none is lost, and none changes a byte.

use std::sync::mpsc::sync_channel;

use super::super::compressors::Flight;
use super::super::files::Disk;
use super::*;

const BLOCK: usize = 64 << 10;

fn threaded(dir: &Path, compressor_threads: usize) -> SpoolConfig {
    SpoolConfig { block_bytes: BLOCK, batch_bytes: 64 << 20, pending_bytes: 1 << 20, compressor_threads, ..config(dir) }
}

fn line(n: usize) -> Vec<u8> {
    format!("{n} {}", format!("{} ", n * 7919).repeat(60)).into_bytes()
}

/// The objects of so many lines over two partitions, that nothing disturbed.
fn undisturbed(lines: usize) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&threaded(dir.path(), 0));
    for n in 0..lines {
        spool.append(&partition(n % 2), &line(n), TS).unwrap();
    }
    finish(&mut spool)
}

fn finish(spool: &mut Spool) -> BTreeMap<String, Vec<u8>> {
    spool.roll_all().unwrap();
    spool.commit(&Changes::default()).unwrap();
    pending(spool).into_iter().map(|object| (object.key, fs::read(object.path).unwrap())).collect()
}

/// Appends until a block is under way; gives the number of lines.
fn append_until_under_way(spool: &mut Spool, from: usize) -> usize {
    for n in from..from + 100_000 {
        spool.append(&partition(n % 2), &line(n), TS).unwrap();
        if spool.flights.iter().any(|(_, flight)| matches!(flight, Flight::UnderWay(_))) {
            return n + 1;
        }
    }
    panic!("no block was ever under way");
}

#[test]
fn threads_and_commits_change_no_byte() {
    let expected = undisturbed(3_000);
    for threads in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(&threaded(dir.path(), threads));
        for n in 0..3_000 {
            spool.append(&partition(n % 2), &line(n), TS).unwrap();
            assert!(spool.flights.len() <= threads + 1, "{} blocks in flight", spool.flights.len());
            if n % 700 == 0 {
                spool.commit(&Changes::default()).unwrap();
                assert!(spool.flights.is_empty(), "a commit left a block behind");
            }
        }
        assert_eq!(finish(&mut spool), expected);
    }
}

#[test]
fn what_is_under_way_at_a_kill_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = threaded(&dir.path().join("0"), 2);
    let mut spool = open(&config);
    let committed = append_until_under_way(&mut spool, 0);
    spool.commit(&Changes::default()).unwrap();
    let lines = append_until_under_way(&mut spool, committed);
    let killed = SpoolConfig { state_dir: dir.path().join("1"), ..config };
    copy_dir(&dir.path().join("0"), &killed.state_dir);
    // Ends its threads, with a block in hand.
    drop(spool);
    let mut spool = open(&killed);
    for n in committed..lines {
        spool.append(&partition(n % 2), &line(n), TS).unwrap();
    }
    assert_eq!(finish(&mut spool), undisturbed(lines));
}

#[test]
fn blocks_that_a_full_disk_refuses_go_to_the_state_and_end_where_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    let config = threaded(dir.path(), 2);
    let mut spool = open(&config);
    let under_way = append_until_under_way(&mut spool, 0);
    let lines = under_way + 20;
    for n in under_way..lines {
        spool.append(&partition(n % 2), &line(n), TS).unwrap();
    }
    // Room for a commit, and not for more.
    let stat = nix::sys::statvfs::statvfs(dir.path()).unwrap();
    let free = stat.blocks_available() * stat.fragment_size();
    spool.files.disk = Disk::new(dir.path(), free / 2 * 3);
    let before = spool.spool_bytes();
    assert!(spool.roll_all().unwrap_err().is_retryable());
    spool.commit(&Changes::default()).unwrap();
    assert_eq!(spool.spool_bytes(), before, "what is put back counts as it did");
    assert!(spool.append(&partition(0), b"refused", TS).unwrap_err().is_retryable());
    assert!(spool.flights.is_empty());
    let held = spool.held_bytes();
    assert!(held >= BLOCK, "{held} bytes are held, not the block");
    drop(spool);
    let mut spool = open(&config);
    assert_eq!(spool.spool_bytes(), before);
    for n in lines..lines + 500 {
        spool.append(&partition(n % 2), &line(n), TS).unwrap();
    }
    let objects = finish(&mut spool);
    let held: u64 = objects.values().map(|bytes| bytes.len() as u64).sum();
    assert_eq!(spool.spool_bytes(), held);
    assert_eq!(objects, undisturbed(lines + 500));
}

#[test]
fn a_block_that_is_lost_on_its_way_stops_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&threaded(dir.path(), 1));
    spool.append(&partition(0), b"line", TS).unwrap();
    let (answer, receiver) = sync_channel(1);
    drop(answer);
    spool.flights.push_back((0, Flight::UnderWay(receiver)));
    let error = spool.commit(&Changes::default()).unwrap_err();
    assert!(matches!(error, StateError::Write { action: "compress for", .. }), "{error}");
    assert!(matches!(spool.append(&partition(0), b"line", TS), Err(StateError::Stopped)));
}

#[test]
fn an_error_of_the_compressor_stops_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&threaded(dir.path(), 1));
    spool.append(&partition(0), b"line", TS).unwrap();
    let stored = Err(std::io::Error::other("no memory"));
    let encoded = super::super::compressors::Encoded { plain: b"a block".to_vec(), stored };
    spool.flights.push_back((0, Flight::Landed(encoded)));
    let error = spool.commit(&Changes::default()).unwrap_err();
    assert!(error.to_string().contains("no memory") && !error.is_retryable(), "{error}");
}
