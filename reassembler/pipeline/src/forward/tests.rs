use std::io::pipe;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::queue::{Popped, queue};

/// Written to by a forwarder, read by the test.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Rig {
    input: Option<io::PipeWriter>,
    output: Output,
    feed: Receiver<Fed>,
    thread: std::thread::JoinHandle<Stopped>,
}

fn rig(max_line_bytes: usize, queue_bytes: usize) -> Rig {
    let (reader, writer) = pipe().unwrap();
    let (sender, receiver) = queue(queue_bytes);
    let output = Output::default();
    let admission = Arc::new(Admission::new(Arc::default()));
    let forwarder =
        Forwarder::new("exec:stdout", reader, output.clone(), max_line_bytes, sender, admission, Arc::default());
    Rig { input: Some(writer), output, feed: receiver, thread: std::thread::spawn(move || forwarder.run()) }
}

impl Rig {
    fn write(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn wait_for_output(&self, text: &str) {
        let began = std::time::Instant::now();
        while self.output.text() != text {
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", self.output.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends the input; gives what was fed, added up.
    fn end(mut self) -> (String, Vec<String>, Fed) {
        self.input = None;
        assert_eq!(self.thread.join().unwrap(), Stopped::Ended);
        let mut sum = Fed::new(Arc::from(""));
        let mut ids = Vec::new();
        while let Popped::Item(fed) = self.feed.pop(Duration::ZERO) {
            sum.bytes += fed.bytes;
            sum.lines += fed.lines;
            sum.shed_captures += fed.shed_captures;
            sum.shed_records += fed.shed_records;
            sum.long_lines.extend(fed.long_lines);
            sum.bad.extend(fed.bad);
            ids.extend(fed.records.iter().map(|record| match record {
                Record::Chunk(chunk) => chunk.id.to_string(),
                Record::Meta(_) => "meta".to_owned(),
            }));
        }
        (self.output.text(), ids, sum)
    }
}

fn record(id: &str) -> String {
    format!(r#"{{"cap1":"{id}","part":"req","seq":0,"of":1}}"#)
}

#[test]
fn ordinary_lines_go_on_unchanged_and_capture_lines_are_taken_out() {
    let mut rig = rig(1 << 20, 1 << 20);
    rig.write(&format!("one\r\n\n{}\ntwo {{\nINFO {}\n{{\"cap1\":\"torn\nlast", record("a"), record("b")));
    let (output, ids, fed) = rig.end();
    assert_eq!(output, "one\r\n\ntwo {\n{\"cap1\":\"torn\nlast");
    assert_eq!((ids, fed.bad), (vec!["a".to_owned(), "b".to_owned()], vec![BadReason::Torn]));
    assert_eq!(fed.lines, 7);
}

#[test]
fn a_prompt_goes_on_without_its_newline() {
    let mut rig = rig(1 << 20, 1 << 20);
    rig.write("Password: ");
    rig.wait_for_output("Password: ");
    rig.write("ok\nmore\n");
    assert_eq!(rig.end().0, "Password: ok\nmore\n");
}

#[test]
fn a_capture_line_written_in_two_goes_is_taken_out() {
    let mut rig = rig(1 << 20, 1 << 20);
    let line = record("a");
    rig.write(&line[..10]);
    // However long the writer takes: what may become a record is never shown.
    std::thread::sleep(std::time::Duration::from_millis(10 * u64::from(HOLD)));
    rig.write(&format!("{}\nx\n", &line[10..]));
    let (output, ids, _) = rig.end();
    assert_eq!((output.as_str(), ids), ("x\n", vec!["a".to_owned()]));
}

#[test]
fn a_line_over_the_limit_goes_on_and_is_counted() {
    let mut rig = rig(1_000, 1 << 20);
    let long = "x".repeat(200_000);
    rig.write(&format!("{long}\n{}\n", record("a")));
    let (output, ids, fed) = rig.end();
    assert_eq!((output, ids, fed.long_lines), (format!("{long}\n"), vec!["a".to_owned()], vec![200_001]));
}

#[test]
fn where_nobody_takes_them_out_new_captures_are_shed_whole_and_lines_go_on() {
    let mut rig = rig(1 << 20, 8 * 1024);
    for number in 0..1_000 {
        rig.write(&format!("{}\nline\n", record(&number.to_string())));
        if number % 100 == 0 {
            rig.wait_for_output(&"line\n".repeat(number + 1));
        }
    }
    let (output, ids, fed) = rig.end();
    assert_eq!(output, "line\n".repeat(1_000));
    assert!(fed.shed_captures > 0 && ids.len() as u64 + fed.shed_captures == 1_000, "{} shed", fed.shed_captures);
}
