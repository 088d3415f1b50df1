//! Inputs that end: whole files and pipes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reassemble_sources::{InputEvent, InputId, LineSink, Pipe, PipeConfig, PipeState, SourceError, WholeFile};

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    blocks: usize,
    events: Vec<String>,
}

impl LineSink for Seen {
    fn lines(&mut self, _: InputId, block: &[u8]) {
        self.blocks += 1;
        self.bytes.extend_from_slice(block);
    }

    fn event(&mut self, _: InputId, event: InputEvent<'_>) {
        self.events.push(match event {
            InputEvent::Opened { .. } => "opened".to_owned(),
            InputEvent::LongLine { bytes } => format!("long {bytes}"),
            InputEvent::Lost { records, bytes } => format!("lost {records} of {bytes}"),
            InputEvent::Failed { why } => format!("failed {why}"),
            InputEvent::Closed => "closed".to_owned(),
            other => format!("{other:?}"),
        });
    }
}

const MAX: usize = 1024 * 1024;

fn text() -> Vec<u8> {
    (0..100_000).flat_map(|number| format!("line {number}\n").into_bytes()).chain(*b"no newline").collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

fn read_whole(content: &[u8], budget: usize) -> Seen {
    let file = file(content);
    let mut whole = WholeFile::open(InputId(1), file.path(), MAX).unwrap();
    let mut seen = Seen::default();
    let mut last = 0;
    loop {
        let progress = whole.read(budget, &mut seen);
        assert!(progress.consumed_bytes >= last && progress.consumed_bytes <= progress.total_bytes);
        last = progress.consumed_bytes;
        if progress.done {
            assert_eq!(progress.total_bytes, content.len() as u64);
            return seen;
        }
    }
}

#[test]
fn plain_gzip_and_zstd_files_give_the_same_lines() {
    let text = text();
    let (first, second) = text.split_at(500_003);
    let forms = [
        text.clone(),
        gzip(&text),
        [gzip(first), gzip(second)].concat(),
        zstd::encode_all(&text[..], 1).unwrap(),
        [zstd::encode_all(first, 1).unwrap(), zstd::encode_all(second, 3).unwrap()].concat(),
    ];
    for (form, content) in forms.iter().enumerate() {
        for budget in [10_000, 1 << 20] {
            let seen = read_whole(content, budget);
            assert!(seen.bytes == text, "form {form}, budget {budget}");
            assert_eq!(seen.events, ["opened", "closed"]);
        }
    }
    assert!(read_whole(&text, 1 << 20).blocks < 20, "blocks of many lines");
}

#[test]
fn a_budget_is_kept_to() {
    let text = text();
    let file = file(&text);
    let mut whole = WholeFile::open(InputId(1), file.path(), MAX).unwrap();
    let mut seen = Seen::default();
    whole.read(1000, &mut seen);
    assert!(seen.bytes.len() <= 1000);
    assert!(seen.bytes.ends_with(b"\n"));
}

#[test]
fn an_empty_file_is_opened_and_closed() {
    let seen = read_whole(b"", 1000);
    assert_eq!((seen.blocks, seen.events), (0, vec!["opened".to_owned(), "closed".to_owned()]));
}

#[test]
fn a_damaged_archive_delivers_what_stands_before() {
    let text = text();
    for packed in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap()] {
        let cut = read_whole(&packed[..packed.len() * 3 / 4], 1 << 20);
        assert!(cut.bytes.len() > text.len() / 4 && text.starts_with(&cut.bytes));
        assert!(cut.events[1].contains("ends too early"), "{:?}", cut.events);
        assert_eq!(cut.events.last().unwrap(), "closed");
    }
    let mut packed = gzip(&text);
    let middle = packed.len() / 2;
    packed[middle..middle + 64].fill(0xff);
    let damaged = read_whole(&packed, 1 << 20);
    assert!(damaged.events[1].starts_with("failed the gzip data of"), "{:?}", damaged.events);
}

#[test]
fn a_directory_and_a_missing_file_are_clear_errors() {
    let dir = tempfile::tempdir().unwrap();
    let directory = WholeFile::open(InputId(1), dir.path(), MAX).err().unwrap();
    assert!(matches!(directory, SourceError::Directory { .. }) && directory.to_string().contains("is a directory"));
    let missing = WholeFile::open(InputId(1), dir.path().join("none.log"), MAX).err().unwrap();
    assert!(missing.to_string().contains("none.log"), "{missing}");
}

#[test]
fn an_over_long_line_of_a_file_is_reported() {
    let content = [b"one\n".to_vec(), vec![b'x'; MAX], b"\ntwo\n".to_vec()].concat();
    let seen = read_whole(&content, 1 << 20);
    assert_eq!(seen.bytes, b"one\ntwo\n");
    assert_eq!(seen.events[1], format!("long {}", MAX + 1));
}

fn drain(pipe: &mut Pipe, seen: &mut Seen) {
    let began = Instant::now();
    loop {
        match pipe.try_next(seen) {
            PipeState::Closed => return,
            PipeState::Delivered { .. } => {}
            PipeState::Empty => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "never closed");
    }
}

const CONFIG: PipeConfig = PipeConfig { max_line_bytes: 100, queue_bytes: 10_000 };

#[test]
fn a_pipe_delivers_everything_in_order_and_closes_once() {
    let content = text();
    let mut pipe = Pipe::spawn(InputId(1), "stdin", io::Cursor::new(content.clone()), CONFIG, Arc::new(|| {})).unwrap();
    let mut seen = Seen::default();
    drain(&mut pipe, &mut seen);
    assert!(seen.bytes == content);
    assert_eq!(pipe.try_next(&mut seen), PipeState::Closed);
    assert_eq!(seen.events, ["opened", "closed"]);
}

#[test]
fn an_over_long_line_in_a_pipe_keeps_its_place() {
    let content = [b"one\n".to_vec(), vec![b'x'; 500], b"\ntwo\n".to_vec()].concat();
    let mut pipe = Pipe::spawn(InputId(1), "stdin", io::Cursor::new(content), CONFIG, Arc::new(|| {})).unwrap();
    let mut seen = Seen::default();
    drain(&mut pipe, &mut seen);
    assert_eq!(seen.bytes, b"one\ntwo\n");
    assert_eq!(seen.events, ["opened", "long 501", "closed"]);
}

/// Endless lines, counting what was taken.
struct Endless(Arc<AtomicUsize>);

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let lines = b"one line of an endless many\n";
        let len = buf.len().min(lines.len());
        buf[..len].copy_from_slice(&lines[..len]);
        self.0.fetch_add(len, Ordering::SeqCst);
        Ok(len)
    }
}

#[test]
fn a_full_queue_stops_the_reading() {
    let taken = Arc::new(AtomicUsize::new(0));
    let reader = Endless(Arc::clone(&taken));
    let mut pipe = Pipe::spawn(InputId(1), "stdin", reader, CONFIG, Arc::new(|| {})).unwrap();
    let settled = || {
        let mut last = usize::MAX;
        while last != taken.load(Ordering::SeqCst) {
            last = taken.load(Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(50));
        }
        last
    };
    let full = settled();
    assert!((CONFIG.queue_bytes..2 * CONFIG.queue_bytes).contains(&full), "{full}");
    let mut seen = Seen::default();
    while seen.bytes.len() < 1000 {
        pipe.try_next(&mut seen);
    }
    assert!(settled() > full);
    // Nobody takes any more: the thread ends, and the reader with it.
    drop(pipe);
    let began = Instant::now();
    while Arc::strong_count(&taken) > 1 {
        assert!(began.elapsed() < Duration::from_secs(5), "the thread goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One line, then an error.
struct Broken(bool);

impl Read for Broken {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.0, true) {
            return Err(io::Error::other("the wire is cut"));
        }
        buf[..8].copy_from_slice(b"one\nhalf");
        Ok(8)
    }
}

#[test]
fn a_failing_pipe_says_so_after_what_came() {
    let mut pipe = Pipe::spawn(InputId(1), "stdin", Broken(false), CONFIG, Arc::new(|| {})).unwrap();
    let mut seen = Seen::default();
    drain(&mut pipe, &mut seen);
    assert_eq!(seen.bytes, b"one\nhalf");
    assert_eq!(seen.events, ["opened", "failed reading failed: the wire is cut", "closed"]);
}

#[test]
fn the_core_is_woken_when_something_comes() {
    let (reader, mut writer) = io::pipe().unwrap();
    let (wake, woken) = std::sync::mpsc::channel();
    let wake = Mutex::new(wake);
    let wake = Arc::new(move || wake.lock().unwrap().send(()).unwrap_or_default());
    let mut pipe = Pipe::spawn(InputId(1), "stdin", reader, CONFIG, wake).unwrap();
    let mut seen = Seen::default();
    assert_eq!(pipe.try_next(&mut seen), PipeState::Empty);
    writer.write_all(b"one\n").unwrap();
    woken.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(pipe.try_next(&mut seen), PipeState::Delivered { bytes: 4 });
    drop(writer);
    woken.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(pipe.try_next(&mut seen), PipeState::Closed);
}

fn sample(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs").join(name)
}

fn sorted_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

#[test]
fn an_object_of_firehose_is_read_as_the_lines_that_were_logged() {
    let logged = std::fs::read(sample("shop.plain.log")).unwrap();
    let object = std::fs::read(sample("cloudwatch/firehose.gz")).unwrap();
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&object[..]).read_to_end(&mut plain).unwrap();
    // Firehose compresses what is compressed already, unless it is told not to.
    for form in [object.clone(), gzip(&object), plain.clone(), zstd::encode_all(&plain[..], 1).unwrap()] {
        for budget in [5_000, 1 << 20] {
            let seen = read_whole(&form, budget);
            assert_eq!(seen.events, ["opened", "closed"]);
            assert!(sorted_lines(&seen.bytes) == sorted_lines(&logged));
        }
    }
}

#[test]
fn an_apps_json_log_is_not_taken_for_a_payload() {
    let log = b"{\"messageType\":\"DATA_MESSAGE\",\"n\":1}\n{\"owner\":\"1\",\"logGroup\":\"g\"}\n".repeat(3_000);
    for form in [log.clone(), gzip(&log)] {
        assert!(read_whole(&form, 1 << 20).bytes == log);
    }
}

#[test]
fn a_payloads_damage_is_told_a_few_times_and_then_counted() {
    let document =
        br#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[{"message":"m"}]}"#;
    let damaged = [&document[..document.len() - 2], document].concat().repeat(25);
    let seen = read_whole(&damaged, 1 << 20);
    assert_eq!(seen.bytes, b"m\n".repeat(50));
    assert_eq!(seen.events.len(), 1 + 10 + 1 + 1, "{:?}", seen.events);
    let second = format!("at byte {} of what it holds", 2 * document.len() - 2);
    assert!(seen.events[2].contains(&second), "{}", seen.events[2]);
    assert!(seen.events[11].starts_with("failed 15 more places of"), "{}", seen.events[11]);
}

/// Gives a few bytes at a time, and nothing yet before each.
struct Hesitant(io::Cursor<Vec<u8>>, bool);

impl Read for Hesitant {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        let len = buf.len().min(10_007);
        if self.1 { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(&mut buf[..len]) }
    }
}

#[test]
fn a_reader_that_has_nothing_yet_is_asked_again() {
    let text = text();
    for form in [text.clone(), gzip(&text), zstd::encode_all(&text[..], 1).unwrap()] {
        let length = form.len() as u64;
        let reader = Hesitant(io::Cursor::new(form), false);
        let mut whole = WholeFile::from_reader(InputId(1), "s3://bucket/key", length, reader, MAX);
        let mut seen = Seen::default();
        assert!(!whole.read(1 << 20, &mut seen).done, "nothing came yet");
        while !whole.read(1 << 20, &mut seen).done {}
        assert!(seen.bytes == text);
        assert_eq!(seen.events, ["opened", "closed"]);
        assert_eq!(whole.progress().consumed_bytes, length);
    }
}
