//! Where lines go, and what a descriptor may answer to a `write`.
//!
//! Invariants: no line is spread over two writes, save where the first was cut short; after a line that could not be written whole, the next begins on a line
//! of its own.
//!
//! Each line is handed over in one write, and lines that lie ready together may share one where that can't mix them with what others write: a regular
//! file takes a write of any length as one piece, a pipe one of up to [`PIPE_BYTES`]. Anything else (a terminal, a socket, which may keep writes
//! apart as messages, the app's own writer) gets each line by itself.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// What of lines a write to a regular file holds at most: enough that the system's share of each line is small, little enough that who else writes to
/// the file is not held up.
const FILE_BYTES: usize = 64 * 1024;
/// What a write to a pipe holds at most, unless one line is longer: `PIPE_BUF`, up to which Linux takes a write as one piece.
const PIPE_BYTES: usize = 4096;

/// An open output.
pub(crate) struct Sink {
    target: Target,
    /// The longest write of more lines than one.
    shared_write_bytes: usize,
    /// The last write stopped within a line.
    torn: bool,
    /// Nobody will ever read more.
    gone: bool,
}

enum Target {
    /// A descriptor of the emitter's own, so that `write` goes to the system unbuffered.
    File(File),
    Path {
        path: PathBuf,
        file: File,
    },
    Writer(Box<dyn Write + Send>),
}

impl Sink {
    pub(crate) fn file(file: File) -> Sink {
        Sink::of(Target::File(file))
    }

    /// Opens a file for appending; it is created for its owner alone, for captures hold what users sent.
    pub(crate) fn path(path: PathBuf) -> io::Result<Sink> {
        let file = open(&path)?;
        Ok(Sink::of(Target::Path { path, file }))
    }

    pub(crate) fn writer(writer: Box<dyn Write + Send>) -> Sink {
        Sink::of(Target::Writer(writer))
    }

    fn of(target: Target) -> Sink {
        let shared_write_bytes = match &target {
            Target::File(file) | Target::Path { file, .. } => shared_write_bytes(file),
            Target::Writer(_) => 0,
        };
        Sink { target, shared_write_bytes, torn: false, gone: false }
    }

    /// Opens the path again, after the file there was renamed away. Where that fails, the old file goes on.
    pub(crate) fn reopen(&mut self) {
        if let Target::Path { path, file } = &mut self.target
            && let Ok(anew) = open(path)
        {
            *file = anew;
            self.shared_write_bytes = shared_write_bytes(file);
            self.torn = false;
            self.gone = false;
        }
    }

    /// Whether no later write can succeed.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Writes whole lines, and tells where in `lines` those begin that were lost, whole or in part.
    pub(crate) fn write_lines(&mut self, lines: &[u8], mut lost: impl FnMut(usize)) {
        let mut at = 0;
        while at < lines.len() {
            let together = at + self.together(&lines[at..]);
            if let Err(written) = self.write_together(&lines[at..together]) {
                // What the failed write took of the first lines did arrive.
                let kept = memchr::memrchr(b'\n', &lines[at..at + written]).map_or(0, |newline| newline + 1);
                let mut line = at + kept;
                while line < together {
                    lost(line);
                    line += line_bytes(&lines[line..together]);
                }
            }
            at = together;
        }
    }

    /// How many bytes of these lines the next write takes.
    fn together(&self, lines: &[u8]) -> usize {
        if lines.len() <= self.shared_write_bytes {
            return lines.len();
        }
        let fitting = memchr::memrchr(b'\n', &lines[..self.shared_write_bytes]);
        fitting.map_or_else(|| line_bytes(lines), |newline| newline + 1)
    }

    /// Fails with how many of the bytes were written.
    fn write_together(&mut self, lines: &[u8]) -> Result<(), usize> {
        if self.gone {
            return Err(0);
        }
        if self.torn {
            self.write(b"\n").map_err(|_| 0usize)?;
            self.torn = false;
        }
        self.write(lines)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        let whole = bytes;
        let fault = loop {
            let written = match &mut self.target {
                Target::File(file) | Target::Path { file, .. } => file.write(bytes),
                Target::Writer(writer) => writer.write(bytes),
            };
            match written {
                Ok(0) => break ErrorKind::WriteZero.into(),
                Ok(count) if count >= bytes.len() => return Ok(()),
                Ok(count) => bytes = &bytes[count..],
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => self.wait_until_writable(),
                Err(fault) => break fault,
            }
        };
        let written = whole.len() - bytes.len();
        self.torn |= written > 0 && whole[written - 1] != b'\n';
        self.gone = is_gone(&fault);
        Err(written)
    }

    /// Waits for a descriptor that somebody (a terminal's other user, an async runtime) has set not to block.
    fn wait_until_writable(&self) {
        #[cfg(unix)]
        if let Target::File(file) | Target::Path { file, .. } = &self.target {
            use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
            use std::os::fd::AsFd;
            let mut watched = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
            // Whatever the answer, the next write tells what is the matter; the time-out makes sure that it is asked.
            if poll(&mut watched, PollTimeout::from(1000u16)).is_ok() {
                return;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// How long the first line is, its newline included.
fn line_bytes(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |newline| newline + 1)
}

/// The longest write of several lines that what is open takes as one piece; 0 for none.
fn shared_write_bytes(file: &File) -> usize {
    let Ok(metadata) = file.metadata() else { return 0 };
    if metadata.is_file() {
        return FILE_BYTES;
    }
    #[cfg(target_os = "linux")]
    if std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type()) {
        return PIPE_BYTES;
    }
    0
}

/// Whether a fault means that no later write can succeed.
fn is_gone(fault: &io::Error) -> bool {
    #[cfg(unix)]
    if fault.raw_os_error() == Some(nix::errno::Errno::EBADF as i32) {
        return true;
    }
    fault.kind() == ErrorKind::BrokenPipe
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Answers as scripted, then takes everything; notes what it took.
    struct Script(VecDeque<io::Result<usize>>, Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.1.lock().unwrap().push(bytes[..count].to_vec());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which lines were kept, and what was written, with a write's lines shared or not.
    fn written_as(shared: usize, answers: Vec<io::Result<usize>>, lines: &[&str]) -> (Vec<bool>, Vec<String>) {
        let taken = Arc::default();
        let mut sink = Sink::writer(Box::new(Script(answers.into(), Arc::clone(&taken))));
        sink.shared_write_bytes = shared;
        let starts = lines.iter().scan(0, |end, line| Some(std::mem::replace(end, *end + line.len())));
        let mut lost = Vec::new();
        sink.write_lines(lines.concat().as_bytes(), |at| lost.push(at));
        let kept = starts.map(|start| !lost.contains(&start)).collect();
        let taken = taken.lock().unwrap().iter().map(|bytes| String::from_utf8(bytes.clone()).unwrap()).collect();
        (kept, taken)
    }

    fn written(answers: Vec<io::Result<usize>>, lines: &[&str]) -> (Vec<bool>, String) {
        let (kept, taken) = written_as(0, answers, lines);
        (kept, taken.concat())
    }

    #[test]
    fn lines_share_a_write_up_to_its_bound_and_are_never_split() {
        let lines = ["ab\n", "cd\n", "ef\n", "a longer line\n", "g\n"];
        let (kept, taken) = written_as(7, vec![], &lines);
        assert_eq!(
            (kept, taken),
            (vec![true; 5], ["ab\ncd\n", "ef\n", "a longer line\n", "g\n"].map(str::to_owned).to_vec())
        );
        assert_eq!(written_as(0, vec![], &lines).1.len(), 5);
    }

    #[test]
    fn of_a_write_that_failed_the_lines_that_arrived_are_kept() {
        let full = || Err(ErrorKind::StorageFull.into());
        let (kept, taken) = written_as(9, vec![Ok(4), full()], &["ab\n", "cd\n", "ef\n", "gh\n"]);
        assert_eq!((kept, taken.concat()), (vec![true, false, false, true], "ab\nc\ngh\n".to_owned()));
        let (kept, taken) = written_as(9, vec![Ok(6), full()], &["ab\n", "cd\n", "ef\n", "gh\n"]);
        assert_eq!((kept, taken.concat()), (vec![true, true, false, true], "ab\ncd\ngh\n".to_owned()));
    }

    #[test]
    fn what_an_output_is_decides_how_lines_are_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Sink::path(folder.path().join("x.log")).unwrap().shared_write_bytes, FILE_BYTES);
        #[cfg(target_os = "linux")]
        {
            let (_reader, pipe) = io::pipe().unwrap();
            assert_eq!(Sink::file(File::from(std::os::fd::OwnedFd::from(pipe))).shared_write_bytes, PIPE_BYTES);
            let (_reader, socket) = std::os::unix::net::UnixDatagram::pair().unwrap();
            assert_eq!(Sink::file(File::from(std::os::fd::OwnedFd::from(socket))).shared_write_bytes, 0);
        }
    }

    #[test]
    fn interruptions_and_short_writes_lose_nothing() {
        let answers = vec![Err(ErrorKind::Interrupted.into()), Ok(2), Err(ErrorKind::WouldBlock.into()), Ok(1)];
        assert_eq!(written(answers, &["abcde\n", "f\n"]), (vec![true, true], "abcde\nf\n".into()));
    }

    #[test]
    fn after_a_torn_line_the_next_stands_alone() {
        let answers = vec![Ok(2), Err(ErrorKind::StorageFull.into()), Err(ErrorKind::StorageFull.into())];
        let (kept, text) = written(answers, &["abcde\n", "lost\n", "f\n"]);
        assert_eq!((kept, text.as_str()), (vec![false, false, true], "ab\nf\n"));
    }

    #[test]
    fn a_closed_pipe_is_not_written_to_again() {
        let answers = vec![Err(ErrorKind::BrokenPipe.into())];
        assert_eq!(written(answers, &["a\n", "b\n"]), (vec![false, false], String::new()));
    }

    #[test]
    fn a_reopened_path_is_a_new_file_of_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("x.log"), folder.path().join("x.log.1"));
        let mut sink = Sink::path(path.clone()).unwrap();
        let write = |sink: &mut Sink, line: &str| sink.write_lines(line.as_bytes(), |_| panic!("{line} was lost"));
        write(&mut sink, "1\n");
        std::fs::rename(&path, &old).unwrap();
        write(&mut sink, "2\n");
        sink.reopen();
        write(&mut sink, "3\n");
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("1\n2\n", "3\n"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
